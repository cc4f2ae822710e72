"""Words the inbound webhooks: their list, what one of them brought lately, and what is printed once when one is made."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.show_holds import ago
from reconciler.core.show_layout import BLANK, Page, Span, Style, Table, text, words
from reconciler.core.show_problems import count

# Verdict ⇒ how it is worded, and whether that is good; one that is not known is shown as it is.
VERDICTS: Mapping[str, tuple[str, Style]] = {
    "woken": ("woke Convoy", "good"),
    "again": ("was here already", "dim"),
    "elsewhere": ("another repository or branch", "dim"),
    "ignored": ("another event", "dim"),
    "ping": ("ping", "good"),
    "refused": ("refused", "bad"),
}
# Where each forge has a place for the secret, in its own words.
PLACES: Mapping[str, str] = {
    "github": "Settings, Webhooks: the secret is its Secret; the event is the push",
    "gitlab": "Settings, Webhooks: the secret is its Signing token or, where there is none, its Secret token; on Push events",
    "gitea": "Settings, Webhooks, Gitea: the secret is its Secret; trigger on push events",
    "forgejo": "Settings, Webhooks, Forgejo: the secret is its Secret; trigger on push events",
    "gogs": "Settings, Webhooks, Gogs: the secret is its Secret; just the push event",
    "bitbucket": "Repository settings, Webhooks: the secret is its Secret; the trigger is Repository push",
    "bitbucket-server": "Repository settings, Webhooks: the secret is its Secret; the event is Repository push",
    "azure": "Project settings, Service hooks, Web Hooks, Code pushed: the user name is convoy, the password the secret",
    "generic": "docs/hooks.md says what to send, and how it is signed",
}


def hook_json(name: str, provider: str, repository: str, at: float, counts: Mapping[str, int]) -> dict[str, Any]:
    """One hook, without its deliveries; no secret is anywhere near."""
    return {"name": name, "provider": provider, "repository": repository, "at": at, "deliveries": dict(sorted(counts.items()))}


def delivery_json(at: float, event: str, verdict: str, why: str) -> dict[str, Any]:
    return {"at": at, "event": event, "verdict": verdict, "why": why}


def hook_made(url: str, secret: str, provider: str) -> Page:
    """What somebody needs to tell the forge."""
    return (
        text(Span("URL     ", "dim"), url),
        text(Span("secret  ", "dim"), secret),
        text(Span("where   ", "dim"), PLACES[provider], hang=8),
    )


def hooks(listed: Iterable[Mapping[str, Any]], now: float) -> Page:
    """Rows as `hook_json` makes them, with `last`: a list of what `delivery_json` makes, oldest first."""
    rows = tuple(
        (
            words(str(one["name"]), "name"),
            words(one["provider"]),
            words(f"{ago(now - one['at'])} ago", "dim"),
            words(_counted(one["deliveries"])),
            _last(one["last"][-1], now) if one["last"] else words("never", "wait"),
        )
        for one in listed
    )
    if not rows:
        return (text("no hook; make one with ", Span("convoy hook create NAME --provider FORGE", "strong")),)
    return (Table(("NAME", "PROVIDER", "MADE", "DELIVERIES", "LAST"), rows),)


def hook(one: Mapping[str, Any], now: float) -> Page:
    """One of these, with what it brought lately, newest first."""
    rows = tuple(
        (words(f"{ago(now - told['at'])} ago", "dim"), words(told["event"] or "-"), *_became(told))
        for told in reversed(one["last"])
    )
    if not rows:
        return (*hooks((one,), now), BLANK, text("nothing was delivered yet: ", PLACES.get(one["provider"], "")))
    return (*hooks((one,), now), BLANK, Table(("CAME", "EVENT", "WHAT BECAME OF IT", "WHY"), rows))


def _became(told: Mapping[str, Any]) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    shown, style = VERDICTS.get(told["verdict"], (told["verdict"], "dim"))
    return words(shown, style), words(told["why"])


def _last(told: Mapping[str, Any], now: float) -> tuple[Span, ...]:
    shown, style = VERDICTS.get(told["verdict"], (told["verdict"], "dim"))
    return (Span(shown, style), Span(f", {ago(now - told['at'])} ago", "dim"))


def _counted(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    if not total:
        return "none"
    refused = counts.get("refused", 0)
    return count(total, "delivery") + (f", {refused} refused" if refused else "")
