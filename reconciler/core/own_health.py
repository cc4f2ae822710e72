"""Rules of a person's own on top of the built-in health: they can call something worse than it is called, and never better."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

from pydantic.alias_generators import to_camel

from reconciler.core import health
from reconciler.core.expressions import Expression, ExpressionError, compiled
from reconciler.core.health import ORDER, Seen, Verdict, judge
from reconciler.core.kinds.rule import HealthRule
from reconciler.core.kinds.settings import Settings
from reconciler.core.kinds.spec import Spec
from reconciler.core.model import Ref
from reconciler.core.select import Selector, SelectorError
from reconciler.core.wording import Flaw

# Kind ⇒ what is known of one.
SEEN: Mapping[str, type[Any]] = {
    "Container": health.Instance,
    "Application": health.Application,
    "Proxy": health.Proxy,
    "ProxyGroup": health.Traffic,
    "Configuration": health.Traffic,
    "Cluster": health.Traffic,
    "VirtualHost": health.Traffic,
    "Certificate": health.Certificate,
    "Host": health.Host,
}
# Of every kind: its name, labels, and the built-in verdict.
ALWAYS = (("name", "str"), ("tenant", "str"), ("labels", "map"), ("status", "str"), ("message", "str"))
Rules = tuple[HealthRule, ...]


@lru_cache(32)
def variables(kind: str) -> tuple[tuple[str, str], ...]:
    """What an expression about this kind may speak of: name and type of each."""
    found = [(to_camel(one.name), str(one.type)) for one in fields(SEEN[kind]) if one.name != "instance"]
    if kind == "Proxy":
        found += variables("Container")[len(ALWAYS) :]
    return (*ALWAYS, *((name, _plain(type)) for name, type in found))


def _plain(type: str) -> str:
    return type.removeprefix("<class '").removesuffix("'>")


def flaws(spec: Spec) -> Iterator[Flaw]:
    """What is wrong with the rules of Settings; of any other spec, nothing."""
    for i, rule in enumerate(spec.health if isinstance(spec, Settings) else ()):
        try:
            expression(rule)
        except ExpressionError as error:
            yield Flaw(("spec", "health", i, "expression"), error.what, error.hint)
        try:
            Selector.parse((rule.select,) if rule.select else (), SEEN)
        except SelectorError as error:
            yield Flaw(("spec", "health", i, "select"), str(error))


def expression(rule: HealthRule) -> Expression:
    """Raises ExpressionError."""
    return compiled(rule.expression, variables(rule.kind))


def by_kind(rules: Rules) -> dict[str, Rules]:
    found: dict[str, Rules] = {}
    for rule in rules:
        found[rule.kind] = (*found.get(rule.kind, ()), rule)
    return found


def judged(seen: Seen, rules: Rules, ref: Ref, labels: Mapping[str, str]) -> Verdict:
    """The built-in verdict, and what these rules about its kind make of it."""
    return _judged(seen, rules, ref, tuple(sorted(labels.items()))) if rules else judge(seen)


@lru_cache(65536)
def _judged(seen: Seen, rules: Rules, ref: Ref, labels: tuple[tuple[str, str], ...]) -> Verdict:
    worst = first = judge(seen)
    values = {**_values(seen), "name": ref.name, "tenant": ref.tenant, "labels": dict(labels)}
    values |= {"status": first.status, "message": first.message}
    trouble = ""
    for rule in rules:
        if rule.select and not Selector.parse((rule.select,), SEEN).covers(ref, dict(labels)):
            continue
        try:
            holds = expression(rule).holds(values)
        except ExpressionError as error:
            # Whatever nobody can tell is as it was without the rule; a person sees that the rule says nothing.
            trouble = trouble or f"the health rule `{rule.expression}` has no answer: {error.what}"
            continue
        if not holds and ORDER.index(rule.status) > ORDER.index(worst.status):
            worst = Verdict(rule.status, rule.message or f"`{rule.expression}` does not hold")
    if trouble:
        return Verdict(worst.status, f"{worst.message}; {trouble}" if worst.message else trouble)
    return worst


def _values(seen: Seen) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in fields(seen):
        value = getattr(seen, one.name)
        if isinstance(value, health.Instance):
            found |= _values(value)
        else:
            found[to_camel(one.name)] = value
    return found
