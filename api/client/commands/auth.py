"""`envoyctl auth`: logging in and out, and who one is."""

import sys

import click

from api.client.exits import USAGE, ClientError
from api.client.options import Call, common, ends
from reconciler.usage import Command, Group

LONGEST_LINE = 4096


@click.group(cls=Group)
def auth() -> None:
    """Log in and out.

    A login is kept in $XDG_CONFIG_HOME/envoyctl (~/.config/envoyctl), for its owner alone, and goes on by itself. A program
    shows a token in $ENVOYCTL_TOKEN instead.
    """


@auth.command(
    cls=Command,
    examples=[
        ("envoyctl auth login --server https://convoy.example --email ada@example.com", "asks for her password"),
        ("envoyctl auth login --email ada@example.com < password-file", "by standard input; or by $ENVOYCTL_PASSWORD"),
    ],
    exits=ends(),
)
@click.option("--email", required=True, help="Whose account.")
@common
def login(call: Call, email: str) -> None:
    """Log in to a server, which is asked from then on."""
    from reconciler.core.show_layout import text

    session = call.session
    if call.environment.get("ENVOYCTL_TOKEN"):
        raise ClientError(USAGE, "$ENVOYCTL_TOKEN is set, and would be shown instead of a login: unset it first")
    login = session.login(email, _password(call))
    said = {"server": session.server.url, "email": login.email, "role": login.role, "tenant_id": login.tenant}
    call.answer(said, (text(f"logged in to {session.server.url} as {login.email}, {login.role}"),))


@auth.command(
    cls=Command,
    examples=[("envoyctl auth logout", "its tokens are good no more, here and there")],
    exits=ends(),
)
@common
def logout(call: Call) -> None:
    """End the login to this server, and forget it."""
    from reconciler.core.show_layout import text

    try:
        call.session.logout()
    except ClientError as why:
        words = "it is forgotten here, and the server has not heard of it: there it ends by itself"
        raise ClientError(why.exit_code, f"{why.message}\n  {words}") from None
    call.answer({"server": call.session.server.url}, (text(f"logged out of {call.session.server.url}"),))


@auth.command(
    cls=Command,
    examples=[
        ("envoyctl auth signing", "asks for the secret that `convoy account signing` has printed"),
        ("envoyctl auth signing < secret-file", "by standard input"),
    ],
    exits=ends(),
)
@common
def signing(call: Call) -> None:
    """Keep the account's signing secret with its login: what is changed is signed with it.

    A program has it in $ENVOYCTL_SIGNING_SECRET instead. Logging out forgets it.
    """
    from api.client import wire
    from reconciler.core.show_layout import text

    call.session.known()
    given = _asked("Signing secret")
    if not given:
        raise ClientError(USAGE, "no secret is given: type it, or give it by standard input")
    login = call.session.sign(wire.named(given, "what is given"))
    said = {"server": call.session.server.url, "email": login.email}
    call.answer(said, (text(f"{login.email} signs for {call.session.server.url}"),))


@auth.command(
    cls=Command,
    examples=[("envoyctl auth status", "who one is, for which server, and whether it still knows that")],
    exits=ends(),
)
@common
def status(call: Call) -> None:
    """Say who is logged in where, and ask the server whether that still counts."""
    from datetime import UTC, datetime

    from api.client.show import details

    session = call.session
    # The cheapest question that needs to be somebody.
    call.get("/proxies", limit=1)
    said: dict[str, object] = {"server": session.server.url}
    if call.environment.get("ENVOYCTL_TOKEN"):
        said |= {"by": "$ENVOYCTL_TOKEN"}
    else:
        login = session.known()
        until = datetime.fromtimestamp(login.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said |= {"email": login.email, "role": login.role, "tenant_id": login.tenant, "token_until": until}
    call.answer(said, details(said))


def _password(call: Call) -> str:
    """From the environment, from a pipe, or asked for; raises ClientError."""
    given = call.environment.get("ENVOYCTL_PASSWORD", "") or _asked("Password")
    if not given:
        raise ClientError(USAGE, "no password is given: type it, or give it by $ENVOYCTL_PASSWORD or standard input")
    return given


def _asked(what: str) -> str:
    """What a person types, unseen, or a line of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, err=True))
    return sys.stdin.readline(LONGEST_LINE).rstrip("\r\n")
