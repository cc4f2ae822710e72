"""What is said beside what is asked: how much of a list, on which terms something is changed, and bodies made of options."""

import functools
import json
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from api.client.exits import USAGE, ClientError

if TYPE_CHECKING:
    from api.client.wire import Request

F = TypeVar("F", bound=Callable[..., Any])
# How much of a list is read where nothing is said: more is no table that anybody reads.
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Paging:
    limit: int
    sort_by: str | None
    order: str | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What is said about a change beside what it is."""

    dry_run: bool = False
    wait: bool = False
    timeout_s: int = 20
    if_match: str = ""
    message: str = ""
    pull_request: bool = False

    def laid(self, request: "Request") -> "Request":
        from dataclasses import replace

        query: dict[str, object] = dict(request.query)
        query |= {"dry_run": "true"} if self.dry_run else {}
        query |= {"wait": "synced", "timeoutSeconds": self.timeout_s} if self.wait else {}
        query |= {"message": self.message} if self.message else {}
        query |= {"mode": "pull-request"} if self.pull_request else {}
        headers = dict(request.headers)
        if self.if_match:
            headers["If-Match"] = self.if_match if self.if_match == "*" else '"{}"'.format(self.if_match.strip('"'))
        return replace(request, query=query, headers=headers, key=str(uuid.uuid4()))


def paging(*sorts: str, limit: int = MOST) -> Callable[[F], F]:
    """`--limit`, `--sort-by` and `--order`; the command's function gets a Paging as `paging`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapped(*args: Any, limit: int, sort_by: str | None, order: str | None, **kwargs: Any) -> Any:
            return function(*args, paging=Paging(limit, sort_by, order), **kwargs)

        for option in (
            click.option("--order", type=click.Choice(("asc", "desc")), help="Which way."),
            click.option("--sort-by", type=click.Choice(sorts), help="By what."),
            click.option("--limit", type=click.IntRange(1), default=limit, show_default=True, help="At most so many."),
        ):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def changing(*, match: bool = False) -> Callable[[F], F]:
    """`--dry-run`, `--wait` and the like; the command's function gets a Terms as `terms`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapped(*args: Any, if_match: str = "", **kwargs: Any) -> Any:
            given = {name: kwargs.pop(name) for name in ("dry_run", "wait", "timeout_s", "message", "pull_request")}
            return function(*args, terms=Terms(if_match=if_match, **given), **kwargs)

        options = [
            click.option("--dry-run", is_flag=True, help="Say what it would do, and do nothing."),
            click.option("--wait", is_flag=True, help="Until it is carried out."),
            click.option(
                "--timeout",
                "timeout_s",
                type=click.IntRange(1, 60),
                default=20,
                show_default=True,
                metavar="SECONDS",
                help="With --wait.",
            ),
            click.option("--message", default="", metavar="TEXT", help="The commit's title."),
            click.option("--pull-request", is_flag=True, help="Open a pull request instead of committing."),
        ]
        if match:
            words = "Only where it still has this tag, as `get --etag` or an answer gave it."
            options.append(click.option("--if-match", default="", metavar="TAG", help=words))
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def tag(function: F) -> F:
    return click.option("--etag", is_flag=True, help="Print its tag alone, for --if-match.")(function)


def enough(what: str, name: str | None, file: str | None) -> None:
    """Raises ClientError where neither says what is to be made."""
    if name is None and file is None:
        raise ClientError(USAGE, f"name the {what}, or give all of it with --file")


def sure(yes: bool, question: str) -> None:
    """Ask whoever is there; raises ClientError where nobody is, or it is not meant."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ClientError(USAGE, "there is nobody to ask whether this is meant: say --yes")
    if not click.confirm(question, err=True):
        raise ClientError(USAGE, "nothing has been deleted")


def merged(*parts: Mapping[str, object] | None) -> dict[str, object]:
    """A body of what a file says and what options say, without what none does."""
    body: dict[str, object] = {}
    for part in parts:
        body |= {name: value for name, value in (part or {}).items() if value is not None}
    return body


def pairs(values: Iterable[str], option: str, *, typed: bool = False) -> dict[str, Any] | None:
    """`NAME=VALUE`, as often as given; `typed`: numbers, truths and null are what JSON says. Raises ClientError."""
    found: dict[str, Any] = {}
    for one in values:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise ClientError(USAGE, f"{option} takes NAME=VALUE, and not {one[:80]!r}")
        found[name] = _typed(value) if typed else value
    return found or None


def split(given: str) -> list[str]:
    """What stands between commas."""
    return [one.strip() for one in given.split(",") if one.strip()]


def id_list(given: str, option: str) -> list[str]:
    """Ids with commas between them; raises ClientError."""
    from api.client.wire import id_path

    found = [*map(id_path, split(given))]
    if not found:
        raise ClientError(USAGE, f"{option} names nothing: it takes names or ids with commas between them")
    return found


def _typed(value: str) -> str | int | float | bool | None:
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return value if isinstance(read, list | dict) else read
