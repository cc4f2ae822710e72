"""`convoy doctor`: what is wrong here, and what to do."""

from typing import TYPE_CHECKING

import click

from reconciler.commands import sources
from reconciler.commands.options import FAILED, Call, Command, common

if TYPE_CHECKING:
    from reconciler.doctor import Ground


@click.command(
    cls=Command,
    examples=[
        ("convoy doctor", "look at this machine, the store, the source, the hosts and the proxies"),
        ("convoy doctor -o json | jq '.checks[] | select(.verdict != \"ok\")'", "for a program"),
    ],
    exits=[(0, "nothing is bad; there may be warnings"), (1, "something is bad")],
)
@common()
def doctor(call: Call) -> None:
    """Say what is wrong, and what to do.

    Changes nothing, and works beside `convoy serve`, without a store, and with a broken one. Every check is bounded in time.
    """
    from reconciler.core import show_doctor
    from reconciler.doctor import diagnose

    found = diagnose(_ground(call))
    call.page(show_doctor.diagnoses(found), show_doctor.diagnoses_json(found))
    if any(one.verdict == "bad" for one in found):
        raise click.exceptions.Exit(FAILED)


def _ground(call: Call) -> "Ground":
    from reconciler.doctor import Ground
    from reconciler.doctor.ground import Followed
    from reconciler.seams import Seams
    from reconciler.store import default_url

    seams, place = Seams(), sources.remembered(call.state)
    followed = None
    if place is not None:
        known = place
        followed = Followed(place.url, place.branch, place.shown, lambda: known.source(call.state, seams), place.signers)
    return Ground(call.state, call.store or default_url(call.state), followed, seams)
