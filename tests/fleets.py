"""Fleets for tests: read from a folder through the real loader."""

import tempfile
from pathlib import Path

from reconciler.core.model import FleetState
from reconciler.git import Directory
from reconciler.load import Loader
from reconciler.seams import Seams


def load_folder(folder: Path) -> FleetState:
    """The fleet in this folder; fails with every Problem when there is one."""
    source = Directory(folder, Seams())
    try:
        loaded = Loader(None, Seams()).load(source.tree(source.fetch()), source.read)
    finally:
        source.close()
    assert loaded.fleet is not None, "\n".join(map(str, loaded.problems))
    return loaded.fleet


def load_text(text: str) -> FleetState:
    """The fleet that this one file makes."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "fleet.yaml").write_text(text)
        return load_folder(Path(folder))
