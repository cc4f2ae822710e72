"""A state directory with what is followed there, and one check at a time."""

from pathlib import Path

from reconciler.core.show_doctor import Finding
from reconciler.doctor import CHECKS, Ground, diagnose
from reconciler.doctor.ground import Followed
from reconciler.git import Directory
from reconciler.seams import Seams

FLEET = """
apiVersion: convoy/v1
kind: Host
metadata: {name: here}
---
apiVersion: convoy/v1
kind: Container
metadata: {name: web}
spec: {command: [sleep, "1000"], ports: [{port: 19599}]}
"""


class Room:
    """A state directory, what is followed there, and one check at a time."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.followed: Followed | None = None

    def ground(self) -> Ground:
        return Ground(self.state, f"sqlite:///{self.state / 'convoy.db'}", self.followed, Seams())

    def follow(self, folder: Path, text: str = FLEET) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "fleet.yaml").write_text(text)
        self.followed = Followed(str(folder), "", str(folder), lambda: Directory(folder, Seams()))

    def says(self, name: str) -> tuple[Finding, ...]:
        (check,) = (one for one in CHECKS if one.name == name)
        (found,) = diagnose(self.ground(), (check,))
        return found.findings

    def one(self, name: str) -> tuple[str, str, str]:
        """The only thing that this check says: verdict, words, what to do."""
        found = self.says(name)
        assert len(found) == 1, found
        return found[0].verdict, found[0].what, found[0].hint


def everything(place: Path) -> dict[str, tuple[object, ...]]:
    """Every file below: mode, size, time of change, content."""
    return {
        str(path): (found.st_mode, found.st_size, found.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted([place, *place.rglob("*")])
        if (found := path.lstat())
    }
