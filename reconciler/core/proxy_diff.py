"""One proxy, resource by resource: what is declared for it, what it was sent, what it acknowledged, and what it runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from reconciler.core.delivery import Delivery
from reconciler.core.dump import Run, Running, alike, sides
from reconciler.core.envoy import needs
from reconciler.core.fields import Fields, differences
from reconciler.core.model import XDS_TYPES, Ref, Snapshot, Where, XdsResource

# How one resource stands at one step. "missing": it should be there; "surplus": it should not; "unknown": nobody can tell.
State = Literal["same", "other", "missing", "surplus", "unknown", "none"]


@dataclass(frozen=True, slots=True)
class Row:
    """One resource of one Envoy: what was sent against what is declared, what it acknowledged against what was sent, and what
    it runs against what is declared.

    `why` is Envoy's own words where it refused what is declared; `fields` go from what is declared to what runs.
    """

    type: str
    name: str
    owner: Ref | None
    origin: Where | None
    sent: State
    acked: State
    runs: State
    warming: bool = False
    why: str = ""
    fields: Fields = field(default_factory=Fields)

    @property
    def same(self) -> bool:
        return {self.sent, self.acked, self.runs} <= {"same", "unknown", "none"} and not self.warming


@dataclass(frozen=True, slots=True)
class Side:
    """One Envoy of a proxy: while one replaces another there are two. `unasked` says why there is no `running`."""

    instance: str
    host: str
    running: Running | None
    unasked: str = ""


@dataclass(frozen=True, slots=True)
class ProxyDiff:
    """`rows`: instance ⇒ its rows, in the order of types and names; under "", and without what runs, where none was asked.

    `delivery` and `sides` are without contents.
    """

    node: str
    delivery: Delivery
    sides: tuple[Side, ...]
    rows: Mapping[str, tuple[Row, ...]]

    @property
    def same(self) -> bool:
        return all(row.same for rows in self.rows.values() for row in rows)

    @property
    def asked(self) -> bool:
        return any(side.running is not None for side in self.sides)


def proxy_diff(node: str, delivery: Delivery, sides: tuple[Side, ...], refused: Mapping[str, str]) -> ProxyDiff:
    """`refused`: content version ⇒ the words of the Envoys that refused it."""
    rows = {side.instance: tuple(_rows(delivery, side.running, refused)) for side in sides if side.running is not None}
    rows = rows or {"": tuple(_rows(delivery, None, refused))}
    # A thousand proxies are compared one after the other: what each says and was told need not stay for that.
    without = replace(delivery, wanted=_emptied(delivery.wanted), told=_emptied(delivery.told) if delivery.told else None)
    asked = tuple(replace(side, running={}) if side.running is not None else side for side in sides)
    return ProxyDiff(node, without, asked, rows)


def _emptied(snapshot: Snapshot) -> Snapshot:
    return Snapshot(snapshot.version, {})


def _rows(delivery: Delivery, running: Running | None, refused: Mapping[str, str]) -> Iterator[Row]:
    wanted, told = delivery.wanted, delivery.told
    asked_for = _asked_for(told or wanted)
    behind = {(one.type, one.name): one.acked for one in delivery.behind}
    for type in XDS_TYPES:
        names = {
            *wanted.resources.get(type, {}),
            *(told.resources.get(type, {}) if told else ()),
            *(running or {}).get(type, ()),
        }
        for name in sorted(names):
            want, sent = wanted.get(type, name), told.get(type, name) if told else None
            run = (running or {}).get(type, {}).get(name)
            about = want or sent
            asked = type in ("cds", "lds") or (type, name) in asked_for
            if about is None and not asked:
                # The endpoints of a cluster that brings them along: Envoy lists those too.
                continue
            runs = _runs(want, run, running is not None, asked)
            fields = differences(*sides(want, run)) if want is not None and run is not None and runs == "other" else Fields()
            yield Row(
                type,
                name,
                about.owner if about else None,
                about.origin if about else None,
                "unknown" if told is None else _against(want, sent),
                _acked(sent, delivery, behind.get((type, name)), asked),
                runs,
                run is not None and run.state == "warming",
                refused.get(want.version, "") if want is not None and (sent is None or sent.version != want.version) else "",
                fields,
            )


def _asked_for(snapshot: Snapshot) -> set[tuple[str, str]]:
    """What Envoys ask for because something else names it; the rest they never get."""
    return {need for resources in snapshot.resources.values() for resource in resources.values() for need in needs(resource)}


def _against(want: XdsResource | None, sent: XdsResource | None) -> State:
    if want is None or sent is None:
        return "none" if want is sent else "surplus" if want is None else "missing"
    return "same" if want.version == sent.version else "other"


def _acked(sent: XdsResource | None, delivery: Delivery, behind: str | None, asked: bool) -> State:
    if sent is None:
        return "none"
    if delivery.synced:
        return "same"
    if behind is None:
        # What is not listed is acknowledged, unless not all that is not is listed, or nobody is there.
        return "unknown" if delivery.more or not delivery.connected else "same"
    return "none" if not asked else "other" if behind else "missing"


def _runs(want: XdsResource | None, run: Run | None, asked: bool, needed: bool) -> State:
    if not asked:
        return "unknown"
    if want is None or run is None:
        return "none" if (want is None and run is None) or not needed else "surplus" if want is None else "missing"
    same = alike(want, run)
    return "unknown" if same is None else "same" if same else "other"
