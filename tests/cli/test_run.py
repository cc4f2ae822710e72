"""`convoy plan`, `apply`, `serve` and `down` over a Control that plays its part."""

import json
import os
import re
import signal
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reconciler import control
from reconciler.commands import options, run, serve
from reconciler.commands.sources import Place, remembered
from reconciler.core.model import Outcome, Plan, Problem, Where
from reconciler.seams import Seams
from reconciler.store import Store, default_url
from reconciler.terminal import Terminal
from tests.cli.conftest import Convoy
from tests.cli.playing import FakeControl, Play, preview, step, view


@pytest.fixture
def playing(monkeypatch: pytest.MonkeyPatch, state: Path) -> Play:
    """From now on `open_control` gives a Control that plays these views."""

    def play(*views: Any, planned: Any = None) -> FakeControl:
        fake = FakeControl(list(views), planned or preview())
        state.mkdir(exist_ok=True)
        monkeypatch.setattr(control, "open_control", lambda *_, **__: fake)
        return fake

    return play


def test_plan_and_its_exit_code(convoy: Convoy, playing: Play, tmp_path: Path) -> None:
    """Showing a plan is success; with --exit-code, 2 says that there are changes and 0 that there are none."""
    playing()
    assert (convoy("plan", str(tmp_path)).exit_code, convoy("plan", str(tmp_path), "--exit-code").exit_code) == (0, 2)
    assert "+  Container/web  on local" in convoy("plan", str(tmp_path)).stdout
    assert json.loads(convoy("plan", str(tmp_path), "-o", "json").stdout)["summary"] == {"create": 1}
    assert convoy("plan", str(tmp_path), "-o", "markdown").stdout.startswith("**1 to create**")
    playing(planned=preview(plan=Plan("r1", ())))
    assert convoy("plan", str(tmp_path), "--exit-code").exit_code == 0


def test_plan_with_problems(convoy: Convoy, playing: Play, tmp_path: Path) -> None:
    """No plan is made of what is wrong: the problems are shown instead."""
    playing(planned=preview(plan=None, problems=(Problem(Where("a.yaml", 1), "bad"),)))
    result = convoy("plan", str(tmp_path), "--exit-code")

    assert result.exit_code == 1
    assert "a.yaml:1:1: bad" in result.stdout


def test_plan_of_an_unreadable_source(convoy: Convoy, playing: Play, tmp_path: Path) -> None:
    """An unreadable source is an error, never a plan to delete everything."""
    playing(planned=preview(plan=None, unreadable="cannot read it: mend it"))
    result = convoy("plan", str(tmp_path), "--exit-code")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot read it: mend it" in result.stderr


def test_apply_until_converged(convoy: Convoy, playing: Play, tmp_path: Path) -> None:
    """Each step is told as it is done, and the end is where the fleet stands."""
    playing(view("pending", "unknown", why="missing"), view(outcomes=(Outcome(step(), "done", seconds=0.3),)))
    result = convoy("apply", str(tmp_path))

    assert result.exit_code == 0, result.output
    assert "✓ created Container/web on local (0.3 s)\n" in result.stdout
    assert "as declared: 1 resource" in result.stdout


def test_apply_json_is_one_answer(convoy: Convoy, playing: Play, tmp_path: Path) -> None:
    """Programs get where the fleet stands in the end and nothing else."""
    playing(view("pending", "unknown"), view(outcomes=(Outcome(step(), "done"),)))

    assert json.loads(convoy("apply", str(tmp_path), "-o", "json").stdout)["converged"] is True


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (view("pending", "starting", why="not healthy yet"), 2),
        (view("failed", "unhealthy", why="no such program"), 1),
        (view(converged=False, refused="r2", problems=(Problem(Where("a.yaml", 1), "bad"),)), 1),
        (view(converged=False, unreadable="cannot fetch"), 1),
    ],
)
def test_apply_that_does_not_converge(last: Any, code: int, convoy: Convoy, playing: Play, tmp_path: Path) -> None:
    """1 for what failed or is wrong, 2 for what is only not done yet at the deadline."""
    playing(last)

    assert convoy("apply", str(tmp_path)).exit_code == code


def test_apply_gives_up_on_what_stays_failed() -> None:
    """A failure is final when nothing has moved for a while; until then it may heal."""
    now = [0.0]
    watch = run._Watch(options.Call(None, Terminal()), lambda *_: None, lambda: now[0])
    failed = view("failed", "unhealthy", why="no such program")

    assert not watch(failed)
    now[0] = run.SETTLED_S - 1
    assert not watch(failed)
    now[0] = run.SETTLED_S + 1
    assert watch(failed)


def test_apply_ends_where_only_a_person_can_take_it_further() -> None:
    """At once: nothing else is going to happen."""
    watch = run._Watch(options.Call(None, Terminal()), lambda *_: None, lambda: 0.0)
    assert not watch(view("held", "healthy"))
    assert watch(view("held", "healthy", asks=True))


@pytest.mark.parametrize("words", [("apply", "."), ("down", "--yes")])
def test_ctrl_c_ends_in_order(words: tuple[str, ...], convoy: Convoy, playing: Play, state: Path) -> None:
    """The loop is asked to stop, and the exit code is 130."""
    before = signal.getsignal(signal.SIGINT)
    fake = playing(view("pending", "unknown"), lambda: os.kill(os.getpid(), signal.SIGINT), view("pending", "unknown"))
    Store(default_url(state), Seams()).close()
    result = convoy(*words)

    assert fake.stopped
    assert result.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_down(convoy: Convoy, playing: Play, state: Path) -> None:
    """Nothing there is nothing to do; what does not go is a failure."""
    assert convoy("down").exit_code == 0
    playing(view(status={}))
    Store(default_url(state), Seams()).close()
    assert "all stopped" in convoy("down", "--yes").stdout
    playing(view(converged=False))
    assert convoy("down", "--yes").exit_code == 1


@pytest.mark.parametrize("option", ["--xds", "--http", "--metrics"])
def test_where_another_listens(option: str, convoy: Convoy, tmp_path: Path) -> None:
    """Two Convoys never share a port: the second ends, and says which one it is and what to do."""
    (tmp_path / "fleet").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        result = convoy("serve", "--source", str(tmp_path / "fleet"), option, place)
    assert result.exit_code == 1
    (said,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert place in said
    assert re.search(r"choose another|name another", said)
    assert "Traceback" not in result.stderr


def test_what_control_says_is_for_a_person(
    convoy: Convoy, monkeypatch: pytest.MonkeyPatch, state: Path, tmp_path: Path
) -> None:
    """Our own errors are told in their words; a bug keeps its traceback."""

    def refuse(*_: object, **__: object) -> FakeControl:
        raise control.ControlError("another Convoy is at work: stop it")

    monkeypatch.setattr(control, "open_control", refuse)
    assert convoy("plan", str(tmp_path)).stderr == "error: another Convoy is at work: stop it\n"

    def break_down(*_: object, **__: object) -> FakeControl:
        raise ZeroDivisionError

    monkeypatch.setattr(control, "open_control", break_down)
    assert isinstance(convoy("plan", str(tmp_path)).exception, ZeroDivisionError)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serve_until_it_is_asked_to_end(number: int, code: int, convoy: Convoy, playing: Play, tmp_path: Path) -> None:
    """A service manager's SIGTERM is a good end; Ctrl-C is told apart from it, and SIGHUP ends nothing. What is followed is
    remembered."""
    fake = playing(view(), *(partial(os.kill, os.getpid(), one) for one in (signal.SIGHUP, number)), view())
    result = convoy("serve", "--source", str(tmp_path), "--log", "json")

    assert (fake.stopped, fake.replaced) == (True, 1)
    assert result.exit_code == code
    assert [json.loads(line)["event"] for line in result.stderr.splitlines()] == ["serve.started", "serve.ended"]
    assert remembered(tmp_path / "state") == Place(str(tmp_path.resolve()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Say it with --source"),
        (("--only", "web"), "say where, with --http"),
        (("--only", "web", "--http", "0", "--branch", "live", "--standby"), "--branch and --standby: not with --only web"),
        (("--only", "web", "--http", "0", "--signers", "signers"), "--signers: not with --only web"),
        (("--only", "control", "--source", ".", "--http", "0"), "--http: not with --only control"),
    ],
)
def test_parts_that_do_not_fit(words: tuple[str, ...], said: str, convoy: Convoy, playing: Play) -> None:
    """What one part does not heed is not to be given to it."""
    playing(view())
    result = convoy("serve", *words)

    assert result.exit_code == 2
    assert said in result.stderr


def test_serve_that_lost_its_place(convoy: Convoy, playing: Play, tmp_path: Path) -> None:
    """A loop that ends without being asked has lost its lease: a service manager must start it again."""
    playing(view())
    result = convoy("serve", "--source", str(tmp_path))

    assert result.exit_code == 1
    assert "another one took over" in result.stderr


def test_ctrl_c_while_nothing_runs_yet(convoy: Convoy, monkeypatch: pytest.MonkeyPatch, state: Path, tmp_path: Path) -> None:
    """Also before a loop is there to be stopped, Ctrl-C exits with 130 and without a traceback."""

    def interrupt(*_: object, **__: object) -> FakeControl:
        raise KeyboardInterrupt

    monkeypatch.setattr(control, "open_control", interrupt)
    result = convoy("plan", str(tmp_path))

    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_what_serve_follows(tmp_path: Path) -> None:
    """A folder without Git is followed as it is; a repository, and whatever is named with a branch, by its branch."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "clone" / ".git").mkdir(parents=True)

    assert serve.followed(str(tmp_path / "plain"), None, "").branch == ""
    assert serve.followed(str(tmp_path / "plain"), "live", "").branch == "live"
    assert serve.followed(str(tmp_path / "clone"), None, "").branch == "main"
    assert serve.followed("https://git.example/fleet.git", None, "prod") == Place(
        "https://git.example/fleet.git", "main", "prod"
    )
