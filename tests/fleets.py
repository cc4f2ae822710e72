"""Fleets for tests: read from a folder through the real loader."""

import tempfile
from pathlib import Path

from reconciler.core.model import FleetState
from reconciler.git import Directory
from reconciler.load import Loaded, Loader
from reconciler.seams import Seams


def load_folder(folder: Path) -> FleetState:
    """The fleet in this folder; fails with every Problem when there is one."""
    fleet = loaded(folder).fleet
    assert fleet is not None
    return fleet


def loaded(folder: Path) -> Loaded:
    """The same with its documents."""
    source = Directory(folder, Seams())
    try:
        found = Loader(None, Seams()).load(source.tree(source.fetch()), source.read)
    finally:
        source.close()
    assert found.fleet is not None, "\n".join(map(str, found.problems))
    return found


def load_text(text: str) -> FleetState:
    """The fleet that this one file makes."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "fleet.yaml").write_text(text)
        return load_folder(Path(folder))
