"""An origin, and mirrors of it that are closed in the end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.git import Mirror
from reconciler.seams import Seams
from tests.repos import Origin, hermetic, make_origin

Open = Callable[..., Mirror]


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origin:
    hermetic(monkeypatch)
    return make_origin(tmp_path)


@pytest.fixture
def mirror(tmp_path: Path, origin: Origin) -> Iterator[Open]:
    opened: list[Mirror] = []

    def make(url: str | Path = origin.path, branch: str = "main", **options: object) -> Mirror:
        seams = options.pop("seams", None) or Seams()
        one = Mirror(str(url), branch, tmp_path / "state" / "mirror", seams, **options)  # type: ignore[arg-type]
        opened.append(one)
        return one

    yield make
    for one in opened:
        one.close()


def contents(source: Mirror, revision: str) -> dict[str, bytes]:
    tree = source.tree(revision)
    blobs = source.read(tree.files.values())
    return {path: blobs[id] for path, id in tree.files.items()}
