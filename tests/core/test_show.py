"""What people, programs and pull requests are shown, held to files that a review reads; `--update` writes them anew."""

import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import show
from reconciler.core.kinds.spec import Run
from reconciler.core.model import (
    XDS,
    Action,
    Held,
    Outcome,
    Plan,
    Problem,
    Ref,
    Snapshot,
    Verb,
    Want,
    Where,
    XdsResource,
)
from reconciler.core.show_layout import Fixed, Table, Text, cells, harmless, words
from reconciler.core.show_plan import steps
from reconciler.core.show_problems import code, inert
from reconciler.core.show_status import ago, progress
from reconciler.core.status import Status

GOLDEN = Path(__file__).parent / "show"
NOW = 100_000.0
WIDTHS = (("80", 80), ("50", 50), ("pipe", None))


def golden(name: str, text: str, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / name
    if request.config.getoption("--update"):
        path.write_text(text)
    assert text == path.read_text()


def snapshot(version: str, **names: tuple[str, ...]) -> Snapshot:
    """Resources by type; `name:version` where the version is to be another than 1."""
    resources: dict[str, dict[str, XdsResource]] = {}
    for type, listed in names.items():
        for entry in listed:
            name, _, content = entry.partition(":")
            one = XdsResource(type, name, content or "1", b"", Where("edge.yaml", 3), Ref("Configuration", "edge"))
            resources.setdefault(type, {})[name] = one
    return Snapshot(version, resources)


BEFORE = snapshot("v1", cds=("blue", "green"), eds=("blue", "green"), lds=("http",), rds=("main",))
AFTER = snapshot("v2", cds=("blue", "red"), eds=("blue", "red"), lds=("http",), rds=("main:2",))


def action(verb: Verb, ref: str, instance: str, host: str, reason: str, want: Any = None) -> Action:
    return Action(verb, Ref.parse(ref), instance, host, want, reason)


PLANS: Mapping[str, tuple[Plan, Mapping[str, Snapshot]]] = {
    "nothing": (Plan("3f9a7c21", ()), {}),
    "first": (
        Plan(
            "folder-1e53",
            (
                action("create", "Container/web-1", "0a1b2c3d4e5f0001", "local", "missing"),
                action("create", "Proxy/edge-1", "0a1b2c3d4e5f0002", "local", "missing"),
                action("update", "ProxyGroup/edge", "v1", XDS, "new configuration for edge-1", {"edge-1": BEFORE}),
            ),
        ),
        {},
    ),
    "mixed": (
        Plan(
            "3f9a7c21",
            (
                action("create", "Container/green-1", "0a1b2c3d4e5f0001", "local", "missing"),
                action("create", "Container/web-1", "0a1b2c3d4e5f0002", "local", "changed: made before the old one is removed"),
                action("update", "Container/api-1", "0a1b2c3d4e5f0003", "rack-7", "changed in place"),
                action(
                    "update",
                    "ProxyGroup/edge",
                    "v2",
                    XDS,
                    "new configuration for edge-1, edge-2, edge-3",
                    {"edge-1": AFTER, "edge-2": AFTER, "edge-3": AFTER},
                ),
                action("delete", "Container/old-1", "0a1b2c3d4e5f0004", "local", "no longer declared"),
            ),
            (
                Held(
                    Ref("Container", "blue-1"), "proxy edge-1 may still send requests to it", None, "0a1b2c3d4e5f0005", "delete"
                ),
                Held(Ref("Container", "far-1"), "host rack-9 cannot be seen: connection refused by 10.0.0.9 \x1b[31m"),
                Held(Ref("Container", "web-1"), "its replacement is not healthy yet", None, "0a1b2c3d4e5f0006", "delete"),
                Held(
                    Ref("Container", "sick-1"), "failed 2 times, next try later: no such program", NOW + 2, "0a1b2c3d", "create"
                ),
            ),
            NOW + 2,
        ),
        {"edge-1": BEFORE, "edge-2": BEFORE},
    ),
}
FILES = {
    "apps/web.yaml": (
        "apiVersion: convoy/v1\nkind: Application\nmetadata: {name: web}\nspec:\n  replcas: 2\n"
        '  environment: {TITLE: "日本語 ☃", MODE: fast}\n  ports:\n\t- {name: "http", port: 99999}\n'
    ),
    "long.yaml": "key: " + "x" * 300 + "\n" + "日" * 70 + " here: " + "y" * 70 + "\n",
}
PROBLEMS = (
    Problem(Where("apps/web.yaml", 8, 25), "99999 is more than 65535", "a port is a number from 1 to 65535"),
    Problem(Where("apps/web.yaml", 5, 3), "unknown field 'replcas'", "did you mean 'replicas'?", Ref("Application", "web")),
    Problem(Where("apps/web.yaml", 6, 40), "MODE is told to nobody", ""),
    Problem(Where("long.yaml", 1, 6), "is too long", "shorten it"),
    Problem(Where("long.yaml", 2, 72), "far to the right"),
    Problem(Where("link.yaml"), "is a symbolic link out of the folder, to '/etc/passwd'", "put the file itself there"),
    Problem(Where("apps/web.yaml", 99, 1), "a line that is not there any more", ""),
)


def row(
    ref: str, sync: str, health: str, why: str = "", *, declared: bool = True, age_s: float = 75.0, **more: Any
) -> dict[str, Any]:
    return {
        "ref": ref,
        "sync": sync,
        "health": health,
        "since": NOW - age_s,
        "why": why,
        "declared": declared,
        "where": "apps/web.yaml:1",
        "instances": [],
        **more,
    }


INSTANCE = {
    "instance": "0a1b2c3d4e5f0001",
    "host": "local",
    "state": "running",
    "health": "starting",
    "message": "connection refused at 127.0.0.1:20001",
    "since": NOW - 9,
    "address": "127.0.0.1",
    "ports": {"http": 20001, "admin": "/run/convoy/admin.sock"},
    "pid": 4711,
    "restarts": 2,
    "exit": 1,
    "log": "/var/lib/convoy/hosts/local/web-1/log",
}
ROWS = {
    one["ref"]: one
    for one in (
        row("Application/web", "pending", "starting", "Container/web-1: connection refused at 127.0.0.1:20001"),
        row("Container/web-1", "pending", "starting", "connection refused", declared=False, instances=[INSTANCE]),
        row(
            "Configuration/edge",
            "refused",
            "none",
            "edge.yaml:3:1: Envoy refuses broken: minimum_ring_size too large",
            age_s=4000,
        ),
        row("Container/old-1", "held", "healthy", "proxy edge-1 may still reach it", declared=False, age_s=2e5, where=""),
        row("Host/local", "synced", "healthy"),
        row("ProxyGroup/edge", "synced", "none"),
    )
}
STATE = {
    "revision": "3f9a7c21",
    "refused": "4b5c6d7e",
    "unreadable": "cannot fetch branch main of https://***@git.example/fleet.git: could not resolve host",
    "converged": False,
    "problems": [
        {"file": "e.yaml", "line": 3, "column": 2, "what": "unknown field 'weight'", "hint": "did you mean 'weights'?"}
    ],
}


@pytest.mark.parametrize(("name", "width"), WIDTHS)
@pytest.mark.parametrize("case", PLANS)
def test_plan(case: str, name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    """A plan begins with its size, then names every resource, what happens to it and why."""
    golden(f"plan-{case}.{name}.txt", show.plain(show.plan(*PLANS[case]), width), request)


@pytest.mark.parametrize("case", PLANS)
def test_plan_for_programs_and_pull_requests(case: str, request: pytest.FixtureRequest) -> None:
    """JSON and Markdown say the same as the page."""
    golden(f"plan-{case}.json", json.dumps(show.plan_json(*PLANS[case]), indent=2, ensure_ascii=False) + "\n", request)
    golden(f"plan-{case}.md", show.plan_markdown(*PLANS[case]), request)


def test_plan_json_never_holds_what_workloads_are_made_of() -> None:
    """A workload's environment may be secret, so a plan that is stored and posted does not carry it."""
    run = Run(command=("serve",), environment={"TOKEN": "canary-4711"})
    want = Want(Ref("Container", "web"), "uid", "i", "l", run, Ref("Container", "web"))
    planned = Plan("r", (action("create", "Container/web", "i", "local", "missing", want),))

    assert "canary" not in json.dumps(show.plan_json(planned))
    assert "canary" not in show.plan_markdown(planned)
    assert "canary" not in show.plain(show.plan(planned))


def test_a_create_beside_an_old_instance_is_one_replacement() -> None:
    """Made before broken is one change to a person, though the planner does it in several steps."""
    changes = {str(step.ref): step.change for step in steps(PLANS["mixed"][0])}

    assert changes["Container/web-1"] == "replace"
    assert changes["Container/green-1"] == "create"
    assert changes["Container/blue-1"] == "delete"
    assert changes["Container/sick-1"] == "hold"


@pytest.mark.parametrize(("name", "width"), WIDTHS)
def test_problems(name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    """Every Problem is shown in the order of the files, with its line and a mark under the very word."""
    golden(f"problems.{name}.txt", show.plain(show.problems(PROBLEMS, FILES), width), request)


def test_problems_for_pull_requests(request: pytest.FixtureRequest) -> None:
    """Markdown with a limit says how many more there are."""
    golden("problems.md", show.problems_markdown(PROBLEMS, limit=4), request)


def test_problems_json() -> None:
    """A program gets file, line and column as numbers."""
    assert show.problem_json(PROBLEMS[1]) == {
        "file": "apps/web.yaml",
        "line": 5,
        "column": 3,
        "what": "unknown field 'replcas'",
        "hint": "did you mean 'replicas'?",
        "ref": "Application/web",
    }


@pytest.mark.parametrize(("name", "width"), WIDTHS)
def test_status(name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    """What is refused, unreadable and not as declared stands before what is well."""
    golden(f"status.{name}.txt", show.plain(show.status(show.standing(STATE, False), ROWS, NOW), width), request)


def test_status_converged(request: pytest.FixtureRequest) -> None:
    """A fleet that is as declared says so first, and a long list of what is well is cut short."""
    rows = {f"Container/c-{i:03}": row(f"Container/c-{i:03}", "synced", "healthy") for i in range(60)}
    fleet = show.standing({"revision": "3f9a7c21", "converged": True}, True)
    golden("status-converged.txt", show.plain(show.status(fleet, rows, NOW), 80), request)


def test_status_json_lists_declared_resources_alone() -> None:
    """Workloads and instances are what `get` is for."""
    answer = show.status_json(show.standing(STATE, True), STATE, ROWS)

    assert [one["ref"] for one in answer["resources"]] == [
        "Application/web",
        "Configuration/edge",
        "Host/local",
        "ProxyGroup/edge",
    ]
    assert answer["summary"] == {"pending": 1, "refused": 1, "synced": 2}
    assert (answer["refused"], answer["converged"], answer["problems"]) == ("4b5c6d7e", False, STATE["problems"])
    assert all("instances" not in one for one in answer["resources"])


@pytest.mark.parametrize(("name", "width"), WIDTHS)
def test_explain(name: str, width: int | None, request: pytest.FixtureRequest) -> None:
    """Everything known of one resource: standing, workloads, what runs, the document, what happened."""
    known = show.Known(
        "apiVersion: convoy/v1\nkind: Application\nmetadata:\n  name: web # the shop's front\n",
        "apps/web.yaml:1",
        "3f9a7c21",
        (ROWS["Container/web-1"],),
        BEFORE,
        "LDS http: error adding listener: 'cannot bind'",
        ((NOW - 60, "status.pending", "missing"), (NOW - 4000, "create done", "on local")),
    )
    golden(f"explain.{name}.txt", show.plain(show.explain(ROWS["Application/web"], known, NOW), width), request)


def test_outcomes() -> None:
    """A step that is over is one line with what went wrong in it."""
    step = action("create", "Container/web-1", "i", "local", "missing")
    lines = [
        "".join(span.text for span in show.outcome(outcome))
        for outcome in (
            Outcome(step, "done", seconds=1.26),
            Outcome(step, "failed", "no such program: nginxx", seconds=0.01),
            Outcome(step, "skipped", "Container/db failed"),
        )
    ]

    assert lines == [
        "✓ created Container/web-1 on local (1.3 s)",
        "✗ could not create Container/web-1 on local: no such program: nginxx",
        "· skipped create of Container/web-1 on local: Container/db failed",
    ]


def test_progress_names_what_is_awaited() -> None:
    """The bar counts what is as declared and says what the first of the others waits for."""
    web, edge = Ref("Application", "web"), Ref("Proxy", "edge-1")
    statuses = {web: Status(web, "synced", "healthy", 0), edge: Status(edge, "pending", "starting", 0, "missing")}

    assert progress(statuses) == (1, 2, "Proxy/edge-1: missing")


def test_nothing_drives_the_terminal() -> None:
    """Escapes, bells, other ends of lines and reversed text are written out; words of all languages stay."""
    assert harmless("a\x1b[2Jb\x07\u202eevil\u2028\x9b") == "a\\x1b[2Jb\\x07\\u202eevil\\u2028\\x9b"
    assert harmless("naïve 日本語 ☃ é") == "naïve 日本語 ☃ é"


@given(st.text(), st.sampled_from([None, 8, 20, 50, 80]))
def test_pages_hold_any_text(words_: str, width: int | None) -> None:
    """Whatever text a page holds, nothing that a terminal obeys comes out, and no letter is lost where lines are not cut."""
    page = (Text(words(words_), 2, 2), Table(("", "A", "B"), ((words("x"), words(words_), words(words_)),), 1))
    shown = show.plain(page, width)
    kept = "".join(c for c in harmless(words_) if not c.isspace())

    assert all(c == "\n" or c.isprintable() or unicodedata.category(c) == "Zs" for c in shown)
    assert kept in "".join(shown.split())


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Mn", "Me"])), st.integers(4, 60))
def test_fixed_lines_are_cut_to_the_width(words_: str, width: int) -> None:
    """A line of source text never grows beyond the screen."""
    (line,) = show.lay_out((Fixed(words(words_.replace("\n", " "))),), width)

    assert sum(cells(span.text) for span in line) <= width


@pytest.mark.parametrize(
    "hostile",
    [
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "@everyone",
        "a|b",
        "`x`",
        "https://evil.example",
        "#12",
        "**b**",
    ],
)
def test_markdown_is_inert(hostile: str) -> None:
    """What a fleet file says is shown on a pull request as it is: no HTML, link, mention, table cell or emphasis."""
    shown = inert(hostile)

    assert "<" not in shown
    assert "[click](" not in shown
    assert not any(sign in shown.replace(f"\\{sign}", "") for sign in "`*|#[]")
    assert "@e" not in shown
    assert "https://" not in shown.replace("\\", "")


def test_code_spans_hold_backticks() -> None:
    """A name with backticks does not end the code span it stands in."""
    assert code("a`b") == "``a`b``"
    assert code("`a") == "`` `a ``"


def test_ages() -> None:
    """How long is said in one unit."""
    assert [ago(s) for s in (-5, 0, 59, 60, 3599, 3600, 86399, 86400 * 3)] == [
        "0s",
        "0s",
        "59s",
        "1m",
        "59m",
        "1h",
        "23h",
        "3d",
    ]
