"""Makes a release's fixture: runs its fleet with that release's own code and keeps what was seen.

Run once for a release, in its checkout and with its virtual environment, from the folder with its `fleet/`:

    python make.py tests/upgrades/v0.2.0
"""

import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from reconciler import envoy_binary
from reconciler.control import open_control
from reconciler.core.connect import Connector
from reconciler.core.kinds.host import Host
from reconciler.core.model import ObservedState
from reconciler.drivers.process import shim
from reconciler.git import Directory
from reconciler.log import Log
from reconciler.seams import Seams

KEPT = ("mark.json", "want.json", "state.json")
# Above every process number that Linux gives: nobody may meet a stranger under it.
NOBODY = 1 << 30


def make(folder: Path) -> None:
    """Run, look, keep, stop."""
    # Short, for sockets' paths must fit beside it.
    root = Path(tempfile.mkdtemp(prefix="convoy-", dir="/tmp"))
    state = root / "state"
    state.mkdir(mode=0o700)
    shutil.copy(folder / "age-identity.txt", state)
    (state / "age-identity.txt").chmod(0o600)
    shutil.rmtree(folder / "hosts", ignore_errors=True)
    shutil.rmtree(folder / "shim", ignore_errors=True)
    # It goes on running, as it was, whatever Convoy is installed afterwards.
    shutil.copytree(Path(shim.__file__).parent, folder / "shim", ignore=shutil.ignore_patterns("__pycache__"))
    try:
        with contextlib.closing(Directory(folder / "fleet", Seams())) as source:
            with open_control(state, source=source, log=Log()) as control:
                view = control.run(lambda view: view.converged or bool(view.problems), 120)
                assert view.converged, [
                    *map(str, view.problems),
                    *(f"{ref}: {one.sync} {one.health} {one.why}" for ref, one in view.status.items() if one.sync != "synced"),
                ]
            with open_control(state, source=source, log=Log()) as control:
                _keep(folder, state, control)
    finally:
        with open_control(state, source=None, log=Log(level="error")) as control:
            control.down(60)
        shutil.rmtree(root)


def _keep(folder: Path, state: Path, control: Any) -> None:
    planned = control.preview()
    assert planned.plan is not None
    assert not planned.plan.actions, planned.plan.actions
    assert not planned.plan.held, planned.plan.held
    words = {
        str(envoy_binary.find()): "@ENVOY@",
        str(state.resolve()): "@STATE@",
        str(Path(sys.executable).parent): "@BIN@",
    }
    seen = {}
    for directory in sorted((state / "hosts").iterdir()):
        spec = next((r.spec for r in planned.fleet.of("Host") if r.ref.name == directory.name), Host())
        with contextlib.closing(control._driver(directory.name, spec)) as driver:
            seen.update({one.key: one for one in driver.observe()})
        for instance in sorted(one for one in directory.iterdir() if one.name[0].isupper()):
            target = folder / "hosts" / directory.name / instance.name
            target.mkdir(parents=True, exist_ok=True)
            for name in KEPT:
                _write(target / name, json.loads((instance / name).read_text()), words)
    told = Connector().connect(planned.fleet, ObservedState(seen), control.certificates.versions(planned.fleet))
    _write(folder / "installation.json", control.installation, words)
    _write(
        folder / "seen.json",
        [
            {
                "ref": str(one.ref),
                "instance": one.instance,
                "host": one.host,
                "fields": dict(one.fields),
                "health": one.health.status,
                "since": one.since,
            }
            for _, one in sorted(seen.items())
        ],
        words,
    )
    _write(
        folder / "told.json",
        {
            node: {
                # What stands for a secret depends on keys that each installation has for itself.
                type: {name: one.version for name, one in sorted(named.items()) if one.secret is None}
                for type, named in snapshot.resources.items()
            }
            for node, snapshot in sorted(told.items())
        },
        words,
    )


def _write(path: Path, value: Any, words: dict[str, str]) -> None:
    text = json.dumps(_numbered(value), indent=1, ensure_ascii=False) + "\n"
    for word, name in words.items():
        text = text.replace(word, name)
    path.write_text(text)


def _numbered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: NOBODY if key == "pid" and one else _numbered(one) for key, one in value.items()}
    return [_numbered(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
