"""What a release has left: its fleet, what it showed, and its hosts, to be put down anywhere."""

import contextlib
import fcntl
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from reconciler import envoy_binary
from reconciler.core.kinds.host import Host
from reconciler.core.model import FleetState, Health, Key, Observed, ObservedState, Ref
from reconciler.drivers.process import Process
from reconciler.git import Directory
from reconciler.load import Loader
from reconciler.seams import Seams
from tests.ports import free_port

HERE = Path(__file__).parent
RELEASES = sorted(path for path in HERE.iterdir() if path.name.startswith("v"))


@dataclass
class Release:
    """The fixture of one release."""

    folder: Path
    state: Path = Path("/nowhere")
    # What its host chose ⇒ what is put in its place.
    ports: Mapping[str, str] = field(default_factory=dict)
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @cached_property
    def fleet(self) -> FleetState:
        """As today's code reads it."""
        with contextlib.closing(Directory(self.folder / "fleet", Seams())) as source:
            loaded = Loader(None, Seams()).load(source.tree(source.fetch()), source.read)
        assert loaded.problems == ()
        assert loaded.fleet is not None
        return loaded.fleet

    def read(self, name: str) -> Any:
        """One of its files, with this machine's paths."""
        text = (self.folder / name).read_text()
        words = {"@STATE@": self.state, "@BIN@": Path(sys.executable).parent, "@ENVOY@": envoy_binary.find() or "envoy"}
        for word, value in words.items():
            text = text.replace(word, str(value))
        if self.ports:
            text = re.sub(rf"\b({'|'.join(self.ports)})\b", lambda found: self.ports[found[0]], text)
        return json.loads(text)

    def move(self) -> None:
        """To ports that nobody else has: on its own somebody may listen here by now, where it is to be started."""
        declared = {port.port for want in self.fleet.workloads.values() for port in want.run.ports}
        had = {port for one in self.seen.values() for port in one.fields["ports"].values() if isinstance(port, int)}
        self.ports = {str(port): str(free_port()) for port in had - declared}

    @property
    def seen(self) -> Mapping[Key, Observed]:
        """What its driver showed."""
        found = [
            Observed(
                Ref.parse(one["ref"]), one["instance"], one["host"], one["fields"], Health(one["health"]), float(one["since"])
            )
            for one in self.read("seen.json")
        ]
        return {one.key: one for one in found}

    def place(self, *, supervised: bool) -> None:
        """Put its hosts into the state directory; where `supervised`, whoever looks finds every lock held that was held."""
        for mark in sorted((self.folder / "hosts").glob("*/*/mark.json")):
            directory = self.state / "hosts" / mark.parent.relative_to(self.folder / "hosts")
            directory.mkdir(mode=0o700, parents=True)
            (directory.parent / "half").mkdir(mode=0o700, exist_ok=True)
            for file in mark.parent.iterdir():
                (directory / file.name).write_text(json.dumps(self.read(str(file.relative_to(self.folder)))))
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._open.callback(os.close, lock)
            if supervised and not self.read(str((mark.parent / "state.json").relative_to(self.folder)))["ended"]:
                fcntl.flock(lock, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def drivers(self) -> Iterator[Mapping[str, Process]]:
        """Host ⇒ today's driver on what was placed."""
        specs = {resource.ref.name: cast(Host, resource.spec) for resource in self.fleet.of("Host")}
        installation = self.read("installation.json")
        found = {
            name: Process(name, spec, self.state / "hosts" / name, installation, "/run/xds.sock", lambda _: "token", Seams())
            for name, spec in specs.items()
        }
        try:
            yield found
        finally:
            for driver in found.values():
                driver.close()

    def observed(self) -> ObservedState:
        """What today's drivers see of what was placed."""
        with self.drivers() as drivers:
            return ObservedState({one.key: one for driver in drivers.values() for one in driver.observe()})

    def close(self) -> None:
        self._open.close()
