"""The process driver: every instance is a local process under a shim of its own, in a directory of its own."""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from reconciler.core.kinds.host import Host
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.model import Action, Observed, Ref, Want, instance_on
from reconciler.core.running import LogAsk, LogLine, Usage
from reconciler.drivers import DriverError, NoInstance
from reconciler.drivers.process.bell import Bell
from reconciler.drivers.process.fill import Filling, Open, sealed_names
from reconciler.drivers.process.instance import HOME, Mark, name_of, own_mark, read_json, read_mark, rests, write_json
from reconciler.drivers.process.logs import read
from reconciler.drivers.process.look import Look, known_secrets, locked
from reconciler.drivers.process.ports import choose
from reconciler.drivers.process.shared import Shared
from reconciler.drivers.process.supervise import Until, alone, end, reap, start, tell
from reconciler.drivers.process.usage import usage
from reconciler.rundir import run_directory
from reconciler.seams import Seams

# What is being made or removed; anything still there when nobody holds the host's lock was left by a kill.
HALF = "half"
# A shim takes in what changed at once; this is for a machine that is busy.
RELOAD_S = 5.0


# Who holds it, what stands there, what for ⇒ the plaintext; raises DriverError.
OpenSecret = Callable[[Ref, Sealed, str], bytes]


class Process:
    """One host directory inside the state directory. What runs there outlives this object and Convoy."""

    def __init__(
        self,
        host: str,
        spec: Host,
        directory: Path,
        installation: str,
        xds_socket: str,
        xds_token: Callable[[str], str],
        seams: Seams,
        open_secret: OpenSecret | None = None,
    ) -> None:
        self._open_secret = open_secret
        self._host, self._spec, self._directory = host, spec, Path(os.path.abspath(directory))
        self._installation, self._xds_socket, self._xds_token, self._seams = installation, xds_socket, xds_token, seams
        self._look = Look(host, str(self._directory), installation, spec.address, self._token)
        self._shared = Shared(seams)
        self._looking = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        self._bell: Bell | None = None
        self._opening = threading.Lock()
        self._closed = threading.Event()

    def observe(self) -> Iterable[Observed]:
        """Every instance of ours; raises DriverError."""
        with self._looking, self._told("look at", f"host {self._host}"):
            self._seams.point("process.observe", self._host)
            return self._shared(self._look())

    def foreign(self) -> Mapping[tuple[Ref, str], str]:
        return self._look.foreign

    def changed(self, timeout_s: float) -> bool:
        """Rung by the shims; where no socket can be made, every second counts as a change."""
        if self._closed.is_set():
            return False
        try:
            self._seams.point("process.listen", self._host)
            with self._opening:
                if self._bell is None:
                    self._make_host()
                    self._bell = Bell(self._directory, run_directory(self._directory))
            return self._bell.wait(timeout_s)
        except OSError:
            return not self._seams.wait(self._closed, min(timeout_s, 1.0))

    def logs(self, ref: Ref, instance: str, ask: LogAsk) -> Iterator[LogLine | None]:
        """Raises DriverError."""
        with self._told("read the output of", f"{ref} instance {instance} on host {self._host}"):
            path = self._directory / name_of(ref, instance)
            self._seams.point("process.logs", path)
            mark = read_mark(path)
            if mark is None or mark.installation != self._installation:
                raise NoInstance(
                    f"there is no instance {instance} of {ref} on host {self._host}: `convoy get {ref}` lists them"
                )
            token = self._token(mark)
            secrets = [*known_secrets(str(path), read_json(path / "want.json")), *([token] if token else ())]

            def over() -> bool:
                if locked(str(path / "lock")):
                    return False
                want, state = read_json(path / "want.json"), read_json(path / "state.json")
                return want is None or rests(str(want.get("restart", "always")), state)

            yield from read(str(path), ask, secrets, over)

    def usage(self, *, counting: bool = False) -> Iterable[Usage]:
        """Raises DriverError."""
        with self._told("look at", f"host {self._host}"):
            self._seams.point("process.usage", self._host)
            with self._looking:
                seen = self._look()
            # Envoys are asked without the lock: a slow one keeps nobody from looking.
            return usage(self._host, seen, self._directory, self._seams, self._closed, counting=counting)

    def close(self) -> None:
        self._closed.set()
        with self._opening:
            if self._bell is not None:
                self._bell.close()

    def apply(self, action: Action) -> None:
        """Raises DriverError."""
        name = name_of(action.ref, action.instance)
        until = Until(self._seams, action.deadline_s)
        # The planner asks for one step at a time on one instance; should anybody else not, the second waits.
        with self._busy.setdefault(name, threading.Lock()), self._told(action.verb, action):
            path = self._directory / name
            if action.verb == "delete":
                self._delete(action, path, until)
            elif action.verb == "take-over":
                self._take_over(action, path, until)
            else:
                self._make_host()
                self._ensure(action, path, until)

    def _ensure(self, action: Action, path: Path, until: Until) -> None:
        want: Want = action.want
        opened = self._opened(want)
        mark = own_mark(path, self._installation, action)
        if mark is None and action.verb == "update":
            raise DriverError(f"cannot update {action.ref} on host {self._host}: instance {action.instance} is not there")
        if mark is None:
            mark = self._create(action, want, path, until, opened)
        elif (mark.uid, mark.owner, mark.deletion) != (want.uid, str(want.owner), want.deletion):
            # The document was deleted and written anew, and asks for the very same thing; or its deletion policy changed.
            mark = replace(mark, uid=want.uid, owner=str(want.owner), deletion=want.deletion)
            self._seams.point("process.write", path, "mark.json")
            write_json(path / "mark.json", mark.value())
        filling = self._filling(want, path, mark, opened)
        filled = filling.want()
        if filled != read_json(path / "want.json"):
            self._seams.point("process.write", path, "want.json")
            write_json(path / "want.json", filled)
        while True:
            if not locked(str(path / "lock")):
                reap(path)
                if rests(want.run.restart, read_json(path / "state.json")):
                    return
                self._seams.point("process.write", path, "files")
                filling.write_files()
                self._seams.point("process.start", path)
                if start(path, until):
                    return
            elif self._reloaded(path, want.live, until):
                return
            if until.left_s <= 0:
                raise DriverError(f"cannot {action.verb} {action.ref} on host {self._host}: its shim is neither there nor gone")
            # One that was told to end still holds the lock: the next may start when it is gone.
            until.pause()

    def _reloaded(self, path: Path, live: str, until: Until) -> bool:
        """Tell a living shim to read want.json; True once it says that it has."""
        within = Until(self._seams, min(RELOAD_S, until.left_s))
        told = False
        while within.left_s > 0 and locked(str(path / "lock")):
            state = read_json(path / "state.json") or {}
            if state.get("state") == "stopping" or state.get("ended"):
                return False
            if state.get("live") == live:
                return True
            if not told:
                self._seams.point("process.signal", path, "HUP")
                told = tell(path, signal.SIGHUP)
            within.pause()
        return False

    def _create(self, action: Action, want: Want, path: Path, until: Until, opened: Open) -> Mark:
        """Make the directory whole beside its place, then move it there: it is there entirely or not at all."""
        for field, names in sealed_names(want.run).items():
            for name in names:
                # Whatever cannot be opened stops it here, before anything is made.
                opened(field, name, getattr(want.run, field)[name])
        with alone(self._directory / "lock", until, f"create {action.ref} on host {self._host}"):
            self._sweep()
            self._seams.point("process.ports", path)
            sockets = run_directory(self._directory)
            ports = choose(self._directory, sockets, path.name, want, self._spec.ports)
            mark = Mark(
                self._installation,
                want.ref,
                want.uid,
                str(want.owner),
                want.instance,
                ports,
                round(self._seams.now(), 3),
                want.deletion,
            )
            half = self._directory / HALF / path.name
            self._seams.point("process.make", half)
            half.mkdir(mode=0o700)
            (half / HOME).mkdir(mode=0o700)
            write_json(half / "want.json", self._filling(want, path, mark, opened).want())
            self._seams.point("process.write", half, "mark.json")
            write_json(half / "mark.json", mark.value())
            self._seams.point("process.move", path)
            if path.exists():
                # Without a mark: what a power failure left of a directory that was just made.
                os.replace(path, self._directory / HALF / f"{path.name}.unmarked")
            os.replace(half, path)
        return mark

    def _take_over(self, action: Action, path: Path, until: Until) -> None:
        """Put our mark in the place of the one that was said to be ours to take; any other stays."""
        mark = read_mark(path)
        if mark is None or mark.installation != action.want:
            return
        if mark.ref.kind == "Proxy":
            # It was started with a token of the other installation, and ours lets only our own in: it has to start again.
            self._seams.point("process.stop", path)
            end(path, until)
        self._seams.point("process.write", path, "mark.json")
        write_json(path / "mark.json", replace(mark, installation=self._installation).value())

    def _delete(self, action: Action, path: Path, until: Until) -> None:
        mark = own_mark(path, self._installation, action)
        if mark is None:
            return
        self._seams.point("process.stop", path)
        end(path, until)
        with alone(path / "lock", until, f"delete {action.ref} on host {self._host}"):
            reap(path)
            for port in mark.ports.values():
                if isinstance(port, str):
                    with contextlib.suppress(OSError):
                        os.unlink(port)
            with alone(self._directory / "lock", until, f"delete {action.ref} on host {self._host}"):
                self._sweep()
                self._seams.point("process.move", path)
                os.replace(path, self._directory / HALF / path.name)
        self._seams.point("process.remove", path)
        shutil.rmtree(self._directory / HALF / path.name, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what a kill has left half made or half removed; the caller holds the host's lock."""
        for left in sorted((self._directory / HALF).iterdir()):
            self._seams.point("process.remove", left)
            shutil.rmtree(left, ignore_errors=True)

    def _make_host(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._directory / HALF).mkdir(mode=0o700, exist_ok=True)

    def _filling(self, want: Want, path: Path, mark: Mark, opened: Open) -> Filling:
        return Filling(want, path, self._spec.address, mark.ports, self._xds_socket, self._private(mark), opened)

    def _opened(self, want: Want) -> Open:
        """Opens each secret once for one action, and not before it is needed."""
        known: dict[tuple[str, str], bytes] = {}

        def open(field: str, name: str, value: Sealed) -> bytes:
            if self._open_secret is None:
                raise DriverError(f"cannot open what is sealed for {want.owner} as {name}: there are no keys here")
            if (field, name) not in known:
                known[field, name] = self._open_secret(want.owner, value, f"run: {field} {name}")
            return known[field, name]

        return open

    def _private(self, mark: Mark) -> dict[str, str]:
        """How an Envoy proves who it is, and says which of its Proxy's instances."""
        token = self._token(mark)
        return {"XDS_TOKEN": token, "XDS_INSTANCE": instance_on(self._host, mark.instance)} if token else {}

    def _token(self, mark: Mark) -> str:
        """Only a proxy has business with the xDS server."""
        return self._xds_token(str(mark.ref).removeprefix("Proxy/")) if mark.ref.kind == "Proxy" else ""

    @contextlib.contextmanager
    def _told(self, verb: str, about: Action | str) -> Iterator[None]:
        what = f"{about.ref} on host {self._host}" if isinstance(about, Action) else about
        try:
            yield
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            raise DriverError(f"cannot {verb} {what}: {error.strerror or error}{place}") from error
