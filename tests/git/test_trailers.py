"""Trailers are read as git reads them: played against the real one."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.core.trailers import trailers
from tests.repos import hermetic_environment

LINES = [
    "Title",
    "Convoy-Hold: a",
    "Convoy-Hold : b c",
    "convoy-confirm:deletes",
    "  continued",
    "\tcontinued: too",
    " ",
    "",
    "prose here",
    "prose: with a colon",
    "Signed-off-by: A <a@b>",
    "(cherry picked from commit abc)",
    "# comment",
    "---",
    "key:",
    "two words: no",
    ":x",
    "é: f",
]
MESSAGES = st.lists(st.sampled_from(LINES), min_size=1, max_size=9).map("\n".join)


def by_git(message: str, place: Path) -> list[str]:
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse", "--no-divider"],
        cwd=place,
        env=hermetic_environment(),
        input=message.encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    return done.stdout.decode().splitlines()


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(message=MESSAGES)
@example(message=" \nSigned-off-by: A <a@b>\n# comment\n  continued")
def test_read_as_git_reads_them(message: str, tmp_path: Path) -> None:
    """Whatever a message looks like, ours and git's trailers are the same."""
    assert [f"{one.token}: {one.value}" for one in trailers(message)] == by_git(message, tmp_path)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Title\n\nConvoy-Confirm: deletes\n", ["Convoy-Confirm: deletes"]),
        ("Convoy-Confirm: deletes\n", []),
        ("Title\n\nConvoy-Confirm: deletes\n\nand this is why\n", []),
        ("Title\n\nRead this:\nConvoy-Confirm: deletes\nis what you would write\n", []),
        ("Title\n\nprose\nConvoy-Hold: a\nSigned-off-by: A <a@b>\n", ["Convoy-Hold: a", "Signed-off-by: A <a@b>"]),
        ("Title\n\nConvoy-Hold: Host/a\n  @0123\n", ["Convoy-Hold: Host/a @0123"]),
        ("", []),
    ],
)
def test_only_the_block_at_the_end(message: str, expected: list[str], tmp_path: Path) -> None:
    """A message that talks about trailers gives no order; the title never does."""
    assert [f"{one.token}: {one.value}" for one in trailers(message)] == expected == by_git(message, tmp_path)
