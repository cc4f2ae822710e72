"""A fixed port is one instance's at a time: what replaces another under its number is made when that one is gone."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from reconciler.core.model import Key, Observed, Ref, Want

# What a person reads of the stop, and of what waits for it.
STOPPED = "replaced: stopped before its replacement is made, which is to have its port {port}"
WAITS = "what it replaces still has port {port}"
IN_TURN = "{ref} is replaced first: one after the other, for each has to be stopped before its replacement is made"
ILL = "{ref} is not healthy, and they are replaced one at a time, for each has to be stopped before its replacement is made"


def holders(want: Want, host: str, surplus: Iterable[Observed]) -> dict[Key, int]:
    """What it replaces on this host and has a port that is to be its own ⇒ that port."""
    fixed = sorted(port.port for port in want.run.ports if port.port is not None)
    found: dict[Key, int] = {}
    for one in surplus if fixed else ():
        taken = set(dict(one.fields.get("ports") or {}).values()).intersection(fixed)
        if one.host == host and taken:
            found[one.key] = min(taken)
    return found


class Turns:
    """Of several replicas one is replaced at a time: as few as possible serve nothing meanwhile. Of one plan."""

    def __init__(
        self, workloads: Callable[[Ref], Iterable[Want]], bearing: Mapping[Ref, Sequence[Observed]], busy: Iterable[Ref]
    ) -> None:
        self._workloads, self._bearing, self._busy = workloads, bearing, frozenset(busy)
        self._turns: dict[Ref, Ref | None] = {}

    def before(self, want: Want) -> tuple[Ref, str] | None:
        """The replica that this one waits for, and why: one that serves nothing already, or is being changed, or is replaced
        first; None where it is this one's turn. Whoever serves nothing waits for nobody."""
        if want.owner not in self._turns:
            self._turns[want.owner] = next((one.ref for one in self._workloads(want.owner) if not self._serves(one.ref)), None)
        turn = self._turns[want.owner] = self._turns[want.owner] or want.ref
        if turn == want.ref or not self._serves(want.ref):
            return None
        return turn, (IN_TURN if turn in self._busy or self._healthy(turn) else ILL).format(ref=turn)

    def _serves(self, ref: Ref) -> bool:
        return self._healthy(ref) and ref not in self._busy

    def _healthy(self, ref: Ref) -> bool:
        return any(one.health.status == "healthy" for one in self._bearing.get(ref, ()))
