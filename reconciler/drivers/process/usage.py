"""What instances use, by the operating system: every process below a shim, its processor time and its memory."""

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.envoy_stats import COUNTS, STATS, counts, traffic
from reconciler.core.model import Observed
from reconciler.core.running import Counts, Traffic, Usage
from reconciler.drivers.process.instance import name_of
from reconciler.drivers.process.supervise import shim_of
from reconciler.envoy_admin import AdminError, get
from reconciler.seams import Seams

# Envoys are asked so many at once, and one that does not answer by then is shown without what it counts; so is who has not been
# asked after so long, because others did not answer.
AT_ONCE, PATIENCE_S, LONGEST_S = 8, 1.0, 20.0
PS = ("/bin/ps", "-A", "-o", "pid=,ppid=,rss=,time=,etime=")


@dataclass(frozen=True, slots=True)
class Spent:
    """One process. `cpu_s` includes its children that have ended; `age_s` is how long ago it began."""

    parent: int
    cpu_s: float
    memory_bytes: int
    age_s: float


def usage(
    host: str, seen: Iterable[Observed], directory: Path, seams: Seams, over: threading.Event, *, counting: bool = False
) -> list[Usage]:
    """Once `over` is set no further Envoy is asked. Raises OSError."""
    alive = [one for one in seen if one.fields.get("pid")]
    processes = _linux() if sys.platform == "linux" else parse_ps(_ps())
    below: dict[int, list[int]] = defaultdict(list)
    for pid, process in processes.items():
        below[process.parent].append(pid)
    now = seams.now()
    until = seams.monotonic() + LONGEST_S

    def ask(one: Observed) -> Traffic | Counts | None:
        return None if over.is_set() or seams.monotonic() > until else _told(one, counting, seams)

    # Who keeps others waiting does so to other ones each time.
    order = sorted(alive, key=lambda one: hash((one.instance, int(now) // 60))) if counting else alive
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="admin") as pool:
        told = dict(zip((one.key for one in order), pool.map(ask, order), strict=True))
    found = []
    for one in alive:
        said, pid = told[one.key], int(one.fields["pid"])
        # The shim takes in every orphan below it, so what belongs to an instance is what descends from its shim.
        tree = _tree(below, shim_of(directory / name_of(one.ref, one.instance)))
        spent = [processes[pid] for pid in tree]
        cpu_s, memory = sum(s.cpu_s for s in spent), sum(s.memory_bytes for s in spent)
        age_s = processes[pid].age_s if pid in processes else None
        traffic, counts = (None, said) if isinstance(said, Counts) else (said, None)
        found.append(Usage(one.ref, one.instance, host, cpu_s, memory, len(spent), now, traffic, counts, pid, age_s))
    return found


def _tree(below: Mapping[int, list[int]], root: int) -> list[int]:
    """Every process below this one; none below 0, which is no process."""
    found: list[int] = []
    left = [*below.get(root, ())] if root else []
    while left:
        pid = left.pop()
        found.append(pid)
        left += below.get(pid, ())
    return found


def _told(one: Observed, counting: bool, seams: Seams) -> Traffic | Counts | None:
    socket = (one.fields.get("ports") or {}).get("admin")
    if one.ref.kind != "Proxy" or not isinstance(socket, str):
        return None
    try:
        if counting:
            body = get(socket, COUNTS, PATIENCE_S)
            return counts(body, seams.monotonic())
        return traffic(get(socket, STATS, PATIENCE_S))
    except AdminError:
        return None


def _linux() -> dict[int, Spent]:
    # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    up_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The name in parentheses may itself hold anything; everything is counted from the last parenthesis.
                fields = file.read().rpartition(b")")[2].split()
            ticks = sum(map(int, fields[11:15]))
            age_s = max(0.0, up_s - int(fields[19]) / tick)
            found[int(name)] = Spent(int(fields[1]), ticks / tick, int(fields[21]) * page, age_s)
        except (OSError, ValueError, IndexError):
            # It has ended since.
            continue
    return found


def _ps() -> str:
    # https://pubs.opengroup.org/onlinepubs/9699919799/utilities/ps.html
    try:
        return subprocess.run(PS, capture_output=True, text=True, check=False, timeout=10).stdout
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{PS[0]} does not answer") from error


def parse_ps(text: str) -> dict[int, Spent]:
    """What `ps -o pid=,ppid=,rss=,time=,etime=` prints."""
    found = {}
    for line in text.splitlines():
        try:
            pid, parent, kilobytes, spent, age = line.split()
            found[int(pid)] = Spent(int(parent), _seconds(spent), int(kilobytes) * 1024, _seconds(age))
        except ValueError:
            continue
    return found


def _seconds(text: str) -> float:
    """[[days-]hours:]minutes:seconds, with fractions or without; raises ValueError."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return int(days or 0) * 86400 + seconds
