"""What the commands of `envoyctl` share: their options, whom they ask, and how failures become words and exit codes."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from api.client.exits import ABSENT, LATE, REFUSED, USAGE, ClientError
from api.client.kept import Kept
from api.client.terms import Paging, Terms
from reconciler.terminal import Terminal

if TYPE_CHECKING:
    from api.client.session import Session
    from api.client.show import Column
    from api.client.wire import Answer, Request
    from reconciler.core.show_layout import Page

F = TypeVar("F", bound=Callable[..., Any])
OUTPUTS = ("table", "json", "yaml")
FILE = click.Path(dir_okay=False, allow_dash=True)
PER_PAGE = 100
# Whoever types waits no longer for names.
COMPLETING_S = 3.0
# In which one thing is looked for that no path of its own leads to; and as few digits as may stand for an id.
MOST_LOOKED_AT, SHORTEST_ID = 10_000, 8


class Failure(click.ClickException):
    """What goes wrong, with its exit code."""

    def __init__(self, error: ClientError) -> None:
        super().__init__(error.message)
        self.error = error

    def tell(self, call: "Call") -> None:
        if call.output == "table":
            from reconciler.core.show_layout import harmless

            call.terminal.note(f"error: {harmless(self.message)}", "bad")
        else:
            call.answer({"error": self.error.value}, None)


@dataclass
class Call:
    """What one call of `envoyctl` was told."""

    environment: Mapping[str, str] = field(repr=False)
    terminal: Terminal
    output: str = "table"
    url: str = ""
    ca_file: Path | None = None
    plaintext: bool = False

    @functools.cached_property
    def kept(self) -> Kept:
        return Kept.of(self.environment)

    @functools.cached_property
    def session(self) -> "Session":
        """Raises ClientError."""
        from api.client import wire
        from api.client.session import Session
        from reconciler.seams import Seams

        token = wire.named(self.environment.get("ENVOYCTL_TOKEN", ""))
        url = self.url or self.kept.server()
        if not url:
            raise ClientError(
                USAGE, "no server is known: name one with --server or $ENVOYCTL_SERVER, at best with `auth login`"
            )
        ca_file, plaintext = self.ca_file, self.plaintext
        # A token of the environment is nobody's login: how that reached the server says nothing of it.
        login = self.kept.login(wire.bare(url)) if not token else None
        if login is not None:
            ca_file = ca_file or (Path(login.ca_file) if login.ca_file else None)
            plaintext = plaintext or login.plaintext
        signing = wire.named(self.environment.get("ENVOYCTL_SIGNING_SECRET", ""), "$ENVOYCTL_SIGNING_SECRET")
        return Session(wire.server(url, ca_file, plaintext), self.kept, token, Seams(), signing)

    def get(self, path: str, **query: object) -> "Answer":
        from api.client.wire import Request

        return self.session.ask(Request("GET", path, query))

    def answer(self, value: object, page: "Page | None") -> None:
        """With the page, or with the value as JSON or YAML."""
        if self.output == "json":
            self.terminal.json(value)
        elif self.output == "yaml":
            from api.client.show import as_yaml

            self.terminal.raw(as_yaml(value))
        elif page is not None:
            self.terminal.page(page)

    def every(self, path: str, most: int, query: Mapping[str, object]) -> list[dict[str, Any]]:
        """The items of a list, page by page; raises ClientError."""
        found: list[dict[str, Any]] = []
        cursor, seen = None, set[str]()
        while True:
            answer = self.get(path, **query, limit=min(most - len(found), PER_PAGE), cursor=cursor)
            said = answer.said if isinstance(answer.said, dict) else {}
            data, after = said.get("data"), said.get("cursor")
            if not isinstance(data, list):
                raise ClientError(
                    REFUSED, f"{self.session.server.url}: what was answered is no list: see whether the URL is right"
                )
            found += [one for one in data if isinstance(one, dict)]
            cursor = after.get("next") if isinstance(after, dict) else None
            if not isinstance(cursor, str) or not cursor or not data or cursor in seen:
                return found
            if len(found) >= most:
                self.terminal.note(f"these are the first {len(found)}, and there are more: --limit shows more of them")
                return found
            seen.add(cursor)

    def listed(self, path: str, columns: "Sequence[Column]", nothing: str, paging: "Paging", **query: object) -> None:
        from api.client.show import listing

        rows = self.every(path, paging.limit, {**query, "sort_by": paging.sort_by, "order": paging.order})
        self.answer(rows, listing(columns, rows, nothing, self.terminal.width))

    def one(self, path: str, *, etag: bool = False) -> None:
        """One thing, or its tag alone."""
        from api.client.show import details

        answer = self.get(path)
        said = answer.said if isinstance(answer.said, dict) else {}
        if etag:
            self.answer({"etag": answer.etag}, None)
            if self.output == "table":
                self.terminal.raw(answer.etag)
            return
        self.answer(answer.said, details(said, answer.etag))

    def among(self, path: str, id: str, what: str) -> None:
        """One thing of a list that is asked for by no path of its own: by its name, its id, or how only its id begins."""
        from api.client.show import details

        rows = self.every(path, MOST_LOOKED_AT, {})
        found = [one for one in rows if id in (one.get("name"), one.get("id"))]
        if not found and len(id) >= SHORTEST_ID:
            found = [one for one in rows if str(one.get("id")).startswith(id.lower())]
        if len(found) != 1:
            raise ClientError(ABSENT, f"there is no such {what}" if not found else f"several {what}s have ids that begin so")
        self.answer(found[0], details(found[0], ""))

    def change(self, request: "Request", terms: "Terms", done: Callable[["Answer"], "Page"] | None = None) -> "Answer | None":
        """Make a change, and show what came of it: `done` makes the page. None where it was only tried or proposed."""
        from api.client.show import details, plan
        from reconciler.core.show_layout import text

        asked = terms.laid(request)
        answer = self.session.ask(asked)
        said = answer.said if isinstance(answer.said, dict) else {}
        if terms.dry_run:
            self.answer(answer.said, plan(said))
            return None
        if "pull_request_url" in said:
            self.answer(said, (text(f"a pull request has been opened: {said['pull_request_url']}"),))
            return None
        if answer.status == 202 and said.keys() == {"message"}:
            self.answer(said, (text(str(said["message"])),))
        elif done is None and answer.said is None:
            self.answer({"done": True}, (text("done"),))
        else:
            self.answer(answer.said, done(answer) if done is not None else details(said, answer.etag))
        if answer.status == 202 and (request.path != "/deployments" or "id" not in said):
            raise ClientError(LATE, "this is committed, and not in force yet: `convoy status` there says what it waits for")
        return answer


def call(context: click.Context) -> Call:
    """The group makes it before any command's options are read."""
    return cast(Call, context.find_object(Call))


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            setattr(call(context), name, value)

    return keep


def no_color(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        call(context).terminal.color = False


def whom(*, hidden: bool = False) -> tuple[Callable[[F], F], ...]:
    """Which server is asked, and how; before the command's words or after them."""
    here: dict[str, Any] = {"expose_value": False, "hidden": hidden}
    return (
        click.option(
            "--server",
            metavar="URL",
            callback=_set("url"),
            help="Whom to ask; also $ENVOYCTL_SERVER.  [the last login's]",
            **here,
        ),
        click.option(
            "--ca-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            callback=_set("ca_file"),
            metavar="FILE",
            help="Whose certificates to believe (PEM); kept by a login.",
            **here,
        ),
        click.option(
            "--plaintext",
            is_flag=True,
            callback=_set("plaintext"),
            help="By http, over a network of your own; kept by a login.",
            **here,
        ),
        click.option("--no-color", is_flag=True, callback=no_color, help="No colours; also $NO_COLOR.", **here),
    )


def common(function: F) -> F:
    """`--output`, and which server; the command's function gets the Call first."""

    @click.pass_context
    @functools.wraps(function)
    def wrapped(context: click.Context, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(call(context), *args, **kwargs)
        except ClientError as error:
            raise Failure(error) from None

    output = click.option(
        "-o",
        "--output",
        type=click.Choice(OUTPUTS),
        callback=_set("output"),
        expose_value=False,
        help="How to answer.  [table]",
    )
    for option in (*reversed(whom(hidden=True)), output):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def ends(*codes: int) -> list[tuple[int, str]]:
    """What a command's help says of its exit codes: these, beside those of all."""
    from api.client.exits import ABSENT, AWAY, DONE, MEANINGS, REFUSED, UNKNOWN

    return [(code, MEANINGS[code]) for code in sorted({DONE, REFUSED, USAGE, UNKNOWN, ABSENT, AWAY, *codes})]


def names(path: str, *members: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Completion by what the server has; whatever goes wrong, a shell gets no names rather than an error."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        from api.client.wire import Request

        before, comma, last = incomplete.rpartition(",")
        try:
            said = call(context).session.ask(Request("GET", path, {"per_page": PER_PAGE}), COMPLETING_S).said["data"]
            found = {str(next(filter(None, map(one.get, members)))) for one in said}
        except Exception:  # noqa: BLE001 - there is nobody to tell while a line is being typed
            return []
        return sorted(f"{before}{comma}{name}" for name in found if name.startswith(last) and name.isprintable())

    return complete
