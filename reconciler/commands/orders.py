"""`convoy confirm`, `suspend`, `resume` and `take-over`: what a person tells Convoy beside Git."""

import getpass
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.look import found, kept_or_fail, names
from reconciler.commands.options import Call, Command, Failure, common, duration

if TYPE_CHECKING:
    from reconciler.core.facts import Order, OrderVerb
    from reconciler.store import Store

# What can be suspended: there has to be something that would be done to it.
SUSPENDABLE = ("Container", "Application", "Proxy", "ProxyGroup", "Host")

REASON = click.option("--reason", default="", metavar="TEXT", help="Why; shown wherever a person may wonder.")


@click.command(
    cls=Command,
    examples=[
        ("convoy confirm Container/db", "delete what waits for it (`deletion: confirm`, or held by the delete budget)"),
        ("convoy confirm deletes --reason 'region closed'", "all deletes that the delete budget holds, as they are listed now"),
    ],
    exits=[(0, "it is confirmed"), (1, "nothing of the kind waits for it")],
)
@click.argument("what", nargs=-1, required=True, metavar="KIND/NAME|deletes…", shell_complete=names)
@REASON
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@common()
def confirm(call: Call, what: tuple[str, ...], reason: str, yes: bool) -> None:
    """Let held deletes go ahead.

    What is confirmed is what is shown and asked about: later deletes need a confirm of their own. In Git the same is said by a
    trailer of the commit that deletes: `Convoy-Confirm: Container/db`.
    """
    from reconciler.core import guard

    with kept_or_fail(call) as store:
        waiting, rows = _waiting(store), store.status()
        chosen: dict[str, str] = {}
        for one in what:
            if one == "deletes":
                found_ = {ref: hold["reason"] for ref, hold in waiting.items() if hold["release"] == guard.RELEASE_LOT}
            else:
                ref = found(one, rows)["ref"]
                found_ = {name: hold["reason"] for name, hold in waiting.items() if ref in (name, _owner(rows, name))}
            if not found_:
                raise Failure(f"nothing waits for a confirm of {one}: `convoy status` shows what is held, and why")
            chosen |= found_
        _show(call, chosen)
        if not yes:
            _ask(call, "Delete?")
        _give(call, store, "confirm", chosen, reason)
    _answer(call, "confirmed", chosen)


def _waiting(store: "Store") -> dict[str, dict[str, Any]]:
    """Printed ref ⇒ its hold, of all deletes that wait for a person."""
    plan = store.last_plan() or {}
    return {
        step["ref"]: hold
        for step in plan.get("steps", ())
        for hold in step["held"]
        if hold["verb"] == "delete" and "convoy confirm" in hold["release"]
    }


def _owner(rows: Mapping[str, Mapping[str, Any]], ref: str) -> str:
    return str(rows.get(ref, {}).get("owner", ref))


@click.command(
    cls=Command,
    examples=[
        ("convoy suspend Application/web --reason 'debugging' --for 2h", "touch nothing of it for two hours"),
        ("convoy suspend fleet --reason 'network maintenance'", "touch nothing at all until tomorrow at this time"),
    ],
    exits=[(0, "it is suspended"), (1, "there is no such resource")],
)
@click.argument("what", metavar="KIND/NAME|fleet", shell_complete=names)
@click.option("--reason", required=True, metavar="TEXT", help="Why; shown wherever a person may wonder.")
@click.option(
    "--for", "for_s", callback=duration, default="24h", show_default=True, metavar="TIME", help="90s, 30m, 2h, 7d or ever."
)
@common()
def suspend(call: Call, what: str, reason: str, for_s: float | None) -> None:
    """Do nothing to a resource for a while, whatever Git says and however it fares.

    It is looked at and shown all the same. What is already under way is finished. `fleet` suspends everything, a Host all
    that runs there, an Application all its replicas, a ProxyGroup what its proxies are told.
    """
    with kept_or_fail(call) as store:
        subject = what if what == "fleet" else str(found(what, store.status())["ref"])
        if subject != "fleet" and subject.split("/")[0] not in SUSPENDABLE:
            raise Failure(
                f"nothing is ever done to {subject} by itself: suspend the ProxyGroup that carries it, "
                f"or one of {', '.join(SUSPENDABLE)}"
            )
        _give(call, store, "suspend", {subject: reason}, reason, for_s)
    _answer(call, "suspended", {subject: reason})


@click.command(
    cls=Command,
    examples=[("convoy resume Application/web", "go on with it"), ("convoy resume fleet", "go on with everything")],
    exits=[(0, "it goes on"), (1, "it was neither suspended nor stopped")],
)
@click.argument("what", metavar="KIND/NAME|fleet", shell_complete=names)
@common()
def resume(call: Call, what: str) -> None:
    """End a suspension; go on correcting what something else kept changing."""
    with kept_or_fail(call) as store:
        subject = what if what == "fleet" else str(found(what, store.status())["ref"])
        suspended = store.drop_orders(("suspend", subject))
        row = store.status().get(subject, {})
        if not suspended and f"convoy resume {subject}" not in str(row.get("why", "")):
            raise Failure(f"{subject} is not suspended: `convoy status` shows what is held, and why")
        _give(call, store, "resume", {subject: ""}, "")
    _answer(call, "resumed", {subject: ""})


@click.command(
    name="take-over",
    cls=Command,
    examples=[("convoy take-over 6f0e8a52-…", "make that installation's things ours, once it is no more")],
    exits=[(0, "they are being taken over"), (1, "nothing bears that installation's mark")],
)
@click.argument("installation")
@REASON
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@common()
def take_over(call: Call, installation: str, reason: str, yes: bool) -> None:
    """Take what bears another installation's mark.

    Everything that Convoy makes bears the id of its installation, and no Convoy touches another's. After the loss of a store
    (without a backup of it), what the old one made is taken over by its id, which `convoy status` shows: what is declared
    goes on running, what is not is deleted within the delete budget. Proxies are started again.

    A host that is another Convoy's machine is taken over by that Convoy's short id, which stands in why it cannot be seen.
    """
    with kept_or_fail(call) as store:
        foreign = (store.state() or {}).get("foreign", {})
        if installation not in foreign:
            from reconciler.homes import homes_of

            hosts = homes_of(store, installation)
            if hosts:
                _take_hosts(call, store, installation, hosts, yes)
                return
            seen = ", ".join(sorted(foreign)) or "none"
            raise Failure(f"nothing bears the mark of installation {installation}; seen were: {seen}")
        what = {installation: f"{foreign[installation]} instances"}
        _show(call, what)
        if not yes:
            _ask(call, "Is that installation no more, and shall this one take what it made?")
        _give(call, store, "take-over", what, reason)
    _answer(call, "taking over", what)


def _take_hosts(call: Call, store: "Store", home: str, hosts: list[str], yes: bool) -> None:
    from reconciler.bell import ring
    from reconciler.homes import forget

    what = {f"Host/{host}": "what ran there from that Convoy's machine is given up" for host in hosts}
    _show(call, what)
    if not yes:
        _ask(call, "Is that Convoy's machine no more, and shall this fleet's workloads run from here?")
    forget(store, hosts)
    for subject in what:
        store.event("order.take-over", subject, f"{who()}: from {home}", time.time())
    ring(call.state)
    _answer(call, "taking over", what)


def _give(
    call: Call, store: "Store", verb: "OrderVerb", subjects: Iterable[str], reason: str, for_s: float | None = None
) -> None:
    from reconciler.bell import ring
    from reconciler.core.facts import Order

    now, by = time.time(), who()
    write_down(store, [Order(verb, one, reason, by, now, None if for_s is None else now + for_s) for one in subjects])
    ring(call.state)


def write_down(store: "Store", orders: "Iterable[Order]") -> None:
    """All of them or none: who is interrupted half way through hundreds would not know which."""
    with store.batch():
        for one in orders:
            store.put_order(one)
            store.event(f"order.{one.verb}", one.subject, f"{one.by}: {one.reason}" if one.reason else one.by, one.at)


def who() -> str:
    """Who gives an order, as it will be shown."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A user without a name, as containers have them.
        return "somebody"


def _show(call: Call, chosen: dict[str, str]) -> None:
    from reconciler.core import show

    if not call.json:
        call.terminal.page(
            tuple(show.text(show.Span(ref, "name"), f"  {why}", indent=2, hang=2) for ref, why in chosen.items())
        )


def _ask(call: Call, question: str) -> None:
    """Only a person can be asked; who is none has to say that it means it."""
    import sys

    if call.json or not sys.stdin.isatty() or not call.terminal.live:
        raise Failure("there is nobody to ask: say --yes")
    click.confirm(question, abort=True, err=True)


def _answer(call: Call, word: str, subjects: dict[str, str]) -> None:
    from reconciler.core import show

    listed = sorted(subjects)
    call.page((show.text(show.Span(word, "good"), f" {', '.join(listed)}"),), {word.replace(" ", "_"): listed})
