"""`convoy notify test`: tells whom a Notification names that they would be told."""

import time
import uuid
from typing import TYPE_CHECKING

import click

from reconciler.commands.look import kept, names
from reconciler.commands.options import Call, Command, Failure, Group, common

if TYPE_CHECKING:
    from reconciler.core.kinds.notification import Notification
    from reconciler.core.model import Ref
    from reconciler.store import Store


def notifications(context: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Completion."""
    kind = "Notification/"
    return [name.removeprefix(kind) for name in names(context, option, kind + incomplete) if name.startswith(kind)]


@click.group(cls=Group, short_help="Whether those who are told would hear it.")
def notify() -> None:
    """Whether those who are told would hear it."""


@notify.command(
    cls=Command,
    examples=[
        ("convoy notify test on-call", "send a test message, from here, now"),
        ("convoy notify test Notification/on-call -o json", "for other programs"),
    ],
    exits=[(0, "it has arrived"), (1, "it has not, or there is no such Notification in force")],
)
@click.argument("name", metavar="NAME", shell_complete=notifications)
@common()
def test(call: Call, name: str) -> None:
    """Send a test message to whom a Notification in force names.

    It is sent once, from this machine: what is sealed must open here, so this is for where Convoy runs.
    """
    from reconciler.core import show
    from reconciler.notify import NotTold, tell
    from reconciler.seams import Seams
    from reconciler.secrets import IDENTITY_FILE, Opener, SecretError

    ref = name if name.startswith("Notification/") else f"Notification/{name}"
    with kept(call) as store:
        spec = _declared(store, ref)
        opener = Opener.from_file(call.state / IDENTITY_FILE, store.opened if store else lambda *_: None, Seams())
        installation = store.installation() if store else ""
        message = {"id": uuid.uuid4().hex, "notification": ref, "installation": installation, "at": time.time()}
        of = _ref(ref)
        try:
            tell(
                spec.to.way,
                {**message, "events": [], "more": 0},
                lambda sealed, purpose, to: opener.open(of, sealed, purpose, to),
                Seams(),
            )
        except (NotTold, SecretError, OSError) as error:
            raise Failure(f"{ref} was not told: {error}") from error
    page = (show.text(show.Span("told", "good"), f" {ref}: a test message has arrived"),)
    call.page(page, {"told": ref, "id": message["id"]})


@notify.command(
    cls=Command,
    examples=[
        ("convoy notify log on-call", "what was told to it last, and what did not arrive, and why"),
        ("convoy notify log Notification/on-call -n 5 -o json", "the last five tries, for other programs"),
    ],
    exits=[(0, "the log is shown"), (1, "it cannot be read")],
)
@click.argument("name", metavar="NAME", shell_complete=notifications)
@click.option("-n", "most", type=click.IntRange(1, 200), default=20, help="The last so many.  [20]")
@common()
def log(call: Call, name: str, most: int) -> None:
    """Show every try to tell whom a Notification names, newest first.

    About a hundred of each Notification are kept. Tests by `convoy notify test` are made from where that runs, and not logged.
    """
    from reconciler.core import show_notice

    ref = name if name.startswith("Notification/") else f"Notification/{name}"
    _ref(ref)
    with kept(call) as store:
        rows = [
            {
                "number": one.number,
                "message": one.message,
                "events": one.events,
                "at": one.at,
                "seconds": round(one.took_s, 3),
                "try": one.tries,
                "outcome": one.outcome,
                "error": one.error,
            }
            for one in (store.notices().attempts.of(ref, most) if store else ())
        ]
    call.page(tuple(show_notice.tries(rows)), {"notification": ref, "attempts": rows})


def _ref(text: str) -> "Ref":
    from reconciler.core.model import Ref

    try:
        return Ref.parse(text)
    except ValueError as error:
        raise Failure(str(error)) from error


def _declared(store: "Store | None", ref: str) -> "Notification":
    from reconciler.core.kinds.notification import Notification

    found = store.declared([ref]).get(ref) if store else None
    if found is None:
        raise Failure(f"no {ref} is in force: `convoy get notifications` lists what is")
    try:
        return Notification.model_validate(found.document.get("spec"))
    except (ValueError, AttributeError):
        raise Failure(f"{ref} is not one that this Convoy understands: `convoy validate` says what is wrong") from None
