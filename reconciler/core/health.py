"""How each kind of thing fares: what is seen of it ⇒ a word for its health, and why.

What is known of one thing is a value (`Instance`, `Application`, …); its fields are also the variables that a person's own
expression (`Settings.health`) may speak of. This is what people are shown. Where requests go, and when an old instance may end,
is decided by the instances' own checks alone (docs/decisions/0022).
"""

from dataclasses import dataclass, field
from typing import Literal

Word = Literal["healthy", "starting", "degraded", "unhealthy", "unknown", "none"]
# From well to not at all.
ORDER: tuple[Word, ...] = ("none", "healthy", "starting", "degraded", "unknown", "unhealthy")
# What is as it should be, and what no fleet waits for: something degraded serves, and needs somebody to look at it.
WELL = frozenset({"healthy", "degraded", "none"})
# So many restarts without becoming healthy are no accident.
CRASH_LOOP = 3
# A certificate from Git is renewed by people: two weeks are time enough to do so.
SOON_DAYS = 14
# Signals that end what runs, by the numbers of https://man7.org/linux/man-pages/man7/signal.7.html.
SIGNALS = {6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word, and why; an empty message where there is nothing to say."""

    status: Word
    message: str = ""


WELL_VERDICT = Verdict("healthy")


@dataclass(frozen=True, slots=True)
class Instance:
    """A Container, or one replica. `check` is what its host says of it, in the words of `said`.

    `exit` is the status of its last run, -1 where there was none; a signal's is its number below nought.
    """

    there: bool = False
    state: str = ""
    check: str = "unknown"
    said: str = ""
    restarts: int = 0
    exit: int = 0
    ended: bool = False
    failed_checks: int = 0
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """An Envoy: its instance, and whether it has what it is told. `waits` says in words what it still has to do, `shared` who
    listens on a port of it too."""

    instance: Instance = field(default_factory=Instance)
    connected: bool = False
    synced: bool = False
    waits: str = ""
    shared: str = ""


@dataclass(frozen=True, slots=True)
class Application:
    """How many replicas are wanted, and how those that are declared fare; `restarts` of all of them."""

    replicas: int = 0
    healthy: int = 0
    starting: int = 0
    unhealthy: int = 0
    restarts: int = 0
    worst: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What proxies are told because of a ProxyGroup, Configuration, Cluster, VirtualHost: on how many of them it is in force.

    `endpoints` counts those its clusters have from Applications and Containers; `empty` names a cluster none of whose is
    healthy, `bare` one that has none at all: its Application may have no replicas, because somebody wants it so.
    """

    proxies: int = 0
    connected: int = 0
    in_force: int = 0
    endpoints: int = 0
    healthy_endpoints: int = 0
    empty: str = ""
    bare: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whole days until it ends (below nought: since it has); `known` is False as long as nobody has made or read it."""

    known: bool = False
    days_left: int = 0
    made_here: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """Whether it can be seen, or why not; `state` as it is declared, and how much still runs on it."""

    seen: bool = True
    blind: str = ""
    state: str = "active"
    workloads: int = 0


Seen = Instance | Proxy | Application | Traffic | Certificate | Host


def judge(seen: Seen) -> Verdict:
    """The built-in verdict."""
    match seen:
        case Instance():
            return instance(seen)
        case Proxy():
            return proxy(seen)
        case Application():
            return application(seen)
        case Traffic():
            return traffic(seen)
        case Certificate():
            return certificate(seen)
        case Host():
            return host(seen)


def instance(seen: Instance) -> Verdict:
    if not seen.there:
        return Verdict("unknown", "missing")
    if seen.check == "healthy":
        return Verdict("healthy")
    ended = _ended(seen)
    if seen.restarts >= CRASH_LOOP:
        last = f", the last time with {ended}" if ended else ""
        return Verdict("unhealthy", _joined(f"crash loop: ended {seen.restarts} times{last}", seen.said))
    if seen.state == "failed" and ended:
        return Verdict("unhealthy", _joined(f"ended with {ended}", seen.said))
    return Verdict(_word(seen.check), seen.said)


def proxy(seen: Proxy) -> Verdict:
    under = instance(seen.instance)
    if under.status != "healthy":
        return under
    if seen.shared:
        return Verdict("unhealthy", seen.shared)
    if not seen.connected:
        return Verdict("healthy" if not seen.waits else "degraded", seen.waits)
    return Verdict("healthy", "" if seen.synced else seen.waits)


def application(seen: Application) -> Verdict:
    if not seen.replicas:
        return Verdict("none", "no replicas")
    if seen.healthy >= seen.replicas:
        return Verdict("healthy")
    why = f"{seen.healthy} of {seen.replicas} replicas healthy" + (f": {seen.worst}" if seen.worst else "")
    if seen.healthy:
        return Verdict("degraded", why)
    if seen.unhealthy:
        return Verdict("unhealthy", why)
    return Verdict("starting" if seen.starting else "unknown", why)


def traffic(seen: Traffic) -> Verdict:
    if not seen.proxies:
        return Verdict("none", "not used by any proxy")
    if seen.empty:
        return Verdict("unhealthy", f"cluster {seen.empty} has no healthy endpoint")
    if seen.in_force >= seen.proxies:
        return Verdict("degraded", f"cluster {seen.bare} has no endpoint") if seen.bare else Verdict("healthy")
    why = f"in force on {seen.in_force} of {seen.proxies} proxies"
    if seen.connected >= seen.proxies:
        return Verdict("starting", why)
    return Verdict("degraded" if seen.connected else "unknown", why)


def certificate(seen: Certificate) -> Verdict:
    if not seen.known:
        return Verdict("none")
    if seen.days_left < 0:
        return Verdict("unhealthy", f"expired {_days(-seen.days_left)} ago")
    if seen.days_left < SOON_DAYS and not seen.made_here:
        return Verdict("degraded", f"expires in {_days(seen.days_left)}: have a new one issued")
    return Verdict("healthy")


def host(seen: Host) -> Verdict:
    if seen.state == "lost":
        return Verdict("none", "lost")
    if not seen.seen:
        return Verdict("unknown", seen.blind)
    if seen.state == "draining":
        left = (
            f"{seen.workloads} still {'runs' if seen.workloads == 1 else 'run'} on it"
            if seen.workloads
            else "nothing runs on it"
        )
        return Verdict("healthy", f"draining: {left}")
    return Verdict("healthy", "" if seen.state == "active" else seen.state)


def _ended(seen: Instance) -> str:
    """How its last run ended, in words."""
    if not seen.ended:
        return ""
    if seen.exit < 0:
        return SIGNALS.get(-seen.exit, f"signal {-seen.exit}")
    return f"status {seen.exit}"


def _word(check: str) -> Word:
    return next((word for word in ORDER if word == check), "unknown")


def _joined(head: str, said: str) -> str:
    return f"{head}; {said}" if said and said not in head else head


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"
