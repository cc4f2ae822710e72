"""A Convoy killed at any instant of its work on the mirror finds everything again."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.git import Mirror
from reconciler.seams import Seams
from tests.drivers.world import belonging, soon
from tests.repos import git, hermetic, make_origin

FOLLOWING = """
import sys
from pathlib import Path
from reconciler.git import Mirror
from reconciler.git import bare
from reconciler.seams import Seams
bare.MANY_PACKS = 1
if sys.argv[3] == "git":
    from reconciler.git import mirror
    mirror.carry = lambda *_: False
source = Mirror(sys.argv[1], "main", Path(sys.argv[2]), Seams())
print("ready", flush=True)
while True:
    source.tree(source.fetch())
    source.changed(0.001)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["carry", "git"])
def test_killed_at_any_instant(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was under way (a first fetch, copying, git's own work, packing), the next life reads the branch as it is."""
    hermetic(monkeypatch)
    origin, moments = make_origin(tmp_path), random.Random(7)
    written = {f"d{n % 5}/{n}.yaml": f"{n}" for n in range(50)}
    origin.commit(written)
    for round in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", FOLLOWING, str(origin.path), str(tmp_path / "mirror"), way], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        end = time.monotonic() + moments.uniform(0.0, 0.25)
        number = 0
        while time.monotonic() < end:
            number += 1
            written[f"d{number % 5}/{number % 50}.yaml"] = f"{round} {number}"
            origin.commit({f"d{number % 5}/{number % 50}.yaml": f"{round} {number}"})
        process.kill()
        process.wait()
        process.stdout.close()
        source = Mirror(str(origin.path), "main", tmp_path / "mirror", Seams())
        tree = source.tree(source.fetch())
        blobs = source.read(tree.files.values())
        assert {path: blobs[id].decode() for path, id in tree.files.items()} == written
        source.close()
    # The git of a Convoy that was killed goes on for a moment, and may take away what it has packed anew.
    soon(lambda: not belonging(tmp_path / "mirror"))
    git(tmp_path / "mirror", "fsck", "--full", "--strict")
