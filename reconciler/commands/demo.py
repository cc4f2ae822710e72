"""`convoy demo`: a fleet of real Envoys on this machine, to look at or to check."""

import dataclasses
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click

from reconciler.commands.options import FAILED, INTERRUPTED, Call, Command, common


@click.command(
    cls=Command,
    examples=[
        ("convoy demo", "three Envoys before two versions of an application, until Ctrl-C"),
        ("convoy demo --check", "play every step, each checked by real requests"),
        ("convoy demo --stop", "stop what a demo left behind"),
    ],
    exits=[(0, "all went well"), (1, "a step failed, or the demo cannot run here"), (130, "Ctrl-C")],
)
@click.option("--check", "checking", is_flag=True, help="Play the steps, say how each went, stop everything.")
@click.option("--stop", "stopping", is_flag=True, help="Stop what runs in the demo's directory.")
@click.option(
    "--directory", type=click.Path(path_type=Path), default=".demo", show_default=True, help="Where the demo keeps its files."
)
@common()
def demo(call: Call, checking: bool, stopping: bool, directory: Path) -> None:
    """Show what Convoy does, on this machine alone."""
    from reconciler.core import show
    from reconciler.demo import run

    stopped, passed = threading.Event(), True
    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)
        stopped.set()
        if number == signal.SIGINT:
            # A second Ctrl-C does not wait for the step under way.
            signal.signal(signal.SIGINT, signal.default_int_handler)

    say = call.terminal.note if call.json or checking else call.terminal.raw
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if stopping:
            there = run.stop(directory.resolve())
            call.page((show.text("stopped" if there else f"no demo is running in {directory}"),), {"stopped": there})
        elif checking:
            passed = _check(call, say, stopped)
        else:
            run.show(directory.resolve(), say, stopped)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in heard:
        raise click.exceptions.Exit(INTERRUPTED)
    if not passed:
        raise click.exceptions.Exit(FAILED)


def _check(call: Call, say: Callable[[str], None], stopped: threading.Event) -> bool:
    from reconciler.core import show
    from reconciler.demo import run

    def step(one: run.Played) -> None:
        if not call.json:
            sign = show.Span("✓", "good") if one.passed else show.Span("✗", "bad")
            seen = show.Span(f"  {one.seen}", "dim" if one.passed else "bad")
            call.terminal.page(
                (show.text(sign, f" {one.seconds:5.1f} s  {one.name}", hang=11), show.text(seen, indent=9, hang=2))
            )

    played = run.check(say, step, stopped)
    passed = bool(played) and all(one.passed for one in played) and not stopped.is_set()
    total = sum(one.seconds for one in played)
    end = show.Span("passed", "good") if passed else show.Span("failed", "bad")
    call.page(
        (show.BLANK, show.text(end, f": {show.count(len(played), 'step')} in {total:.1f} s")),
        {"passed": passed, "steps": [dataclasses.asdict(one) for one in played]},
    )
    return passed
