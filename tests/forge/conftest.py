"""A stand-in of each forge, and clients of it whose waiting takes no time."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from reconciler.forge import FORGES, Forge, Wire
from reconciler.seams import Seams
from tests.forge.gitea import Gitea, Older
from tests.forge.github import GitHub
from tests.forge.gitlab import GitLab
from tests.forge.stand_in import Account, StandIn, serving

FAKES: dict[str, type[StandIn]] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}
# Those of which another version answers otherwise.
OLDER: dict[str, type[StandIn]] = {"gitea-1.21": Older}
BOT = {"gitea-1.21": "convoy", "github": "github-actions[bot]", "gitlab": "project_41_bot", "gitea": "gitea-actions"}
TOKEN, FORK, BLIND, EVIL = "t0ken-of-the-run", "t0ken-of-a-fork", "t0ken-that-sees-nothing", "t0ken-of-another"


class Quick(Seams):
    """Waits without waiting, and remembers for how long."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def monotonic(self) -> float:
        return super().monotonic() + sum(self.slept)


@pytest.fixture
def quick() -> Quick:
    return Quick()


@pytest.fixture(params=list(FAKES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def forge(kind: str) -> Iterator[StandIn]:
    with stand_in(kind) as served:
        yield served


def stand_in(kind: str) -> AbstractContextManager[StandIn]:
    accounts = {
        TOKEN: Account(BOT[kind], 41898282),
        FORK: Account(BOT[kind], 41898282, writes=False),
        BLIND: Account("stranger", 9, reads=False),
        EVIL: Account("mallory", 666),
    }
    return serving((FAKES | OLDER)[kind](accounts=accounts))


@pytest.fixture
def client(kind: str, forge: StandIn, quick: Quick) -> Callable[..., Forge]:
    """A client with this token."""

    def made(token: str = TOKEN, api: str = "") -> Forge:
        wire = Wire(api or forge.api, token, FORGES[kind].headers(token), quick)
        return FORGES[kind].client(wire, forge.repository)

    return made
