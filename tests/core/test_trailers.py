"""What of a commit's message is kept beside what it changed."""

import pytest

from reconciler.core.model import Ref
from reconciler.core.proposal import Change, Proposed, message
from reconciler.core.trailers import LONGEST_DESCRIPTION, description


@pytest.mark.parametrize("said", ["More of it", "words " * 12, "long " * 40, "…", "x" * 71 + "…", "a\x1b[2Jb\nc: d"])
def test_what_was_said_over_the_api_is_read_back(said: str) -> None:
    """Whole, also where the commit's title had to be cut; in one line, and nothing in it drives a terminal."""
    written = message(Proposed((Change("patch", Ref("Host", "a")),), "ada", message=said), "1")
    assert description(written) == " ".join(said.replace("\x1b", " ").split())


def test_of_anybody_elses_commit_the_title_is_kept() -> None:
    """And no more of it than anybody reads."""
    assert description("Title…\n\nAnother thing\n") == "Title…"
    assert description("") == ""
    assert description("\x00\x1b[0m" + "y" * 1000) == ("[0m" + "y" * 1000)[: LONGEST_DESCRIPTION - 2]
