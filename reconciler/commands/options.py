"""What every command shares: its options, its help, and how failures become words and exit codes."""

import dataclasses
import functools
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from reconciler.terminal import Terminal
from reconciler.usage import INTERRUPTED as INTERRUPTED
from reconciler.usage import Command as Command
from reconciler.usage import Group as Group

if TYPE_CHECKING:
    from reconciler.core.select import Selector
    from reconciler.core.show import Page
    from reconciler.log import Log
    from reconciler.store import Store

F = TypeVar("F", bound=Callable[..., Any])

FAILED = 1


@dataclasses.dataclass
class Call:
    """What one call of `convoy` was told: where its state and its store are, how to answer, and the terminal for it."""

    named: Path | None
    terminal: Terminal
    output: str = "text"
    # Whose signatures a commit needs, by option.
    signers: dict[str, Path] = dataclasses.field(default_factory=dict)
    # A URL, which may hold a password: never shown. "" for the store in the state directory.
    store: str = ""
    # What a running Convoy elsewhere is shown; from the environment, for everybody on a machine can read its command lines.
    token: str = dataclasses.field(default="", repr=False)

    @property
    def state(self) -> Path:
        if self.named is None:
            raise Failure("there is no HOME to keep state in: name a directory with --state or $CONVOY_STATE")
        return self.named

    def open_store(self, *, make: bool = True) -> "Store":
        """The store; without `make`, raises NoStore where nobody has made it yet. Raises StoreError."""
        from reconciler.seams import Seams
        from reconciler.store import Store, default_url

        return Store(self.store or default_url(self.state), Seams(), make=make)

    @property
    def json(self) -> bool:
        return self.output == "json"

    def page(self, page: "Page", value: object) -> None:
        """Answer with the page, or with the value as JSON."""
        if self.json:
            self.terminal.json(value)
        else:
            self.terminal.page(page)


class Failure(click.ClickException):
    """The command could not do what it was asked; the message says why and what to do."""

    exit_code = FAILED

    def tell(self, call: Call) -> None:
        """To a person on standard error; to a program as the answer it waits for."""
        if call.json:
            call.terminal.json({"error": self.message})
        else:
            call.terminal.note(f"error: {self.message}", "bad")


def state_named(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        call(context).named = value


def store_named(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value:
        call(context).store = value


def _output(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        call(context).output = value


def no_color(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        call(context).terminal.color = False


def call(context: click.Context) -> Call:
    """The group makes it before any command's options are read."""
    return cast(Call, context.find_object(Call))


def common(*outputs: str) -> Callable[[F], F]:
    """`--output`, `--state`, `--store` and `--no-color`; the command's function gets the Call first."""
    choices = ("text", "json", *outputs)

    def decorate(function: F) -> F:
        options = (
            click.option(
                "-o",
                "--output",
                type=click.Choice(choices),
                callback=_output,
                expose_value=False,
                help="How to answer.  [text]",
            ),
            click.option("--state", type=STATE, callback=state_named, expose_value=False, hidden=True),
            click.option("--store", callback=store_named, expose_value=False, hidden=True),
            click.option("--no-color", is_flag=True, callback=no_color, expose_value=False, hidden=True),
        )

        @click.pass_context
        @functools.wraps(function)
        def wrapped(context: click.Context, *args: Any, **kwargs: Any) -> Any:
            with in_words():
                return function(call(context), *args, **kwargs)

        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[return-value]

    return decorate


def completed(context: click.Context, incomplete: str, known: "Callable[[Store], Iterable[str]]") -> list[str]:
    """Those of what the store knows that begin so. Whatever goes wrong, a shell gets no names rather than an error."""
    try:
        with closing(call(context).open_store(make=False)) as store:
            names = sorted(known(store))
    except Exception:  # noqa: BLE001 - there is nobody to tell while a line is being typed
        return []
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Completion."""
    return completed(context, incomplete, lambda store: store.status())


def only(help: str = "Only what this selects: KIND[/NAME], label=value; a comma means and.") -> Callable[[F], F]:
    """`--only SELECTOR`, as often as needed; the command's function gets a Selector as `only`."""

    def read(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> "Selector":
        from reconciler.core.kinds import KINDS
        from reconciler.core.select import Selector, SelectorError

        try:
            return Selector.parse(values, KINDS)
        except SelectorError as error:
            raise click.UsageError(str(error)) from error

    return click.option("--only", multiple=True, metavar="SELECTOR", callback=read, shell_complete=_selected, help=help)


def _selected(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completion of the last word of a selector, by the names that are known."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names(context, parameter, last)]


def duration(_: click.Context, __: click.Parameter, value: str) -> float | None:
    """`90s`, `30m`, `2h`, `7d`, or `ever`; as seconds, or None for ever."""
    from reconciler.core.facts import lasting

    try:
        return lasting(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


STATE = click.Path(file_okay=False, path_type=Path)


@contextmanager
def in_words() -> Iterator[None]:
    """What our own rooms raise becomes an error for a person; anything else is a bug and keeps its traceback."""
    try:
        yield
    except click.ClickException:
        raise
    except Exception as error:
        if not _for_a_person(error):
            raise
        raise Failure(str(error)) from error


def _for_a_person(error: Exception) -> bool:
    """Only rooms that are loaded can have raised; the others stay unloaded, for a command must start at once."""
    for room, name in (
        ("reconciler.control", "ControlError"),
        ("reconciler.leader", "LeaderError"),
        ("reconciler.git", "SourceError"),
        ("reconciler.git", "Conflict"),
        ("reconciler.rollback", "RollbackError"),
        ("reconciler.checked", "Unchecked"),
        ("reconciler.core.proposal", "Refused"),
        ("reconciler.store", "StoreError"),
        ("reconciler.store", "BackupError"),
        ("reconciler.drivers", "DriverError"),
        ("reconciler.scraped", "MetricsError"),
        ("reconciler.web", "WebError"),
        ("reconciler.xds.listen", "ListenError"),
        ("reconciler.remote", "RemoteError"),
        ("reconciler.envoy_dump", "DumpError"),
        ("reconciler.secrets", "SecretError"),
        ("reconciler.sealed_files", "SealedFileError"),
        ("reconciler.forge.wire", "ForgeError"),
        ("reconciler.demo.fleet", "DemoError"),
        ("reconciler.demo.steps", "StepFailed"),
    ):
        raised = getattr(sys.modules.get(room), name, None)
        if raised is not None and isinstance(error, raised):
            return True
    return False


@contextmanager
def ending(stop: Callable[[], None]) -> Iterator[list[int]]:
    """While a loop runs: the first Ctrl-C or SIGTERM asks it to stop in order, a second Ctrl-C interrupts at once."""
    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def quiet() -> "Log":
    """For commands that show what happens themselves: the log would say it a second time."""
    from reconciler.log import Log

    return Log(level="error")
