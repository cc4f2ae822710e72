"""What is printed, used and seen is worded harmlessly, bounded, and the same in every form."""

import json
import time
from typing import Any

from reconciler.core.envoy_stats import percentile, traffic
from reconciler.core.model import Ref
from reconciler.core.rates import rates, sorted_by
from reconciler.core.running import LogLine, Traffic, Usage
from reconciler.core.show_events import Happened, event_line, of_action, wanted
from reconciler.core.show_layout import plain
from reconciler.core.show_logs import MOST_SHOWN, log_bytes, log_json, log_text, moment
from reconciler.core.show_top import top, top_json
from reconciler.core.show_watch import watch, watch_json, watch_line
from reconciler.core.watched import Watched


def row(ref: str, sync: str = "synced", health: str = "healthy", hosts: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    base = {"ref": ref, "sync": sync, "health": health, "since": 1.0, "why": "", "declared": True, "where": "a.yaml:1"}
    return base | {"instances": [{"host": host} for host in hosts]} | more


def test_nothing_of_a_line_is_obeyed_but_colours() -> None:
    """On a terminal: no cursor, no title, no bell, no direction; colours end with the line, or are taken out."""
    hostile = LogLine(b"\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07 \xff tab\there \xe2\x80\xae\r\n", 1.25)
    shown = log_text(hostile, colors=True, times=False)
    assert shown.startswith("\x1b[31mred\x1b[0m ")
    assert shown.endswith("\x1b[0m")
    rest = shown.replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert "\x1b" not in rest
    assert "\x07" not in rest
    assert "\u202e" not in rest
    assert "tab\there" in rest
    assert "\x1b" not in log_text(hostile, colors=False, times=True)
    assert log_text(LogLine(b"a\n", 1.25), colors=False, times=True) == "1970-01-01T00:00:01.2Z a"
    assert log_text(LogLine(b"a\n"), colors=False, times=True) == "- a"
    huge = log_text(LogLine(b"x" * 60_000), colors=True, times=False)
    assert len(huge) < MOST_SHOWN + 50
    assert "51,808 more" in huge
    assert moment(1e300) == moment(float("nan")) == "-"


def test_a_pipe_gets_every_byte() -> None:
    """Raw without a prefix; with one, pieces of several streams do not run into each other."""
    raw = b"\x00\x1b[2J\xff\n"
    assert log_bytes(LogLine(raw), "", times=False, begins=True) == raw
    assert log_bytes(LogLine(b"half"), "", times=False, begins=True) == b"half"
    assert log_bytes(LogLine(b"half"), "web | ", times=False, begins=True) == b"web | half\n"
    answer = log_json(LogLine(b"\xff\n", 1.0), "Container/a", "i1", "here")
    assert answer == {"at": 1.0, "ref": "Container/a", "instance": "i1", "host": "here", "text": "\ufffd", "bytes": "/w=="}
    assert log_json(LogLine(b"a"), "Container/a", "i1", "here")["partial"] is True


def test_events_are_lines_and_are_chosen() -> None:
    """A message of several lines is one; words and patterns choose kinds."""
    happened = Happened(1.0, "status.failed", "Container/a", "one\n two\x1b[2J", 3)
    assert plain((_fixed(event_line(happened)),)).count("\n") == 1
    assert "\x1b" not in plain((_fixed(event_line(happened)),))
    assert wanted("status.failed", ["status"])
    assert wanted("status.failed", ["*.failed"])
    assert wanted("status.failed", [])
    assert not wanted("status.failed", ["stat", "action", "*.refused"])
    record = {
        "ref": "Container/a",
        "verb": "create",
        "host": "here",
        "status": "failed",
        "error": "no",
        "at": 2.0,
        "seconds": 0.3,
    }
    failed = of_action(1, record)
    assert (failed.kind, failed.message) == ("action.failed", "create on here (0.3 s): no")


def _fixed(line: Any) -> Any:
    from reconciler.core.show_layout import Fixed

    return Fixed(line)


def test_what_an_envoy_says_is_counted() -> None:
    """Its own pages do not count, workers are not counted twice, and what is no such answer says nothing."""
    stats = [
        {"name": "http.web.downstream_rq_total", "value": 10},
        {"name": "http.admin.downstream_rq_total", "value": 99},
        {"name": "http.web.downstream_rq_5xx", "value": 2},
        {"name": "listener.0.0.0.0_80.downstream_cx_active", "value": 3},
        {"name": "listener.0.0.0.0_80.worker_0.downstream_cx_active", "value": 3},
        {
            "histograms": {
                "details": [
                    {"name": "http.web.downstream_rq_time", "intervals": [{"lower_bound": 1, "width": 0.1, "count": 9}]},
                    {"name": "http.admin.downstream_rq_time", "intervals": [{"lower_bound": 50, "width": 1, "count": 9}]},
                    {"name": "http.b.downstream_rq_time", "intervals": [{"lower_bound": 20, "width": 1, "count": 1}]},
                ]
            }
        },
    ]
    found = traffic(json.dumps({"stats": stats}).encode())
    assert found == Traffic(10, 2, 3, {1.1: 9, 21.0: 1})
    assert percentile(found.buckets, 0.5) == 1.1
    assert percentile(found.buckets, 0.99) == 21.0
    assert percentile({}, 0.5) is None
    for nonsense in (b"", b"[]", b'{"stats": 3}', b'{"stats": [3]}', b"[" * 100_000, b"\xff"):
        assert traffic(nonsense) is None


def test_rates_between_two_looks() -> None:
    """Shares of time, added up as asked for; what has begun in between is not made up, and a restart counts from nothing."""
    web = [Usage(Ref("Container", f"web-{n}"), "i1", host, 10.0, 1000, 2, 100.0) for n, host in ((1, "a"), (2, "b"))]
    edge = Usage(Ref("Proxy", "edge"), "i1", "a", 5.0, 500, 1, 100.0, Traffic(1000, 10, 4, {2.0: 1}))
    later = [
        Usage(web[0].ref, "i1", "a", 11.0, 2000, 2, 102.0),
        Usage(web[1].ref, "i2", "b", 3.0, 3000, 2, 102.0),
        Usage(edge.ref, "i1", "a", 1.0, 700, 1, 102.0, Traffic(1200, 14, 5, {2.0: 99, 50.0: 1})),
    ]
    owners = {"Container/web-1": "Application/web", "Container/web-2": "Application/web"}
    found = {one.name: one for one in rates([*web, edge], later, owners, "instance")}
    assert found["Container/web-1 i1"].cpu == 0.5
    assert found["Container/web-2 i2"].cpu is None
    proxy = found["Proxy/edge i1"]
    assert (proxy.cpu, proxy.requests_s, proxy.errors_s, proxy.connections) == (0.5, 100.0, 2.0, 5)
    assert (proxy.p50_ms, proxy.p99_ms) == (2.0, 2.0)
    resources = rates([*web, edge], later, owners, "resource")
    assert [(one.name, one.instances, one.memory_bytes) for one in sorted_by(resources, "memory")] == [
        ("Application/web", 2, 5000),
        ("Proxy/edge", 1, 700),
    ]
    hosts = rates([*web, edge], later, owners, "host")
    assert [(one.name, one.cpu) for one in sorted_by(hosts, "cpu")] == [("a", 1.0), ("b", None)]
    page = plain(top(sorted_by(resources, "name"), {"c": "it is another's"}, 1))
    assert "and 1 more" in page
    assert "host c: it is another's" in page
    assert top_json(resources, {}, 1.0)["usage"][0]["memoryBytes"] == 5000


def test_what_is_watched_is_kept_up_change_by_change() -> None:
    """Counts after any changes are those of a picture that is made anew."""
    seen = Watched()
    seen.take({f"Container/c-{n}": row(f"Container/c-{n}", hosts=("h1",)) for n in range(10)}, True)
    seen.take({"Host/h1": row("Host/h1"), "Container/c-3": row("Container/c-3", "failed", "unhealthy", ("h2",))}, False)
    seen.take({"Container/c-4": None, "Container/c-3-x": row("Container/c-3-x", "failed", declared=False)}, False)
    assert (seen.declared, seen.well, seen.unhealthy) == (10, 9, 1)
    assert (seen.bearing["h1"], seen.bearing["h2"]) == (8, 1)
    assert [*seen.troubled] == ["Container/c-3"]
    seen.take({"Container/c-3": row("Container/c-3", hosts=("h1",))}, False)
    assert (seen.well, seen.unhealthy, seen.troubled, seen.bearing["h2"]) == (10, 0, {}, 0)
    seen.take({"Host/h2": row("Host/h2")}, True)
    assert (seen.declared, [*seen.hosts]) == (1, ["Host/h2"])


def full() -> Watched:
    seen = Watched()
    rows = {f"Container/c-{n}": row(f"Container/c-{n}", hosts=("h1",)) for n in range(30)}
    rows |= {f"Container/bad-{n}": row(f"Container/bad-{n}", "failed", "unhealthy", why="no\x1b[2J luck") for n in range(30)}
    seen.take({**rows, "Host/h1": row("Host/h1", "held", "unknown", why="cannot be seen")}, True)
    problem = {"file": "e.yaml", "line": 3, "column": 2, "what": "bad", "hint": "mend it"}
    seen.state = {"revision": "a" * 40, "refused": "b" * 40, "problems": [problem], "inFlight": [["h1", "Container/c-1", "i"]]}
    action = {"verb": "create", "host": "h1", "instance": "i", "reason": "missing"}
    seen.plan = {"steps": [{"ref": "Container/c-1", "actions": [action] * 9, "held": [{}]}]}
    behind = {"connected": True, "synced": False, "envoy": "1.40", "behind": [{"type": "cds", "name": "web"}], "more": 4}
    seen.proxies = {"edge-1": {"connected": True, "synced": True}, "edge-2": behind, "edge-3": {"connected": False}}
    seen.happened([(5.0, "status.failed", "Container/bad-1", "no luck"), (4.0, "order.suspend", "Host/h1", "me")])
    return seen


def test_the_page_says_what_needs_attention_first() -> None:
    """Bounded, harmless, and at any width."""
    page = watch(full(), "me", "repository", 10.0)
    text = plain(page, 100)
    for words in (
        "not as declared: ███████████░░░░░░░░░░░░░ 30/61",
        "30 synced, 1 held, 30 failed, 30 unhealthy",
        "refused bbbbbbb",
        "e.yaml:3:2: bad",
        "Container/bad-0",
        "… and 11 more",
        "under way  9 actions planned, 1 in flight, 1 held",
        "1 of 3 acknowledged, 1 not yet, 1 not connected",
        "cds web and 4 more",
        "h1  30 instances  cannot be seen",
        "5s ago  status.failed  Container/bad-1  no luck",
    ):
        assert words in text, f"{words!r} is not in\n{text}"
    assert "\x1b" not in text
    assert text.index("needs attention") < text.index("under way") < text.index("proxies") < text.index("recently")
    for width in (20, 40, 80, 300):
        assert plain(watch(full(), "", "repository", 10.0, "it is away"), width)
    assert plain(watch(Watched(), "", "", 10.0)).startswith("nothing in force yet")


def test_lines_and_json_say_the_same() -> None:
    """For whoever has no screen."""
    line = "".join(span.text for span in watch_line(full(), ""))
    assert line.endswith("30 unhealthy; 2 of 3 proxies behind; no Convoy is at work")
    answer = watch_json(full(), "me", 1.0)
    assert answer["summary"] == {"failed": 30, "held": 1, "synced": 30}
    assert answer["proxies"] == {"all": 3, "synced": 1, "connected": 2}
    assert len(answer["attention"]) == 20
    seen = full()
    seen.take({"Container/a": row("Container/a", "held")}, False)
    page = plain(watch(seen, "me", "", 1.0)).partition("needs attention")[2]
    places = [page.index(f" {one['ref']} ") for one in watch_json(seen, "me", 1.0)["attention"]]
    assert places == sorted(places)
    json.dumps(answer)


def test_one_change_among_ten_thousand_costs_little() -> None:
    """Taking it in and wording the whole page does not grow with what exists."""
    seen = Watched()
    seen.take({f"Container/c-{n}": row(f"Container/c-{n}", hosts=("h1",)) for n in range(10_000)}, True)
    begun = time.process_time()
    for n in range(20):
        seen.take({f"Container/c-{n}": row(f"Container/c-{n}", "pending")}, False)
        watch(seen, "me", "repository", 10.0)
    assert (time.process_time() - begun) / 20 < 0.02
