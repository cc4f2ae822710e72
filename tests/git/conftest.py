"""An origin, and mirrors of it that are closed in the end."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import watchfiles.main

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


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once the kernel has been asked to tell of changes: those before that are not told."""
    begun, module = threading.Event(), cast(Any, watchfiles.main)
    whole = module.RustNotify

    def notify(*about: Any) -> Any:
        watcher = whole(*about)
        begun.set()
        return watcher

    monkeypatch.setattr(module, "RustNotify", notify)
    return begun


def contents(source: Mirror, revision: str) -> dict[str, bytes]:
    tree = source.tree(revision)
    blobs = source.read(tree.files.values())
    return {path: blobs[id] for path, id in tree.files.items()}
