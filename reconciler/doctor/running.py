"""Checks of what runs: the hosts, what a kill has left on them, what is not ours, ports, and the proxies."""

import os
from collections.abc import Iterator
from pathlib import Path

from reconciler.core.handover import node_id
from reconciler.core.model import Ref
from reconciler.core.show_doctor import Finding, Verdict
from reconciler.core.show_problems import count
from reconciler.doctor.ground import Ground, Nothing, folders, holder
from reconciler.drivers import DriverError
from reconciler.drivers.process.driver import HALF
from reconciler.drivers.process.instance import read_mark
from reconciler.drivers.process.ports import bindable
from reconciler.drivers.process.shim.system import MARK
from reconciler.store import StoreError

MOST = 5


def hosts(ground: Ground) -> Iterator[Finding]:
    sight = ground.sight()
    for name, why in sorted(sight.blind.items()):
        hint = f"mend that: nothing is done on host {name} until it can be seen"
        yield Finding("bad", f"host {name} cannot be seen: {why}", hint)
    names = {one.host for one in sight.seen}
    yield Finding("ok", f"{count(len(sight.seen), 'instance')} on {count(len(names), 'host')}")


def leftovers(ground: Ground) -> Iterator[Finding]:
    """What was half made or half removed when a Convoy was killed."""
    found = 0
    for host in folders(ground.hosts):
        half = folders(host / HALF)
        if half and not holder(host / "lock"):
            found += len(half)
            hint = "nothing: the next thing that is made or removed on this host takes it along"
            yield Finding("warn", f"a kill has left {count(len(half), 'directory')} on host {host.name}: {half[0].name}", hint)
        for one in folders(host):
            if one.name[:1].isupper() and not holder(one / "lock"):
                yield from _unmarked(one)
    if not found:
        yield Finding("ok", "nothing half done")


def _unmarked(directory: Path) -> Iterator[Finding]:
    try:
        mark = read_mark(directory)
    except DriverError as error:
        yield Finding("bad", str(error), f"move {directory} away; if it runs, end it first")
        return
    if mark is None:
        yield Finding("warn", f"{directory} bears no mark", "remove it, if nothing in it is needed")


def foreign(ground: Ground) -> Iterator[Finding]:
    sight = ground.sight()
    whose: dict[str, list[str]] = {}
    for (host, ref), installation in sorted(sight.foreign.items()):
        whose.setdefault(installation, []).append(f"{ref} on host {host}")
    for installation, listed in whose.items():
        more = f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""
        what = f"{listed[0]}{more} bears the mark of installation {installation}"
        hint = f"`convoy take-over {installation}` if that one is no more; else give one of the two another state directory"
        yield Finding("warn", what, hint)
    yield Finding("ok", "every mark is ours" if not whose else f"{count(len(whose), 'other installation')}")


def shims(ground: Ground) -> Iterator[Finding]:
    """Instances that nothing supervises, and processes whose instance is gone."""
    sight = ground.sight()
    lost = [one for one in sight.seen if one.fields.get("state") == "lost"]
    if lost and not ground.working():
        what = (
            f"{count(len(lost), 'instance')} ({lost[0].ref}, …) is supervised by nothing: killed, or this machine was restarted"
        )
        yield Finding("warn", what, "`convoy serve` (or `convoy apply`) starts it again")
    elif lost:
        hint = "wait: Convoy starts it again; if it stays so, see its log"
        yield Finding("warn", f"{count(len(lost), 'instance')} ({lost[0].ref}, …) is supervised by nothing", hint)
    for directory, pids in sorted(_orphans(ground.hosts.resolve()).items()):
        listed = " ".join(str(pid) for pid in sorted(pids))
        what = f"processes run whose instance {Path(directory).name} is gone: {listed}"
        yield Finding("bad", what, f"end them: kill {listed}")
    yield Finding("ok", "every process has its instance")


def _orphans(place: Path) -> dict[str, list[int]]:
    """Instance directory that is gone ⇒ the processes that its shim has started (Linux only)."""
    begin = f"{MARK}={place}/".encode()
    found: dict[str, list[int]] = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()) if os.path.isdir("/proc") else ():
        try:
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for word in words:
            if word.startswith(begin):
                directory = os.fsdecode(word.partition(b"=")[2])
                if not os.path.exists(f"{directory}/mark.json"):
                    found.setdefault(directory, []).append(pid)
    return found


def ports(ground: Ground) -> Iterator[Finding]:
    """Ports that documents fix, and that somebody else has."""
    fleet = ground.fleet()
    if fleet is None:
        raise Nothing("it is not known which ports documents fix")
    ours = {number for one in ground.sight().seen for number in dict(one.fields.get("ports") or {}).values()}
    running = {node_id(one.ref) for one in ground.sight().seen if one.ref.kind == "Proxy" and one.fields.get("pid")}
    looked = 0
    wanted: list[tuple[Ref, int]] = []
    for ref, want in fleet.workloads.items():
        wanted += [(ref, port.port) for port in want.run.ports if port.port is not None]
    for resource in fleet.of("Proxy"):
        if node_id(resource.ref) not in running:
            own = getattr(resource.spec, "ports", {})
            wanted += [(resource.ref, number) for number in own.values()]
    for ref, number in sorted(set(wanted)):
        looked += 1
        if number not in ours and not bindable(number):
            hint = f"see who has it (`ss -ltnp 'sport = :{number}'`) and end that, or give {ref} another"
            yield Finding("bad", f"port {number}, which {ref} is to have, is in use by something else", hint)
    yield Finding("ok", f"{count(looked, 'fixed port')}" if looked else "documents fix none that is not in use by its proxy")


def proxies(ground: Ground) -> Iterator[Finding]:
    try:
        kept = ground.store()
    except StoreError as error:
        raise Nothing(str(error)) from None
    rows = [row for name, row in sorted(kept.status.items()) if name.startswith("Proxy/")]
    if not rows:
        raise Nothing("there are none")
    old = "" if ground.working() else " (as the last Convoy saw it)"
    ill = [row for row in rows if row.get("sync") != "synced" or row.get("health") != "healthy"]
    for row in ill[:MOST]:
        verdict: Verdict = "bad" if row.get("sync") in ("failed", "refused") or row.get("health") == "unhealthy" else "warn"
        what = f"{row['ref']} is {row.get('sync')}, {row.get('health')}{old}: {row.get('why', '')}".rstrip(": ")
        yield Finding(verdict, what, f"`convoy explain {row['ref']}` shows what it runs, what it refused, and its log")
    if len(ill) > MOST:
        yield Finding("warn", f"and {len(ill) - MOST} more proxies", "`convoy get proxies`")
    yield Finding("ok", f"{len(rows) - len(ill)} of {len(rows)} run all they were told{old}")


def notifications(ground: Ground) -> Iterator[Finding]:
    """Messages that did not arrive."""
    try:
        untold = ground.store().untold
    except StoreError as error:
        raise Nothing(str(error)) from None
    for one in sorted(untold, key=lambda one: str(one["notification"])):
        name, dead = one["notification"], one["dead"]
        what = f"{name}: {count(dead, 'message')} given up, {one['waiting']} tried again: {one['error']}"
        hint = (
            f"mend that; `convoy notify test {name.partition('/')[2]}` tries it, and a changed document sends all of them again"
        )
        yield Finding("bad" if dead else "warn", what, hint)
    yield Finding("ok", "every message has arrived")
