"""`convoy hook`: the addresses at which forges tell a running Convoy that something was pushed."""

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from reconciler.commands.look import kept
from reconciler.commands.options import Call, Command, Failure, Group, common, completed

if TYPE_CHECKING:
    from reconciler.store import Hook, Kept

# The words of reconciler.store.PROVIDERS, here so that `--help` loads no database.
PROVIDERS = ("github", "gitlab", "gitea", "forgejo", "gogs", "bitbucket", "bitbucket-server", "azure", "generic")
LARGEST_SECRET = 4_096


@click.group(cls=Group, short_help="Webhooks by which a forge says that something was pushed.")
def hook() -> None:
    """Webhooks by which a forge tells a running Convoy (`convoy serve --http`) that something was pushed.

    They only save the time until the next look at the repository. (What runs before and after a change is another thing:
    metadata.hook of a Container.)
    """


@hook.command(
    cls=Command,
    examples=[
        ("convoy hook create fleet --provider github --url-base https://convoy.example", "then tell GitHub what is printed"),
        (
            "convoy hook create fleet --provider gitea --repository https://git.example/ops/fleet",
            "where Convoy follows a copy, or by another name",
        ),
        ("convoy hook create fleet --provider gitlab --secret-file signing-token", "with a secret that the forge has made"),
    ],
    exits=[(0, "it is made, and printed once"), (1, "there is one of this name, or the store cannot be written")],
)
@click.argument("name")
@click.option("--provider", required=True, type=click.Choice(PROVIDERS), help="What sends, and so how it signs.")
@click.option("--url-base", default="", metavar="URL", help="Where the forge reaches Convoy: https://convoy.example.")
@click.option(
    "--repository", default="", metavar="URL", help="What the forge calls the repository, if not by the URL of --source."
)
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Take the secret from there (- is standard input) instead of making one.",
)
@common()
def create(call: Call, name: str, provider: str, url_base: str, repository: str, secret_file: Path | None) -> None:
    """Make a hook and print its URL and its secret, this once.

    Deliveries count only at this URL and with this secret. One that tells of a push to the branch that Convoy follows makes it
    look at once; all others are answered, and do nothing.
    """
    from contextlib import closing

    from reconciler.commands.token import made_state
    from reconciler.core import show_hooks
    from reconciler.repository import NOWHERE, key

    base = _base(url_base)
    if repository and key(repository) == NOWHERE:
        raise click.BadParameter(f"{repository!r:.200} is not the URL of a repository", param_hint="--repository")
    secret = _secret(secret_file) if secret_file is not None else ""
    made_state(call)
    with closing(call.open_store()) as store:
        made, place, shown = store.hooks.create(name, provider, repository, secret)
    url = f"{base}/hooks/{provider}/{place}"
    # A secret that was brought is known where it came from.
    said = {**_json(made, None), "url": url, "secret": shown if not secret else None}
    call.page(show_hooks.hook_made(url, shown if not secret else "as it was given", provider), said)
    if not call.json:
        missing = "" if base else "; put before the URL where the forge reaches Convoy"
        call.terminal.note(f"this is shown once: the URL is as secret as the secret{missing}")


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = not url or (
            parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment or parts.username)
        )
    except ValueError:
        good = False
    if not good or not url.isprintable():
        raise click.BadParameter(f"{url!r:.200} is no URL like https://convoy.example", param_hint="--url-base")
    return url.rstrip("/")


def _secret(file: Path) -> str:
    try:
        with contextlib.nullcontext(sys.stdin) if str(file) == "-" else file.open(encoding="utf-8") as opened:
            text = opened.read(LARGEST_SECRET)
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read a secret from {file}: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    if not text.strip():
        raise Failure(f"there is no secret in {file}: a hook without one would be anybody's")
    return text.strip()


@hook.command(
    "list",
    cls=Command,
    examples=[
        ("convoy hook list", "which there are, and whether anything comes"),
        ("convoy hook list fleet", "and what came lately"),
    ],
    exits=[(0, "they are listed"), (1, "there is none of this name, or the store cannot be read")],
)
@click.argument("name", required=False, shell_complete=lambda context, _, incomplete: _names(context, incomplete))
@common()
def every(call: Call, name: str | None) -> None:
    """List the hooks, by name; of one, also its last deliveries."""
    from reconciler.core import show_hooks

    now = time.time()
    with kept(call) as store:
        made, heard = (store.hooks.every(), store.hooks.heard()) if store else ((), {})
    rows = [_json(one, heard.get(one.id)) for one in made if name in (None, one.name)]
    if name is not None:
        if not rows:
            raise Failure(f"there is no hook {name}: `convoy hook list` shows those there are")
        call.page(show_hooks.hook(rows[0], now), rows[0])
        return
    call.page(show_hooks.hooks(rows, now), {"hooks": rows})


@hook.command(
    cls=Command,
    examples=[("convoy hook revoke fleet", "from now on nothing is at its URL")],
    exits=[(0, "it is no hook any more"), (1, "there was none of this name")],
)
@click.argument("name", shell_complete=lambda context, _, incomplete: _names(context, incomplete))
@common()
def revoke(call: Call, name: str) -> None:
    """Take a hook back; at once, and for good."""
    from reconciler.core import show

    with kept(call) as store:
        if store is None or not store.hooks.revoke(name):
            raise Failure(f"there is no hook {name}: `convoy hook list` shows those there are")
    call.page((show.text(show.Span("revoked", "good"), f" {name}"),), {"revoked": name})


def _names(context: click.Context, incomplete: str) -> list[str]:
    return completed(context, incomplete, lambda store: [one.name for one in store.hooks.every()])


def _json(one: "Hook", heard: "Kept | None") -> dict[str, Any]:
    from reconciler.core import show_hooks

    last = [show_hooks.delivery_json(told.at, told.event, told.verdict, told.why) for told in heard.last] if heard else []
    counts = heard.counts if heard else {}
    return {**show_hooks.hook_json(one.name, one.provider, one.repository, one.at, counts), "last": last}
