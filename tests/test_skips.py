"""Where every part is here, as in CI, no test is skipped in silence."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("why", "options", "code"),
    [
        ("no Envoy here", ["--all-parts"], 1),
        ("no Envoy here", [], 0),
        ("only root can: run as root", ["--all-parts"], 0),
        ("npm cannot get a package", ["--all-parts"], 0),
        ("for SQLite alone: another takes less", ["--all-parts"], 0),
    ],
)
def test_a_test_that_is_skipped_for_want_of_a_part_fails_the_run(
    tmp_path: Path, why: str, options: list[str], code: int
) -> None:
    """What is skipped because of the user or the network does not."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_it.py").write_text(f"import pytest\n\ndef test_it():\n    pytest.skip({why!r})\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", "/dev/null"]
    ran = subprocess.run(
        [*command, *options, str(tmp_path)], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert ran.returncode == code, ran.stdout
    assert ("skipped though every part should be here" in ran.stdout) == (code == 1)
