"""Words what belongs to asking a running Convoy: what a plan was made from, and the tokens by which one may ask."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.against import Answer
from reconciler.core.show_holds import ago
from reconciler.core.show_layout import BLANK, Page, Span, Table, text, words
from reconciler.core.show_problems import code, inert, problem_json, short


def against(answer: Answer, url: str) -> Page:
    """The plan, and what it was made from."""
    moment = answer.moment
    whose = f"by the Convoy at {url} (installation {moment.installation[:8]})"
    when = f"as seen {ago(moment.seconds_ago)} ago at revision {short(moment.revision)} {whose}"
    return (*answer.page, BLANK, text(Span(when, "dim")))


def against_json(answer: Answer, url: str) -> dict[str, Any]:
    moment = answer.moment
    about = {"url": url, "installation": moment.installation, "revision": moment.revision, "secondsAgo": moment.seconds_ago}
    return {**answer.data, "unopened": [problem_json(problem) for problem in answer.closed], "against": about}


def against_markdown(answer: Answer, url: str) -> str:
    moment = answer.moment
    when = f"as seen {ago(moment.seconds_ago)} ago at revision {code(short(moment.revision))}"
    return (
        f"{answer.markdown.rstrip()}\n\n{when} by the Convoy at {inert(url)} (installation {code(moment.installation[:8])})\n"
    )


def tokens(listed: Iterable[Mapping[str, Any]], now: float) -> Page:
    """Rows as `token_json` makes them."""
    rows = tuple(
        (
            (Span(str(one["name"]), "name"),),
            words(", ".join(one["may"])),
            words(f"{ago(now - one['at'])} ago", "dim"),
            (Span("expired", "bad"),) if one["expired"] else words(_until(one["until"], now)),
        )
        for one in listed
    )
    if not rows:
        return (text("no token; make one with ", Span("convoy token create NAME --may plan", "strong")),)
    return (Table(("NAME", "MAY", "MADE", "EXPIRES"), rows),)


def _until(until: float | None, now: float) -> str:
    return "never" if until is None else f"in {ago(until - now)}"


def token_json(name: str, may: Iterable[str], at: float, until: float | None, now: float) -> dict[str, Any]:
    return {"name": name, "may": sorted(may), "at": at, "until": until, "expired": until is not None and now >= until}
