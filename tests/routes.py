"""Makes apps quickly: werkzeug compiles for each route of each app how its URL is built, and tests make the same ones often.

To be imported by whoever makes apps.
"""

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

_COMPILE = Rule._compile_builder
_COMPILED: dict[Any, Callable[..., tuple[str, str]]] = {}


def _once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    if rule.defaults:
        return _COMPILE(rule, append_unknown)
    # What is compiled knows of the rule nothing else, and is given the rule itself when it is called.
    same = (rule.rule, tuple(rule._trace), append_unknown)
    if same not in _COMPILED:
        _COMPILED[same] = _COMPILE(rule, append_unknown)
    return _COMPILED[same]


Rule._compile_builder = _once  # type: ignore[assignment, method-assign]  # for the tests alone
