"""Expected output in files, and the snapshots that several tests show."""

from pathlib import Path

import pytest

from reconciler.core.model import (
    Ref,
    Snapshot,
    Where,
    XdsResource,
)

GOLDEN = Path(__file__).parent / "show"
NOW = 100_000.0
WIDTHS = (("80", 80), ("50", 50), ("pipe", None))


def golden(name: str, text: str, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / name
    if request.config.getoption("--update"):
        path.write_text(text)
    assert text == path.read_text()


def snapshot(version: str, **names: tuple[str, ...]) -> Snapshot:
    """Resources by type; `name:version` where the version is to be another than 1."""
    resources: dict[str, dict[str, XdsResource]] = {}
    for type, listed in names.items():
        for entry in listed:
            name, _, content = entry.partition(":")
            one = XdsResource(type, name, content or "1", b"", Where("edge.yaml", 3), Ref("Configuration", "edge"))
            resources.setdefault(type, {})[name] = one
    return Snapshot(version, resources)


BEFORE = snapshot("v1", cds=("blue", "green"), eds=("blue", "green"), lds=("http",), rds=("main",))
AFTER = snapshot("v2", cds=("blue", "red"), eds=("blue", "red"), lds=("http",), rds=("main:2",))
