"""`convoy account signing`: what an account signs its requests with."""

import click

from reconciler.commands.look import kept
from reconciler.commands.options import Call, Command, Failure, common, completed


@click.command(
    cls=Command,
    examples=[
        ("convoy account signing ci@example.com", "what is critical it has to sign from now on, with what is printed"),
        ("convoy account signing ci@example.com --off", "its token alone will do again"),
    ],
    exits=[(0, "it is made, and printed once; or it is gone"), (1, "there is none of this e-mail, or it had no secret")],
)
@click.argument(
    "email",
    shell_complete=lambda context, _, incomplete: completed(
        context, incomplete, lambda store: [one.email for one in store.accounts.every()]
    ),
)
@click.option("--off", is_flag=True, help="Take its secret away.")
@common()
def signing(call: Call, email: str, off: bool) -> None:
    """Give an account a signing secret and print it, this once; one that it had is good no more.

    Rollbacks, deployments, bulk operations and certificates of the envoy-fleet API are taken from it only signed with that:
    whoever has but a token of it, or has seen a request, cannot make them. `envoyctl auth signing` keeps it, and signs.
    """
    from reconciler.core import show

    with kept(call) as store:
        if store is None:
            raise Failure(f"there is no account {email!r:.300}: `convoy account list` shows those there are")
        if off and not store.signatures.take(email):
            raise Failure(f"{email.lower()} has no signing secret")
        made = "" if off else store.signatures.give(email)
    if off:
        call.page((show.text(show.Span("taken", "good"), f" {email.lower()} signs no more"),), {"taken": email.lower()})
        return
    # Alone on standard output, so that a script can put it where it belongs.
    call.page((show.text(made),), {"email": email.lower(), "secret": made})
    if not call.json:
        call.terminal.note(f"this is shown once: keep it as a secret of whoever acts as {email.lower()}, apart from its token")
