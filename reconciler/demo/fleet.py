"""The demo's fleet: a bare origin, a working clone, the documents in it, and commits to them."""

import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

APP = Path(__file__).with_name("app.py")
REPLICAS = 2
PROXIES = ("edge-1", "edge-2", "edge-3")


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


def git_environment() -> dict[str, str]:
    """Git that heeds no configuration but the repository's own: no signing, no hooks, no aliases, nobody's identity."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **kept,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        **{f"GIT_{who}_NAME": "Convoy demo" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "demo@convoy.invalid" for who in ("AUTHOR", "COMMITTER")},
    }


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now, outside the range from which the process driver chooses."""
    held: list[socket.socket] = []
    found: list[int] = []
    for port in range(10_080, 20_000):
        if len(found) == count:
            break
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
            continue
        held.append(probe)
        found.append(port)
    for probe in held:
        probe.close()
    if len(found) < count:
        raise DemoError("no free ports between 10080 and 19999 on 127.0.0.1: stop something that listens there")
    return found


def document(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "convoy/v1", "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def application(name: str, words: str) -> dict[str, Any]:
    return document(
        "Application",
        name,
        {
            "replicas": REPLICAS,
            "files": {"app.py": APP.read_text()},
            "command": ["python3", "app.py", words],
            "environment": {"PORT": "${PORT}", "ADDRESS": "${ADDRESS}"},
            "ports": [{"name": "http"}],
            "check": {"http": {"path": "/"}, "unhealthyAfter": 1},
        },
    )


@dataclass(frozen=True)
class Fleet:
    """A bare origin and a working clone in one directory; `ports` are the Envoys' listener ports, by proxy."""

    directory: Path
    ports: Mapping[str, int]

    @property
    def origin(self) -> Path:
        return self.directory / "origin.git"

    @property
    def clone(self) -> Path:
        return self.directory / "fleet"

    def make(self) -> None:
        """Create origin, clone and the first commit."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.git(self.directory, "init", "-q", "--bare", "--initial-branch=main", str(self.origin))
        self.git(self.directory, "init", "-q", "--initial-branch=main", str(self.clone))
        self.git(self.clone, "remote", "add", "origin", str(self.origin))
        self.write("settings.yaml", self.settings(gate=True))
        self.write("hosts.yaml", document("Host", "local", {"driver": "process", "address": "127.0.0.1"}))
        self.write("apps/blue.yaml", application("blue", "blue"))
        self.write("apps/green.yaml", application("green", "green"))
        group = document("ProxyGroup", "edge", {"configuration": "edge"})
        proxies = [
            document("Proxy", name, {"group": "edge", "host": "local", "ports": {"http": port}})
            for name, port in self.ports.items()
        ]
        self.write("proxies.yaml", group, *proxies)
        self.write("edge.yaml", self.edge({"blue": 100, "green": 0}))
        self.commit("A fleet of three Envoys before two versions of an application")

    def settings(self, *, gate: bool) -> dict[str, Any]:
        return document("Settings", "fleet", {"drainSeconds": 1, "validateWithEnvoy": gate})

    def edge(self, weights: Mapping[str, int], clusters: tuple[Mapping[str, Any], ...] = (), says: str = "") -> dict[str, Any]:
        """`says`: what every answer says its version is, instead of the application's own word."""
        spec: dict[str, Any] = {
            "listeners": [{"name": "http", "port": 10080, "routes": "main"}],
            "routes": [{"name": "main", "virtualHosts": [{"routes": [{"prefix": "/", "weights": dict(weights)}]}]}],
        }
        if says:
            header = {"header": {"key": "x-version", "value": says}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            spec["routes"][0]["virtualHosts"][0]["envoy"] = {"response_headers_to_add": [header]}
        if clusters:
            spec["clusters"] = [dict(cluster) for cluster in clusters]
        return document("Configuration", "edge", spec)

    def write(self, path: str, *documents: Mapping[str, Any]) -> None:
        file = self.clone / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.dump_all(documents, Dumper=_Readable, sort_keys=False, explicit_start=len(documents) > 1))

    def remove(self, path: str) -> None:
        (self.clone / path).unlink()

    def commit(self, message: str) -> str:
        """Commit all of the clone and push it; returns the revision."""
        self.git(self.clone, "add", "--all")
        self.git(self.clone, "-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", message)
        self.git(self.clone, "push", "-q", "origin", "main")
        return self.git(self.clone, "rev-parse", "HEAD").strip()

    def revert(self) -> str:
        """Commit the state before the last commit again, and push it."""
        self.git(self.clone, "-c", "core.hooksPath=/dev/null", "revert", "--no-edit", "HEAD")
        self.git(self.clone, "push", "-q", "origin", "main")
        return self.git(self.clone, "rev-parse", "HEAD").strip()

    def pull(self) -> None:
        """Bring the clone to where the origin is."""
        self.git(self.clone, "pull", "-q", "--ff-only", "origin", "main")

    def git(self, directory: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments], env=git_environment(), capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise DemoError(f"git {arguments[0]} failed in {directory}: {done.stderr.strip()}")
        return done.stdout


class _Readable(yaml.SafeDumper):
    """Writes text of several lines as a block, as a person would."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _block)
