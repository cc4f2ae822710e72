"""Words what `convoy doctor` found: what is wrong first, each with what to do."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reconciler.core.show_layout import BLANK, Block, Line, Page, Span, Style, Table, text, words
from reconciler.core.show_problems import count

Verdict = Literal["ok", "warn", "bad"]

SIGNS: Mapping[Verdict, tuple[str, Style]] = {"ok": ("✓", "good"), "warn": ("!", "wait"), "bad": ("✗", "bad")}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says. `hint` is what a person does about it; empty where there is nothing to do."""

    verdict: Verdict
    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One check and all it found, at least one Finding. `looks_at` says of what, in a few words."""

    name: str
    looks_at: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        return worst(finding.verdict for finding in self.findings)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    order: Sequence[Verdict] = ("ok", "warn", "bad")
    return max(verdicts, key=order.index, default="ok")


def diagnoses(found: Sequence[Diagnosis]) -> Page:
    """Troubles first, then everything that was looked at."""
    page: list[Block] = []
    for verdict in ("bad", "warn"):
        for one in found:
            for finding in one.findings:
                if finding.verdict == verdict:
                    sign, style = SIGNS[finding.verdict]
                    page.append(text(Span(f"{sign} ", style), Span(one.name, "strong"), f": {finding.what}", hang=2))
                    if finding.hint:
                        page.append(text(Span("do: ", "good"), finding.hint, indent=2, hang=4))
                    page.append(BLANK)
    rows = tuple(_row(one) for one in found)
    page += [Table(("", "CHECK", "FOUND"), rows), BLANK, _sum(found)]
    return tuple(page)


def _row(one: Diagnosis) -> tuple[Line, ...]:
    sign, style = SIGNS[one.verdict]
    fine = [finding.what for finding in one.findings if finding.verdict == "ok"]
    rest = len(one.findings) - len(fine)
    parts = [*fine[:1], *([f"{rest} to see above"] if rest else [])]
    return words(sign, style), words(one.name, "name"), words("; ".join(parts))


def _sum(found: Sequence[Diagnosis]) -> Block:
    sizes = Counter(finding.verdict for one in found for finding in one.findings)
    if sizes["bad"]:
        return text(Span(f"{sizes['bad']} bad", "bad"), f", {count(sizes['warn'], 'warning')}")
    if sizes["warn"]:
        return text(Span(count(sizes["warn"], "warning"), "wait"), "; nothing is broken")
    return text(Span("nothing is wrong", "good"), f" in {count(len(found), 'check')}")


def diagnoses_json(found: Sequence[Diagnosis]) -> dict[str, Any]:
    return {
        "verdict": worst(one.verdict for one in found),
        "checks": [
            {
                "name": one.name,
                "looksAt": one.looks_at,
                "verdict": one.verdict,
                "findings": [{"verdict": f.verdict, "what": f.what, "hint": f.hint} for f in one.findings],
            }
            for one in found
        ],
    }
