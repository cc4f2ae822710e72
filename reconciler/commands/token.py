"""`convoy token`: what a program shows to a running Convoy to be allowed to ask it something."""

import time
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.look import kept
from reconciler.commands.options import Call, Command, Failure, Group, common, completed, duration

if TYPE_CHECKING:
    from reconciler.store import Token

# The words of reconciler.store.SCOPES, here so that `--help` loads no database.
SCOPES = ("plan", "read", "write", "manage")


@click.group(cls=Group, short_help="Who may ask a running Convoy, by tokens.")
def token() -> None:
    """Who may ask a running Convoy (`convoy serve --http`), by tokens."""


@token.command(
    cls=Command,
    examples=[
        ("convoy token create ci --may plan --may read", "for the CI of the fleet repository: plans, and what differs"),
        ("convoy token create forks --may plan --expires 30d", "for jobs that must not learn what the fleet's documents say"),
        ("convoy token create wall --may read", "for a screen that shows the status"),
        ("convoy token create ada --may read --may write", "for Ada's changes, which are commits (`--author`: by whom)"),
        ("convoy token create ci --account ci@example.com --may read --may write", "speaks for that account"),
    ],
    exits=[(0, "it is made, and printed once"), (1, "there is one of this name, or the store cannot be written")],
)
@click.argument("name")
@click.option(
    "--may",
    multiple=True,
    required=True,
    type=click.Choice(SCOPES),
    help="`plan`: ask what a commit would do. `read`: see the status, and what the documents in force say. `write`: change "
    "them, by commits. May be repeated.",
)
@click.option(
    "--expires",
    "lasts_s",
    callback=duration,
    default="90d",
    show_default=True,
    metavar="TIME",
    help="90s, 30m, 2h, 7d or ever.",
)
@click.option("--author", default="", metavar="'NAME <MAIL>'", help="Who its commits are by.  [the token's name]")
@click.option("--account", default="", metavar="EMAIL", help="Whom it speaks for: it may what both may, on every surface.")
@common()
def create(call: Call, name: str, may: tuple[str, ...], lasts_s: float | None, author: str, account: str) -> None:
    """Make a token and print it, this once: only a hash of it is kept.

    A CI job has it in $CONVOY_TOKEN, for `convoy plan --against URL`. It is good for nothing but what --may says.
    """
    from contextlib import closing

    from reconciler.core import show

    if author:
        from reconciler.git import Person

        author = str(Person.parse(author))
    if account and author:
        raise click.UsageError("--author is for tokens that are nobody's: commits of one with --account are by that account")
    if "manage" in may and not account:
        raise click.UsageError("`manage` is for tokens with --account: what it allows is an admin's")
    made_state(call)
    with closing(call.open_store()) as store:
        of = store.accounts.of(account) if account else None
        if account and of is None:
            raise Failure(f"there is no account {account!r:.300}: `convoy account list` shows those there are")
        made, shown = store.tokens.create(name, may, lasts_s, author, account=of.id if of is not None else "")
    # Alone on standard output, so that a script can put it where it belongs.
    call.page((show.text(shown),), {**_json(made, time.time()), "token": shown})
    if not call.json:
        call.terminal.note(
            f"this is shown once: keep it as a secret of whoever is to use it ({name} may {', '.join(sorted(may))})"
        )


def made_state(call: Call) -> None:
    """The state directory, made where there is none and the store is in it. Raises Failure."""
    if call.store:
        return
    try:
        call.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot make {call.state}: {error.strerror or error}") from None


@token.command(
    "list",
    cls=Command,
    examples=[("convoy token list", "who may ask what, and until when")],
    exits=[(0, "they are listed"), (1, "the store cannot be read")],
)
@common()
def every(call: Call) -> None:
    """List the tokens, by name."""
    from reconciler.core import show

    now = time.time()
    with kept(call) as store:
        rows = [_json(one, now) for one in (store.tokens.every() if store else ())]
    call.page(show.tokens(rows, now), {"tokens": rows})


@token.command(
    cls=Command,
    examples=[("convoy token revoke ci", "from now on it is refused")],
    exits=[(0, "it is no token any more"), (1, "there was none of this name")],
)
@click.argument("name", shell_complete=lambda context, _, incomplete: _names(context, incomplete))
@common()
def revoke(call: Call, name: str) -> None:
    """Take a token back; at once, and for good."""
    from reconciler.core import show

    with kept(call) as store:
        if store is None or not store.tokens.revoke(name):
            raise Failure(f"there is no token {name}: `convoy token list` shows those there are")
    call.page((show.text(show.Span("revoked", "good"), f" {name}"),), {"revoked": name})


def _names(context: click.Context, incomplete: str) -> list[str]:
    return completed(context, incomplete, lambda store: [one.name for one in store.tokens.every()])


def _json(one: "Token", now: float) -> dict[str, Any]:
    from reconciler.core import show

    return show.token_json(one.name, one.scopes, one.at, one.until, now)
