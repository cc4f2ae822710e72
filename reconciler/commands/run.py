"""`convoy apply`, `serve` and `down`: what changes the world."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.commands import sources
from reconciler.commands.account import first_admin
from reconciler.commands.look import kept
from reconciler.commands.options import FAILED, INTERRUPTED, Call, Command, Failure, common, ending, quiet
from reconciler.commands.shown import background, planned_or_fail, show_problems, tell_unopened, told_before

if TYPE_CHECKING:
    from reconciler.loop import View

UNFINISHED = 2
# A failure is final for `apply` when nothing else has moved for this long: the loop itself would try for ever.
SETTLED_S = 10.0
PEM = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    cls=Command,
    examples=[
        ("convoy apply", "make this machine run the fleet in this directory"),
        ("convoy apply examples/hello --yes", "without being asked about what is deleted"),
        ("convoy apply --source . --branch main --deadline 60", "what is committed, within a minute"),
    ],
    exits=[
        (0, "everything is as declared"),
        (1, "there are problems, or something failed or waits for a person"),
        (2, "the deadline passed first; or the command line cannot be understood"),
    ],
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask before something is deleted.")
@click.option(
    "--deadline", default=300.0, show_default=True, type=click.FloatRange(min=1), metavar="SECONDS", help="How long to go on."
)
@sources.from_anywhere
@common()
def apply(
    call: Call, path: Path | None, source: str | None, branch: str, subdirectory: str, yes: bool, deadline: float
) -> None:
    """Make it so, once; then leave it running.

    PATH is the folder with the documents, this one where left out. The plan is shown and carried out until everything is as
    declared. What this state directory has made before and PATH does not declare is removed. Heals and follows commits:
    `convoy serve`.
    """
    place = sources.place(path, source, branch, subdirectory)
    from reconciler.control import open_control
    from reconciler.core import show
    from reconciler.seams import Seams

    seams = Seams()
    wishes = place.source(call.state, seams)
    try:
        with open_control(call.state, store=call.store, source=wishes, seams=seams, log=quiet()) as control:
            preview = control.preview()
            planned = planned_or_fail(call, preview, wishes)
            tell_unopened(call, preview.unopened)
            if not call.json:
                page = show.plan(planned, told_before(control, planned), background(preview))
                call.terminal.page((*page, show.BLANK) if show.steps(planned) else page)
            _ask(call, yes, sum(step.change == "delete" for step in show.steps(planned)))
            place.remember(call.state)
            with call.terminal.progress("applying") as update, ending(control.stop) as heard:
                view = control.run(_Watch(call, update, seams.monotonic), deadline)
        _finish(call, view, heard, wishes)
    finally:
        wishes.close()


def _ask(call: Call, yes: bool, deletes: int) -> None:
    """Only a person can be asked: in a script, what is declared is what is meant."""
    if deletes and not yes and not call.json and sys.stdin.isatty() and call.terminal.live:
        from reconciler.core import show

        click.confirm(f"{show.count(deletes, 'workload')} will be deleted. Go on?", abort=True, err=True)


class _Watch:
    """Told of every round: says what was done, moves the bar, and knows when to stop."""

    def __init__(self, call: Call, update: Callable[[int, int, str], None], clock: Callable[[], float]) -> None:
        self._call, self._update, self._clock = call, update, clock
        self._moved_at = clock()
        self._last: object = None

    def __call__(self, view: "View") -> bool:
        from reconciler.core import show

        if not self._call.json:
            for outcome in view.outcomes:
                self._call.terminal.line(show.outcome(outcome))
        self._update(*show.progress(view.status))
        now = {ref: (one.sync, one.health) for ref, one in view.status.items()}
        if now != self._last:
            self._last, self._moved_at = now, self._clock()
        # Where only a person can take it further, that person is told so sooner by our ending than by our waiting.
        if view.converged or view.asks or view.refused or view.problems or view.unreadable:
            return True
        return stuck(view) and self._clock() - self._moved_at > SETTLED_S


def stuck(view: "View") -> bool:
    """Whether something failed or waits for a person, declared or not."""
    holds = view.plan.held if view.plan else ()
    return any(one.sync in ("failed", "refused", "held", "drifted") for one in view.status.values()) or any(
        held.release for held in holds
    )


def _finish(call: Call, view: "View", heard: list[int], wishes: object) -> None:
    from reconciler.core import show

    if heard:
        call.terminal.note("interrupted: what was begun goes on running; `convoy apply` again takes it further", "wait")
        raise click.exceptions.Exit(INTERRUPTED)
    if view.unreadable:
        raise Failure(view.unreadable)
    if view.refused or view.problems:
        show_problems(call, view.refused, view.problems, wishes)  # type: ignore[arg-type]
        raise click.exceptions.Exit(FAILED)
    fleet = show.Standing(view.revision, converged=view.converged)
    with kept(call) as store:
        rows = store.status() if store else show.rows(view.status)
    call.page((show.BLANK, *show.status(fleet, rows, time.time(), most_well=0)), show.status_json(fleet, {}, rows))
    if not view.converged:
        raise click.exceptions.Exit(FAILED if stuck(view) else UNFINISHED)


@click.command(
    cls=Command,
    examples=[
        ("convoy serve --source https://git.example/fleet.git", "follow the branch main"),
        ("convoy serve --source . --branch live --subdirectory prod", "a local repository's branch, one directory of it"),
        ("convoy serve --source https://git.example/fleet.git --signers /etc/convoy/signers", "only commits signed by these"),
        ("convoy serve --source /srv/fleet --metrics 127.0.0.1:9100 --log json", "for a service manager"),
        ("convoy serve --source … --http 127.0.0.1:8080", "answer `convoy plan --against http://127.0.0.1:8080`"),
        ("convoy serve --source … --standby --store postgresql+psycopg://db/convoy", "on each of two machines: one acts"),
    ],
    exits=[(0, "it was asked to end (SIGTERM)"), (1, "it cannot run here"), (130, "Ctrl-C")],
)
@click.option(
    "--source",
    required=True,
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
@click.option("--standby", is_flag=True, help="While another Convoy acts, wait and take over from it.")
@click.option("--log", "form", type=click.Choice(("text", "json")), default="text", show_default=True, help="How to log.")
@click.option("--log-level", type=click.Choice(("debug", "info", "warning", "error")), default="info", show_default=True)
@common()
def serve(
    call: Call,
    source: str,
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
    standby: bool,
    form: str,
    log_level: str,
) -> None:
    """Follow a repository and keep the fleet as it says, until stopped.

    Commits are carried out as they come, what breaks is healed. What runs goes on running when this ends: `convoy down` is
    what stops it. Of several Convoys on one store, or in one state directory, one acts at a time; started with --standby, the
    others wait, and one of them takes over when it is not heard of for 15 seconds.
    """
    from reconciler.control import open_control
    from reconciler.log import Log
    from reconciler.seams import Seams
    from reconciler.web import Http

    seams = Seams()
    log = Log(form=form, level=log_level, colour=None if call.terminal.color else False, seams=seams)  # type: ignore[arg-type]
    place = followed(source, branch, subdirectory)
    if http is None and (http_cert or http_key or http_plaintext or http_trust or http_origin):
        raise click.UsageError("--http-cert, --http-key, --http-plaintext, --http-trust and --http-origin belong to --http")
    front = place.followed, http_trust, http_origin
    address = Http(http, http_cert, http_key, http_plaintext, *front) if http is not None else None
    while True:
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
                http=address,
                desk=place.desk(call.state, seams) if address is not None else None,
            ) as control:
                place.remember(call.state)
                if address is not None:
                    first_admin(call)
                log.info("serve.started", source=place.shown, state=call.state)
                with ending(control.stop) as heard:
                    if not standby or control.stand_by():
                        control.run()
                taken_by = control.taken_by
        finally:
            wishes.close()
        if heard or not standby:
            break
    log.info("serve.ended")
    if signal.SIGINT in heard:
        raise click.exceptions.Exit(INTERRUPTED)
    if not heard:
        raise Failure(f"Convoy had to stop: {taken_by or 'another one'} took over (with --standby it would wait for its turn)")


def followed(source: str, branch: str | None, subdirectory: str) -> sources.Place:
    """A directory that is no repository is followed as it is, unless a branch of it is asked for."""
    path = Path(source)
    if branch is None and path.is_dir() and not (path / ".git").exists() and not (path / "HEAD").exists():
        return sources.place(path / subdirectory if subdirectory else path, None, "", "")
    return sources.place(None, source, branch or "main", subdirectory)


@click.command(
    cls=Command,
    examples=[("convoy down", "stop and remove all that Convoy runs from this state directory")],
    exits=[(0, "nothing of it is left"), (1, "something is still there")],
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--retained", is_flag=True, help="Also what its document says to retain.")
@click.option(
    "--deadline", default=120.0, show_default=True, type=click.FloatRange(min=1), metavar="SECONDS", help="How long to go on."
)
@common()
def down(call: Call, yes: bool, retained: bool, deadline: float) -> None:
    """Stop and remove everything that bears our mark.

    What Git declares stays as it is there: the next `apply` or `serve` makes it all again.
    """
    from reconciler.core import show

    with kept(call) as store:
        if store is None:
            call.page((show.text(f"nothing to stop: no Convoy has worked in {call.state}"),), {"down": True})
            return
    from reconciler.control import open_control

    if not yes and not call.json and sys.stdin.isatty() and call.terminal.live:
        click.confirm(f"Stop everything that runs from {call.state}?", abort=True, err=True)
    with open_control(call.state, store=call.store, source=None, log=quiet()) as control, ending(control.stop) as heard:
        view = control.down(deadline, retained=retained)
    if heard:
        raise click.exceptions.Exit(INTERRUPTED)
    if not view.converged:
        call.page(
            (show.text(show.Span("not everything is gone", "bad"), f" after {deadline:g} s: run `convoy down` again"),),
            {"down": False},
        )
        raise click.exceptions.Exit(FAILED)
    left = sorted(str(ref) for ref in view.plan.left) if view.plan else []
    words = f", save what is to be retained: {', '.join(left)} (--retained stops that too)" if left else ""
    call.page((show.text(show.Span("all stopped", "good"), words),), {"down": True, "retained": left})
