"""The picture of `convoy watch` in the documents: what its screen shows of a fleet that is made up here, drawn by rich."""

import html
import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from reconciler.core.show_watch import watch
from reconciler.core.watched import Watched
from reconciler.screen import Screen
from reconciler.terminal import Terminal

PICTURE = Path(__file__).parent.parent / "docs" / "watch.svg"
COLUMNS, LINES = 92, 26
NOW = 10_000.0


def row(ref: str, sync: str = "synced", health: str = "healthy", **more: Any) -> dict[str, Any]:
    base = {"ref": ref, "sync": sync, "health": health, "since": NOW - 3600, "why": "", "declared": True, "where": "a.yaml:1"}
    return base | {"instances": []} | more


def fleet() -> Watched:
    """A shop in the middle of a change, with a proxy that does not come up and something that waits for a person."""
    seen = Watched()
    rows = [row(f"Proxy/edge-{n}", instances=[{"host": "east"}]) for n in range(1, 3)]
    rows += [row(f"Container/web-{n}", declared=False, instances=[{"host": "west"}]) for n in range(1, 7)]
    rows += [row(ref, health="none") for ref in ("Settings/fleet", "Configuration/edge", "ProxyGroup/edge", "Cluster/payments")]
    rows += [row("Host/east"), row("Host/west"), row("Application/api"), row("Application/status")]
    rows += [
        row("Proxy/edge-3", "failed", "unhealthy", since=NOW - 190, why="port 8443 is in use by another process"),
        row("Container/ledger", "held", since=NOW - 4000, why="its deletion has to be confirmed"),
        row("Application/web", "pending", since=NOW - 12, why="4 of 6 replicas are of this revision"),
    ]
    seen.take({one["ref"]: one for one in rows}, True)
    seen.state = {"revision": "4be1c9d07a52", "inFlight": [["west", "Container/web-5", "i"]]}
    seen.plan = {
        "steps": [
            {"ref": f"Container/web-{n}", "actions": [{"verb": "create", "host": "west", "reason": "changed"}]} for n in (5, 6)
        ]
    }
    behind = {"connected": True, "synced": False, "envoy": "1.40.0", "behind": [{"type": "endpoints", "name": "web"}]}
    seen.proxies = {"edge-1": {"connected": True, "synced": True}, "edge-2": behind, "edge-3": {"connected": False}}
    seen.happened(
        [
            (NOW - 190, "status.failed", "Proxy/edge-3", "port 8443 is in use by another process"),
            (NOW - 13, "revision.accepted", "4be1c9d", ""),
            (NOW - 5, "action.done", "Container/web-4", "create on west (0.4 s)"),
        ]
    )
    return seen


def drawn() -> str:
    """The screen as `convoy watch` draws it on a terminal of this size, as SVG."""
    console = Console(
        file=io.StringIO(),
        record=True,
        force_terminal=True,
        color_system="truecolor",
        width=COLUMNS,
        height=LINES,
        legacy_windows=False,
        highlight=False,
        markup=False,
        _environ={},
    )
    # Never begun: nothing is to be put on another screen. What it holds is printed once.
    live = Live(console=console, auto_refresh=False)
    Screen(Terminal(width=COLUMNS, color=True), console, live, 0).show(watch(fleet(), "ops-1", "git.example/shop main", NOW))
    console.print(live.renderable)
    # Fonts are those that the reader has: a picture fetches nothing.
    svg = console.export_svg(title="convoy watch", unique_id="watch")
    return "".join(f"{line.rstrip()}\n" for line in without_fonts(svg).splitlines())


def without_fonts(svg: str) -> str:
    while (begin := svg.find("@font-face")) >= 0:
        svg = svg[:begin] + svg[svg.index("}", begin) + 1 :].lstrip()
    return svg.replace("Fira Code, ", "")


def shown(svg: str) -> list[str]:
    """The texts of the picture from top to bottom: how rich draws them is its own affair and may change with it."""
    found = re.findall(r'<text class="watch-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg)
    return [
        html.unescape(text).replace("\xa0", " ") for _, _, text in sorted(found, key=lambda one: (float(one[1]), float(one[0])))
    ]


def test_the_picture_is_what_the_screen_shows(request: pytest.FixtureRequest) -> None:
    """`--update` draws it anew. It fetches nothing, and is small."""
    svg = drawn()
    if request.config.getoption("--update"):
        PICTURE.write_text(svg)
    assert shown(PICTURE.read_text()) == shown(svg), (
        "the screen of `convoy watch` has changed: draw it anew with --update, and look at it"
    )
    assert "url(http" not in svg
    assert len(svg) < 40_000
    for words in ("not as declared", "edge-3", "its deletion has to be confirmed", "revision.accepted"):
        assert any(words in line for line in shown(svg))
