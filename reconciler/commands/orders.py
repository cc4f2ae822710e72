"""`convoy confirm`, `suspend`, `resume` and `take-over`: what a person tells Convoy beside Git."""

import getpass
import time

import click

from reconciler.commands.look import found, kept_or_fail, names
from reconciler.commands.options import Call, Command, Failure, common, duration

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
    from reconciler import orders

    with kept_or_fail(call) as store:
        plan, rows = store.last_plan() or {}, store.status()
        chosen: dict[str, str] = {}
        for one in what:
            chosen |= orders.confirmable(plan, rows, one if one == "deletes" else str(found(one, rows)["ref"]))
        _show(call, chosen)
        if not yes:
            _ask(call, "Delete?")
        orders.give(store, "confirm", chosen, reason, who(), time.time())
        _wake(call)
    _answer(call, "confirmed", chosen)


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
    from reconciler import orders

    with kept_or_fail(call) as store:
        subject = what if what == "fleet" else str(found(what, store.status())["ref"])
        orders.suspend(store, subject, reason, who(), time.time(), for_s)
        _wake(call)
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
    from reconciler import orders

    with kept_or_fail(call) as store:
        subject = what if what == "fleet" else str(found(what, store.status())["ref"])
        orders.resume(store, subject, who(), time.time())
        _wake(call)
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
    from reconciler import orders

    with kept_or_fail(call) as store:
        what = orders.left_behind(store, installation)
        _show(call, what)
        if not yes:
            if installation in what:
                _ask(call, "Is that installation no more, and shall this one take what it made?")
            else:
                _ask(call, "Is that Convoy's machine no more, and shall this fleet's workloads run from here?")
        orders.take_over(store, installation, reason, who(), time.time())
        _wake(call)
    _answer(call, "taking over", what)


def _wake(call: Call) -> None:
    from reconciler.bell import ring

    ring(call.state)


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
