"""Reads once a minute what runs on the hosts uses and what Envoys have counted, and keeps what they served in it."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.handover import node_id
from reconciler.core.kinds.settings import Retention
from reconciler.core.model import Ref, XdsResource
from reconciler.core.rates import rates
from reconciler.core.readings import MINUTE_S, Reading, beside, served, subject, tenant
from reconciler.core.running import Usage
from reconciler.hosts import Host
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import StoreError
from reconciler.store.readings import Readings

# So many hosts are asked at once; who has not answered after so long is a gap.
AT_ONCE, PATIENCE_S = 32, 30.0
# What many proxies served of one cluster is added up so many at a time: a histogram of each would fill much memory.
PIECE = 32
# How often is dropped what is old; and for how long the clock must have gone on as a clock does before anything is.
PURGE_S, STEADY_S, JUMP_S = 600.0, 600.0, 60.0


# What a proxy is told of, by its identity: those of one group are told the same. And it itself, so that no other gets that.
_Names = dict[int, tuple[Mapping[str, XdsResource], dict[str, str]]]


@dataclass(slots=True)
class _Looked:
    """At one host: since when (by the clock that never goes back), and what of it was seen last."""

    since: float
    last: dict[tuple[Ref, str], Usage] = field(default_factory=dict)


class Scraper:
    """A thread of its own, in the Convoy that acts; nobody waits for it, and whatever goes wrong in it is a gap."""

    def __init__(
        self,
        readings: Readings,
        hosts: Callable[[], Iterable[Host]],
        told: Callable[[str], Mapping[str, XdsResource]],
        retention: Callable[[], Retention | None],
        about: Callable[[], Mapping[str, Any]],
        acts: Callable[[], bool],
        log: Log,
        seams: Seams,
    ) -> None:
        """`told`: node ⇒ the clusters that it is told of. `retention`: None as long as nobody knows. `about`: what is kept of
        Convoy itself."""
        self._readings, self._hosts, self._told, self._retention, self._about = readings, hosts, told, retention, about
        self._acts, self._log, self._seams = acts, log, seams
        self._looked: dict[str, _Looked] = {}
        self._before: list[list[Usage]] = []
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._said: dict[str, str] = {}
        self._ahead_s, self._steady_since = self._offset(), seams.monotonic()
        self._purged_at = seams.monotonic()
        self._ended, self._all_in = threading.Event(), threading.Event()
        self._pool = seams.pool(AT_ONCE, "scrape")
        self._thread = seams.thread(self._run, "scraper")

    def start(self) -> "Scraper":
        self._thread.start()
        return self

    def close(self) -> None:
        self._ended.set()
        self._all_in.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        # The first look only says from where to count.
        wait_s = 1.0
        while not self._seams.wait(self._ended, wait_s):
            try:
                self.turn()
            except Exception as error:  # noqa: BLE001 - a mistake of ours about one minute must not end all later ones
                self._log.error("readings.failed", error=f"{type(error).__name__}: {error}")
            # Just after each minute, so that what comes between two looks is one.
            wait_s = MINUTE_S - self._seams.now() % MINUTE_S + 0.05

    def turn(self) -> None:
        """One look at everything."""
        if not self._acts():
            self._looked.clear()
            return
        begun, now = self._seams.monotonic(), self._seams.now()
        found = self._look()
        if self._ended.is_set():
            return
        took_s = self._seams.monotonic() - begun
        minutes, silent = self._minutes(found, now - begun)
        system = self._system(found, silent, now, took_s)
        try:
            self._readings.write(minutes, system, self._seams.now())
            self._purge()
            self._say("", "")
        except StoreError as error:
            self._say("", str(error))

    def _look(self) -> dict[str, list[Usage]]:
        """Host ⇒ what was seen there; those who cannot be seen, or not in time, are not in it."""
        found: dict[str, list[Usage]] = {}
        self._all_in = all_in = threading.Event()
        with self._lock:
            asked = {host.name: host for host in self._hosts() if host.name not in self._busy}
            self._busy |= asked.keys()
        left = set(asked)

        def look(host: Host) -> None:
            try:
                usage, why = host.usage(), ""
            except Exception as error:  # noqa: BLE001 - whatever a driver makes of it, that host is not seen this time
                usage, why = None, str(error)
            self._say(host.name, why)
            with self._lock:
                self._busy.discard(host.name)
                left.discard(host.name)
                if usage is not None:
                    found[host.name] = usage
                if not left:
                    all_in.set()

        for host in asked.values():
            self._pool.submit(look, host)
        if asked:
            self._seams.wait(all_in, 0.0 if self._ended.is_set() else PATIENCE_S)
        with self._lock:
            return dict(found)

    def _minutes(self, found: Mapping[str, list[Usage]], ahead_s: float) -> tuple[dict[tuple[str, int], Reading], int]:
        """Subject and minute ⇒ what was served in it; and how many Envoys did not answer. `ahead_s` is of the clock over the
        one that never goes back."""
        sums: defaultdict[tuple[str, int], list[Reading]] = defaultdict(list)
        names: _Names = {}

        def add(whose: str, at: int, one: Reading) -> None:
            every = sums[whose, at]
            every.append(one)
            if len(every) > PIECE:
                every[:] = [beside(every)]

        silent = 0
        for host in self._looked.keys() - found.keys():
            # What ran there may run on, and may not: the next look begins anew.
            del self._looked[host]
        for host, usages in found.items():
            first = min((one.counts.at for one in usages if one.counts is not None), default=self._seams.monotonic())
            looked = self._looked.setdefault(host, _Looked(first))
            last = {}
            for one in usages:
                key = (one.ref, one.instance)
                before = looked.last.get(key)
                last[key] = before if one.counts is None and before is not None else one
                silent += one.ref.kind == "Proxy" and one.counts is None
                result = served(before, one, looked.since)
                if result is None:
                    continue
                middle = result.at + ahead_s - result.whole.ms / 2000
                at = int(middle - middle % MINUTE_S)
                add(str(one.ref), at, result.whole)
                add(tenant(one.ref.tenant), at, result.whole)
                subjects = self._subjects(one.ref, names)
                for name, reading in result.clusters.items():
                    if name in subjects:
                        add(subjects[name], at, reading)
            looked.last = last
        return {key: beside(every) for key, every in sums.items()}, silent

    def _subjects(self, proxy: Ref, known: _Names) -> dict[str, str]:
        """The clusters that a proxy is told of, by the names that Envoy counts them under. What it says of any other counts for
        nothing: an Envoy that makes names up fills nothing."""
        told = self._told(node_id(proxy))
        if id(told) not in known:
            # https://www.envoyproxy.io/docs/envoy/latest/configuration/upstream/cluster_manager/cluster_stats
            known[id(told)] = told, {name.replace(":", "_"): subject(one.owner, name) for name, one in told.items()}
        return known[id(told)][1]

    def _system(self, found: Mapping[str, list[Usage]], silent: int, now: float, took_s: float) -> dict[str, Any]:
        before = [one for looked in self._before for one in looked]
        self._before = list(found.values())
        hosts = {
            one.name: {"cpu": one.cpu, "memory_bytes": one.memory_bytes, "instances": one.instances}
            for one in rates(before, [one for usages in found.values() for one in usages], {}, "host")
        }
        proxies = sum(one.ref.kind == "Proxy" for usages in found.values() for one in usages)
        scraped = {"proxies": proxies, "silent": silent, "hosts": len(found), "seconds": round(took_s, 3)}
        return {"at": now, **self._about(), "hosts": hosts, "scrape": scraped}

    def _purge(self) -> None:
        at, ahead_s = self._seams.monotonic(), self._offset()
        if abs(ahead_s - self._ahead_s) > JUMP_S:
            # Which of the two is right shows only later, and what is dropped does not come back.
            self._steady_since = at
        self._ahead_s = ahead_s
        kept = self._retention()
        if kept is None or at - self._purged_at < PURGE_S or at - self._steady_since < STEADY_S:
            return
        self._purged_at = at
        self._readings.purge(kept.keep_s(), kept.rows, self._seams.now())

    def _offset(self) -> float:
        return self._seams.now() - self._seams.monotonic()

    def _say(self, host: str, why: str) -> None:
        """Once, and again when it is something else."""
        if why and self._said.get(host) != why:
            self._log.warning("readings.none", host=host, error=why)
        self._said[host] = why
