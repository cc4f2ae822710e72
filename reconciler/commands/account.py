"""`convoy account`: the people and programs that the surfaces of a running Convoy know by name."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.account_signing import signing
from reconciler.commands.look import kept
from reconciler.commands.options import Call, Command, Failure, Group, common, completed
from reconciler.commands.token import made_state

if TYPE_CHECKING:
    from reconciler.store import KeptAccount, Store

# The words of reconciler.store.ROLES, here so that `--help` loads no database.
ROLES = ("viewer", "operator", "admin")
FIRST = "admin@localhost"
# A line that is longer is no password; more of it is not read.
LONGEST_LINE = 4_096


def surfaces() -> list[str]:
    """Those that are served: the folders in api/surfaces, which nothing here imports."""
    spec = find_spec("api")
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = {path.parent.name for root in roots for path in Path(root, "surfaces").glob("*/__init__.py")}
    return sorted(name.replace("_", "-") for name in found)


@click.group(cls=Group, short_help="Who may log in to a running Convoy, and as what.")
def account() -> None:
    """Who may log in to a running Convoy (`convoy serve --http`), and what he may do on each surface.

    An account is of one tenant, and sees nothing of another's. A viewer reads, an operator also changes, an admin also sees the
    audit and manages accounts, webhooks and certificates. Programs show a token that speaks for one: `convoy token create NAME
    --account EMAIL`.
    """


account.add_command(signing)


def _role(_: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        surface, role = (*one.split("=", 1), "")[:2]
        if surface not in surfaces() or role not in ROLES:
            words = f"it is SURFACE=ROLE: a surface is {' or '.join(surfaces())}, a role {', '.join(ROLES[:-1])} or {ROLES[-1]}"
            raise click.BadParameter(f"{one!r:.80} gives no role: {words}", param=parameter)
        found[surface] = role
    return found


def _named(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    return completed(context, incomplete, lambda store: [one.email for one in store.accounts.every()])


@contextmanager
def _of(call: Call, email: str) -> "Iterator[Store]":
    """The store, where this account is in it; else Failure."""
    with kept(call) as store:
        if store is None or store.accounts.of(email) is None:
            raise Failure(f"there is no account {email!r:.300}: `convoy account list` shows those there are")
        yield store


@account.command(
    cls=Command,
    examples=[
        ("convoy account create ada@example.com --role envoy-fleet=operator", "asks for her password"),
        ("convoy account create eve@example.com --tenant acme --role envoy-fleet=viewer", "of a tenant, tenants/acme/"),
        ("convoy account create ci@example.com --role envoy-fleet=operator --no-password", "a program: it shows a token"),
    ],
    exits=[(0, "it is made"), (1, "there is one of this e-mail, or the store cannot be written")],
)
@click.argument("email")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose resources it sees.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    callback=_role,
    metavar="SURFACE=ROLE",
    help="What it may do there. May be repeated.  [nothing]",
)
@click.option("--username", default="", metavar="NAME", help="As whom it commits.  [what is before the @]")
@click.option("--no-password", is_flag=True, help="It cannot log in; tokens may speak for it.")
@common()
def create(call: Call, email: str, tenant: str, roles: dict[str, str], username: str, no_password: bool) -> None:
    """Make an account. Its password is asked for, or read from standard input: one line."""
    from contextlib import closing

    from reconciler.core import show_people

    hash = "" if no_password else _password()
    made_state(call)
    with closing(call.open_store()) as store:
        made = store.accounts.create(email, tenant, roles, username=username, hash=hash)
    given = f" of {made.tenant}, {show_people.roles(made.roles)}"
    _done(call, "made", made.email, given, _json(made, ()))


@account.command(
    "list",
    cls=Command,
    examples=[("convoy account list", "who is known, of which tenant, and as what")],
    exits=[(0, "they are listed"), (1, "the store cannot be read")],
)
@common()
def every(call: Call) -> None:
    """List the accounts, by e-mail, with the tokens that speak for them."""
    from reconciler.core import show_people

    with kept(call) as store:
        found = store.accounts.every() if store else ()
        tokens = store.tokens.every() if store else ()
        signers = store.signatures.accounts() if store else frozenset()
    rows = [_json(one, (token.name for token in tokens if token.account == one.id), signs=one.id in signers) for one in found]
    call.page(show_people.accounts(rows, time.time()), {"accounts": rows})


@account.command(
    cls=Command,
    examples=[("convoy account disable ada@example.com", "from her next request on she is nobody")],
    exits=[(0, "it is disabled"), (1, "there is none of this e-mail")],
)
@click.argument("email", shell_complete=_named)
@common()
def disable(call: Call, email: str) -> None:
    """Refuse an account whatever it shows: tokens, too. It is logged out."""
    with _of(call, email) as store:
        store.accounts.put_status(email, "disabled")
    _done(call, "disabled", email)


@account.command(
    cls=Command,
    examples=[("convoy account enable ada@example.com", "also after too many logins have failed")],
    exits=[(0, "it is active"), (1, "there is none of this e-mail")],
)
@click.argument("email", shell_complete=_named)
@common()
def enable(call: Call, email: str) -> None:
    """Take an account as active again; logins that failed are forgotten."""
    with _of(call, email) as store:
        store.accounts.put_status(email, "active")
        store.sessions.unlock(email)
    _done(call, "enabled", email)


@account.command(
    cls=Command,
    examples=[
        ("convoy account role ada@example.com envoy-fleet admin", "from her next request on"),
        ("convoy account role ada@example.com convoy none", "nothing any more, there"),
    ],
    exits=[(0, "it has that role"), (1, "there is none of this e-mail")],
)
@click.argument("email", shell_complete=_named)
@click.argument("surface", shell_complete=lambda _, __, typed: [one for one in surfaces() if one.startswith(typed)])
@click.argument("role", type=click.Choice((*ROLES, "none")))
@common()
def role(call: Call, email: str, surface: str, role: str) -> None:
    """Say what an account may do on a surface."""
    if surface not in surfaces():
        raise click.BadParameter(f"{surface!r:.80} is no surface: it is {' or '.join(surfaces())}", param_hint="SURFACE")
    with _of(call, email) as store:
        store.accounts.put_roles(email, {surface: None if role == "none" else role})
    _done(
        call,
        role,
        email,
        f" on {surface}",
        {"email": email.lower(), "surface": surface, "role": None if role == "none" else role},
    )


@account.command(
    cls=Command,
    examples=[("convoy account password ada@example.com", "asks for the new one")],
    exits=[(0, "it has that password, and is logged out"), (1, "there is none of this e-mail")],
)
@click.argument("email", shell_complete=_named)
@common()
def password(call: Call, email: str) -> None:
    """Give an account another password: asked for, or read from standard input. It is logged out."""
    with _of(call, email) as store:
        store.accounts.put_password(email, _password())
        store.sessions.unlock(email)
    _done(call, "changed", email)


@account.command(
    cls=Command,
    examples=[("convoy account delete ada@example.com", "with the tokens that speak for her")],
    exits=[(0, "it is gone"), (1, "there is none of this e-mail")],
)
@click.argument("email", shell_complete=_named)
@common()
def delete(call: Call, email: str) -> None:
    """Delete an account, and the tokens that speak for it. What it committed stays hers."""
    with _of(call, email) as store:
        store.accounts.delete(email)
    _done(call, "deleted", email)


@account.command(
    "rotate-keys",
    cls=Command,
    examples=[("convoy account rotate-keys", "twice, after a key has leaked: then everybody logs in again")],
    exits=[(0, "there is a new key"), (1, "the store cannot be written")],
)
@common()
def rotate_keys(call: Call) -> None:
    """Sign what is given to those who log in with a new key.

    The key before it is believed until the next rotation. By itself Convoy rotates after 60 days.
    """
    with kept(call) as store:
        if store is None:
            raise Failure("no Convoy has worked here yet")
        made = store.sessions.rotate()
    _done(call, "rotated", made.id, "", {"key": made.id})


def first_admin(call: Call) -> None:
    """Where nobody is known and a person watches, an admin is made and shown to him alone: no log and no file holds it."""
    from contextlib import closing

    from reconciler.core import show_people
    from reconciler.store import AccountError, passwords

    if not call.terminal.live:
        return
    with closing(call.open_store()) as store:
        if store.accounts.every():
            return
        password = passwords.made()
        roles = dict.fromkeys(surfaces(), "admin")
        # Another may have been quicker, on a store that several share.
        with suppress(AccountError):
            store.accounts.create(FIRST, "default", roles, hash=passwords.hashed(password), first=True)
            call.terminal.note(show_people.first_account(FIRST, password), "strong")


def _password() -> str:
    """The hash of what a person types twice, or of the first line of standard input."""
    from reconciler.store.passwords import PasswordError, hashed

    if sys.stdin.isatty():
        given = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline(LONGEST_LINE).rstrip("\r\n")
        if not given:
            raise Failure("there is no password on standard input: type it there, or pipe one line")
    try:
        return hashed(given)
    except PasswordError as error:
        raise Failure(str(error)) from None


def _json(one: "KeptAccount", tokens: Any, *, signs: bool = False) -> dict[str, Any]:
    from reconciler.core import show_people

    about = one.id, one.email, one.username, one.tenant, one.status, one.at, one.roles, tokens
    return show_people.account_json(*about, signs=signs)


def _done(call: Call, what: str, email: str, more: str = "", value: dict[str, Any] | None = None) -> None:
    from reconciler.core import show

    call.page((show.text(show.Span(what, "good"), f" {email.lower()}{more}"),), value or {what: email.lower()})
