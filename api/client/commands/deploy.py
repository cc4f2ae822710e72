"""`envoyctl deploy`: takes a version of a configuration to proxies, and follows it."""

import time
from typing import Any

import click

from api.client.commands.proxy import NAMES as PROXIES
from api.client.exits import AWAY, INVALID, LATE, MOVED, REFUSED, USAGE, ClientError
from api.client.options import Call, common, ends, names
from api.client.terms import Paging, Terms, changing, id_list, merged, paging
from reconciler.usage import Command, Group

ENDED = ("completed", "failed", "rolled_back")
LOOK_S, AWAY_S = 0.5, 60.0
NAMES = names("/deployments", "name", "id")
FOLLOWED = [
    (0, "every proxy has it"),
    (REFUSED, "it has failed, or the server refuses; the message says why"),
    (LATE, "it has not ended within --timeout; it goes on"),
]


@click.group(cls=Group)
def deploy() -> None:
    """Take a version of a configuration to proxies, and watch it."""


def _ends(*codes: int) -> list[tuple[int, str]]:
    own = dict(FOLLOWED)
    return [(code, own.get(code, words)) for code, words in ends(LATE, *codes)]


@deploy.command(
    cls=Command,
    examples=[
        ("envoyctl deploy create --proxy-ids proxy-001,proxy-002 --version 5", "the fifth version of what they serve"),
        ("envoyctl deploy create --proxy-ids proxy-001 --version 5 --wait", "and watch it, until it has ended"),
        ("envoyctl deploy create --proxy-ids proxy-001 --version-id bb0e8400-e29b-41d4-a716-446655440000", "a version of any"),
    ],
    exits=_ends(MOVED, INVALID),
)
@click.option(
    "--proxy-ids", required=True, metavar="IDS", shell_complete=PROXIES, help="Names or ids, with commas between them."
)
@click.option("--version", type=click.IntRange(1), help="Its number, in the configuration that all these proxies serve.")
@click.option("--version-id", help="Its id, instead of a number.")
@click.option("--strategy", help="How: all_at_once is what this server has.")
@changing()
@common
def create(call: Call, proxy_ids: str, version: int | None, version_id: str | None, strategy: str | None, terms: Terms) -> None:
    """Deploy a version of a configuration to proxies, by one commit. With --wait, watch it."""
    from dataclasses import replace

    from api.client.show import at, progress
    from api.client.wire import Request
    from reconciler.core.show_layout import text

    if (version is None) == (version_id is None):
        raise ClientError(USAGE, "say which version is deployed: --version 5, or --version-id with its id")
    proxies = id_list(proxy_ids, "--proxy-ids")
    body = merged({"proxy_ids": proxies, "version": version, "version_id": version_id, "deployment_strategy": strategy})
    following = terms.wait and not terms.dry_run
    asked = Request("POST", "/deployments", body=body)
    if not following:
        call.change(asked, terms, lambda answer: (text(progress(answer.said)),))
        return
    answer = call.session.ask(replace(terms, wait=False).laid(asked))
    if at(answer.said, "pull_request_url"):
        raise ClientError(
            USAGE, f"a pull request has been opened, and is not waited for: {at(answer.said, 'pull_request_url')}"
        )
    if not at(answer.said, "id"):
        raise ClientError(LATE, str(at(answer.said, "message")))
    follow(call, str(at(answer.said, "id")), answer.said, terms.timeout_s)


@deploy.command(
    "list",
    cls=Command,
    examples=[("envoyctl deploy list --limit 5", "the newest five")],
    exits=ends(),
)
@paging("created_at", "name", "updated_at", limit=50)
@common
def every(call: Call, paging: Paging) -> None:
    """List deployments, the newest first."""
    from api.client.show import Column

    def told(one: Any) -> str:
        counts = one.get("progress") if isinstance(one.get("progress"), dict) else {}
        return f"{counts.get('completed')} of {counts.get('total_proxies')}"

    columns = (
        Column("DEPLOYMENT", "name"),
        Column("STATUS", "status", style=True),
        Column("PROXIES", told),
        Column("STARTED", "started_at", 1),
        Column("ENDED", "completed_at", 2),
        Column("STRATEGY", "strategy", 3),
        Column("ID", "id", 4),
    )
    newest = Paging(paging.limit, paging.sort_by or "created_at", paging.order or ("desc" if not paging.sort_by else None))
    call.listed("/deployments", columns, "there are no deployments", newest)


@deploy.command(
    cls=Command,
    examples=[
        ("envoyctl deploy watch deployment-123", "until it has ended: a bar on a terminal, lines in a pipe"),
        ("envoyctl deploy watch deployment-123 --timeout 60 -o json", "for a program, for a minute at most"),
    ],
    exits=_ends(),
)
@click.argument("deployment", shell_complete=NAMES)
@click.option("--timeout", "timeout_s", type=click.IntRange(1), metavar="SECONDS", help="Not longer than so.  [until it ends]")
@common
def watch(call: Call, deployment: str, timeout_s: int | None) -> None:
    """Follow a deployment until it has ended."""
    from api.client.wire import id_path

    id = id_path(deployment)
    follow(call, id, call.get(f"/deployments/{id}/status").said, timeout_s)


def follow(call: Call, id: str, said: Any, timeout_s: int | None) -> None:
    """Say how far it is until it has ended; raises ClientError where it fails, or lasts too long."""
    from api.client.show import at, cell, progress
    from api.client.wire import clean, id_path
    from reconciler.core.show_layout import words

    path = f"/deployments/{id_path(id)}/status"
    end = time.monotonic() + timeout_s if timeout_s is not None else None
    told = ""
    with call.terminal.progress(f"deploying {clean(cell(at(said, 'name')))[:60]}") as tell:
        while True:
            counts = {name: _count(at(said, f"progress.{name}")) for name in ("completed", "failed", "total_proxies")}
            tell(counts["completed"] + counts["failed"], counts["total_proxies"], _awaited(said))
            line = progress(said) if isinstance(said, dict) else ""
            if call.output == "table" and line != told and not call.terminal.live:
                call.terminal.line(words(line))
            told = line
            if at(said, "status") in ENDED:
                break
            if end is not None and time.monotonic() > end:
                raise ClientError(LATE, f"{clean(told)}: it has not ended within {timeout_s} s, and goes on")
            time.sleep(LOOK_S)
            said = _patient(call, path)
    _ended(call, said)


def _ended(call: Call, said: Any) -> None:
    from api.client.show import STYLES, Column, at, cell, listing, progress
    from api.client.wire import clean
    from reconciler.core.show_layout import Span, text

    proxies = [one for one in at(said, "proxies") or [] if isinstance(one, dict)]
    columns = [Column("PROXY", "name"), Column("STATUS", "status", style=True)]
    columns += [Column("WHY", "message")] if any(one.get("message") for one in proxies) else []
    # What was said line by line need not be said again.
    failed = [one for one in proxies if one.get("status") != "completed"] if not call.terminal.live else proxies
    call.answer(said, listing(columns, failed, "", call.terminal.width) if failed else ())
    if call.output == "table" and call.terminal.live:
        call.terminal.page((text(Span(progress(said), STYLES.get(str(at(said, "status")), ""))),))
    if at(said, "status") != "completed":
        why = at(said, "message")
        raise ClientError(REFUSED, f"the deployment has {clean(cell(at(said, 'status')))}" + (f": {clean(why)}" if why else ""))


def _patient(call: Call, path: str) -> Any:
    """A server that begins anew, or has no time, is asked again for a while."""
    end = time.monotonic() + AWAY_S
    while True:
        try:
            return call.get(path).said
        except ClientError as why:
            if why.exit_code != AWAY or time.monotonic() > end:
                raise
        time.sleep(2 * LOOK_S)


def _awaited(said: Any) -> str:
    from api.client.show import at
    from api.client.wire import clean

    waiting = [one for one in at(said, "proxies") or [] if isinstance(one, dict) and one.get("status") not in ENDED]
    return clean(", ".join(str(one.get("name")) for one in waiting[:5]))


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
