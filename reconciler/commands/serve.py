"""`convoy serve`: control and web, or one of them alone, until stopped."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from reconciler.commands import sources
from reconciler.commands.account import first_admin
from reconciler.commands.options import INTERRUPTED, Call, Command, Failure, common, ending

if TYPE_CHECKING:
    from reconciler.log import Log
    from reconciler.seams import Seams
    from reconciler.web import Http

PEM = click.Path(exists=True, dir_okay=False, path_type=Path)
# Who has waited for a disk or for git waits again for a thread that computes: 5 ms each time, if nothing is said, and hundreds
# of times in a batch of commits.
SWITCH_S = 0.0005
# Whose options these are, where one of the two runs alone.
OF_WEB = ("http", "http_cert", "http_key", "http_plaintext", "http_trust", "http_origin", "http_signed")
OF_CONTROL = ("source", "branch", "subdirectory", "poll", "metrics", "xds", "standby")


@click.command(
    cls=Command,
    examples=[
        ("convoy serve --source https://git.example/fleet.git", "follow the branch main"),
        ("convoy serve --source . --branch live --subdirectory prod", "a local repository's branch, one directory of it"),
        ("convoy serve --source https://git.example/fleet.git --signers /etc/convoy/signers", "only commits signed by these"),
        ("convoy serve --source /srv/fleet --metrics 127.0.0.1:9100 --log json", "for a service manager"),
        ("convoy serve --source … --http 127.0.0.1:8080", "answer `convoy plan --against http://127.0.0.1:8080`"),
        ("convoy serve --only web --http 127.0.0.1:8080", "only that, for the Convoy at work in this state directory"),
        ("convoy serve --source … --standby --store postgresql+psycopg://db/convoy", "on each of two machines: one acts"),
    ],
    exits=[(0, "it was asked to end (SIGTERM)"), (1, "it cannot run here"), (130, "Ctrl-C")],
)
@click.option(
    "--source",
    envvar="CONVOY_SOURCE",
    metavar="URL",
    help="The repository (URL or path), or a folder without Git; also $CONVOY_SOURCE, the place for a URL with a password.",
)
@click.option("--branch", help="The branch to follow.  [main]")
@click.option("--subdirectory", default="", metavar="PATH", help="The fleet's directory in the repository.")
@sources.signed
@click.option("--poll", type=click.FloatRange(min=0.1), metavar="SECONDS", help="How often to look for commits.")
@click.option("--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics there; port 0 chooses one.")
@click.option("--xds", multiple=True, metavar="HOST:PORT", help="Serve xDS there too, for proxies on other machines.")
@click.option("--http", metavar="HOST:PORT", help="Serve the API and forges' webhooks there; port 0 chooses one.")
@click.option("--http-cert", type=PEM, metavar="FILE", help="Serve HTTPS with this certificate (PEM, with its chain).")
@click.option("--http-key", type=PEM, metavar="FILE", help="The certificate's key (PEM).")
@click.option("--http-plaintext", is_flag=True, help="Plain HTTP though HOST is not loopback: a proxy in front ends TLS.")
@click.option("--http-trust", multiple=True, metavar="NET", help="Believe this proxy, or network of them, in X-Forwarded-For.")
@click.option("--http-origin", multiple=True, metavar="URL", help="Let pages from there read answers (CORS).")
@click.option("--http-signed", is_flag=True, help="Take rollbacks, deployments and the like only signed (docs/signing.md).")
@click.option("--standby", is_flag=True, help="While another Convoy acts, wait and take over from it.")
@click.option(
    "--only",
    type=click.Choice(("control", "web")),
    help="One part alone: control follows, acts and commits; web serves HTTP for the control of the same --state.",
)
@click.option("--log", "form", type=click.Choice(("text", "json")), default="text", show_default=True, help="How to log.")
@click.option("--log-level", type=click.Choice(("debug", "info", "warning", "error")), default="info", show_default=True)
@common()
def serve(
    call: Call,
    source: str | None,
    branch: str | None,
    subdirectory: str,
    poll: float | None,
    metrics: str | None,
    xds: tuple[str, ...],
    http: str | None,
    http_cert: Path | None,
    http_key: Path | None,
    http_plaintext: bool,
    http_trust: tuple[str, ...],
    http_origin: tuple[str, ...],
    http_signed: bool,
    standby: bool,
    only: str | None,
    form: str,
    log_level: str,
) -> None:
    """Follow a repository and keep the fleet as it says, until stopped.

    Commits are carried out as they come, what breaks is healed. What runs goes on running when this ends: `convoy down` is
    what stops it. Of several Convoys on one store, or in one state directory, one acts at a time; started with --standby, the
    others wait, and one of them takes over when it is not heard of for 15 seconds.

    SIGHUP replaces the process that serves HTTP by a new one, which clients do not notice; where that does not come up, nothing
    changes.
    """
    from reconciler.log import Log
    from reconciler.seams import Seams
    from reconciler.web import Http

    seams = Seams()
    log = Log(form=form, level=log_level, colour=None if call.terminal.color else False, seams=seams)  # type: ignore[arg-type]
    _fits(call, only)
    if http is None and (http_cert or http_key or http_plaintext or http_trust or http_origin or http_signed):
        every = [f"--{name.replace('_', '-')}" for name in OF_WEB[1:]]
        raise click.UsageError(f"{', '.join(every[:-1])} and {every[-1]} belong to --http")
    address = None
    if http is not None:
        tls = http_cert, http_key, http_plaintext
        address = Http(http, *tls, trusted=http_trust, origins=http_origin, signed=http_signed)
    with _hangups() as hangup:
        if only == "web":
            if address is None:
                raise click.UsageError("--only web serves HTTP: say where, with --http HOST:PORT")
            heard, taken_by = _web(call, address, log, seams, hangup), ""
        else:
            if source is None:
                raise click.UsageError("what is to be followed? Say it with --source URL")
            place = followed(source, branch, subdirectory)
            address = replace(address, followed=place.followed) if address is not None else None
            while True:
                heard, taken_by = _control(call, place, poll, metrics, xds, address, log, seams, hangup, standby=standby)
                if heard or not standby:
                    break
    log.info("serve.ended")
    if signal.SIGINT in heard:
        raise click.exceptions.Exit(INTERRUPTED)
    if not heard:
        raise Failure(f"Convoy had to stop: {taken_by or 'another one'} took over (with --standby it would wait for its turn)")


def _control(
    call: Call,
    place: sources.Place,
    poll: float | None,
    metrics: str | None,
    xds: tuple[str, ...],
    http: "Http | None",
    log: "Log",
    seams: "Seams",
    hangup: "_Hangup",
    *,
    standby: bool,
) -> tuple[list[int], str]:
    """One life of it: the signals that ended it, and who has taken over."""
    from reconciler.control import open_control
    from reconciler.serving import Asked

    sys.setswitchinterval(SWITCH_S)
    wishes = place.source(call.state, seams, poll)
    try:
        with open_control(
            call.state,
            store=call.store,
            source=wishes,
            seams=seams,
            log=log,
            metrics_address=metrics,
            xds_addresses=xds,
            asked=Asked(http, place.desk(call.state, seams)),
        ) as control:
            place.remember(call.state)
            if http is not None:
                first_admin(call)
            log.info("serve.started", source=place.shown, state=call.state)
            with ending(control.stop) as heard, hangup.meaning(control.replace_web):
                if not standby or control.stand_by():
                    control.run()
            return heard, control.taken_by
    finally:
        wishes.close()


def _web(call: Call, http: "Http", log: "Log", seams: "Seams", hangup: "_Hangup") -> list[int]:
    """Without control: what is read is read from the store, and what needs control is asked of the one that works in this state
    directory, at any time that it does. Returns the signals that ended it."""
    from reconciler.metrics import Metrics
    from reconciler.rundir import run_directory, state_directory
    from reconciler.store import default_url
    from reconciler.web import Web

    try:
        state = state_directory(call.state)
        run = run_directory(state)
    except OSError as error:
        raise Failure(f"cannot use {call.state} for Convoy's state: {error.strerror or error}") from error
    with closing(call.open_store()):
        # Made where there is none: who is there first does not matter.
        pass
    first_admin(call)
    stopped = threading.Event()
    http = replace(http, source=state / sources.REMEMBERED)
    with closing(Web(http, call.store or default_url(state), run, Metrics(), log, seams, alone=True)) as web:
        log.info("serve.started", only="web", state=call.state)
        with ending(stopped.set) as heard, hangup.meaning(web.replace):
            stopped.wait()
    return heard


def _fits(call: Call, only: str | None) -> None:
    """Raises UsageError for what belongs to the part that is left out. What the environment says is for both."""
    context = click.get_current_context()
    strange = {"web": OF_CONTROL, "control": OF_WEB}.get(only or "", ())
    given = [name for name in strange if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    given += ["signers"] if only == "web" and call.signers else []
    if given:
        words = " and ".join("--" + name.replace("_", "-") for name in given)
        raise click.UsageError(f"{words}: not with --only {only}, it is for the other part")


class _Hangup:
    """What SIGHUP does: replaces what serves HTTP; where the terminal that we were started at has gone, it ends us."""

    def __init__(self) -> None:
        self._terminals = [number for number in (0, 1, 2) if os.isatty(number)]
        self._means: Callable[[], None] | None = None

    @contextmanager
    def meaning(self, replace: Callable[[], None]) -> Iterator[None]:
        self._means = replace
        try:
            yield
        finally:
            self._means = None

    def hear(self, _: int, __: FrameType | None) -> None:
        if not all(map(os.isatty, self._terminals)):
            signal.raise_signal(signal.SIGTERM)
        elif self._means is not None:
            self._means()


@contextmanager
def _hangups() -> Iterator[_Hangup]:
    """From the start to the end, for a SIGHUP that comes too early or too late must not be what ends us."""
    hangup = _Hangup()
    before = signal.signal(signal.SIGHUP, hangup.hear)
    try:
        yield hangup
    finally:
        signal.signal(signal.SIGHUP, before)


def followed(source: str, branch: str | None, subdirectory: str) -> sources.Place:
    """A directory that is no repository is followed as it is, unless a branch of it is asked for."""
    path = Path(source)
    if branch is None and path.is_dir() and not (path / ".git").exists() and not (path / "HEAD").exists():
        return sources.place(path / subdirectory if subdirectory else path, None, "", "")
    return sources.place(None, source, branch or "main", subdirectory)
