"""Expressions of a person's own, in CEL: compiled against variables with types, and bounded by what they may say.

The library ends an expression that iterates too often, but not one whose values grow: a few nested `map` fill the memory of the
machine. So nothing here may iterate at all: then no result is larger than the expression and its variables together.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cel_expr_python import cel  # type: ignore[import-untyped]

# Longer than anything a person can read, and short enough to be compiled in milliseconds.
LONGEST = 1000
# So much of a text variable an expression sees: what an application printed is no place to look for its health.
LONGEST_TEXT = 1000
MISSING = "expressions need the package cel-expr-python, which is not here"
MISSING_HINT = "pip install 'convoy-fleet[expressions]': there are builds for Linux with glibc, macOS and Windows"
# Type's name here ⇒ in CEL, as people are told.
TYPES = {"bool": "BOOL", "int": "INT", "float": "DOUBLE", "str": "STRING"}
_PLACE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_CODE = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")


class ExpressionError(ValueError):
    """An expression that is not used; says why in CEL's own words, and how to mend it."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


class Expression:
    """One that was compiled: `holds` tells whether it is true of these variables."""

    def __init__(self, compiled: "cel.Expression") -> None:
        self._compiled = compiled

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Raises ExpressionError where it has no answer for these values."""
        bounded = {name: one[:LONGEST_TEXT] if isinstance(one, str) else one for name, one in values.items()}
        try:
            answer = self._compiled.eval(data=bounded).plain_value()
        except Exception as error:
            raise ExpressionError(_said(str(error))) from error
        if not isinstance(answer, bool):
            raise ExpressionError(_said(str(answer)))
        return answer


@lru_cache(1024)
def compiled(text: str, variables: tuple[tuple[str, str], ...]) -> Expression:
    """`variables`: name and Python type's name of each, `labels` for a map of texts. Raises ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(f"an expression of {len(text)} characters is longer than {LONGEST}", "say less in one rule")
    environment = _environment(variables)
    try:
        found = environment.compile(text)
    except Exception as error:
        raise ExpressionError(
            _said(str(error)), f"there are the variables {', '.join(name for name, _ in variables)}"
        ) from error
    if found.return_type().name() != "BOOL":
        what = f"it is {found.return_type().name().lower()}, and not true or false"
        raise ExpressionError(what, "compare it with something: `restarts > 3`")
    if _iterates(found.serialize()):
        hint = "compare the variables themselves; `matches`, `startsWith` and `in` are there"
        raise ExpressionError("it iterates (all, exists, filter, map), which nothing here needs", hint)
    return Expression(found)


@cache
def _environment(variables: tuple[tuple[str, str], ...]) -> "cel.Env":
    try:
        from cel_expr_python import cel
    except ImportError as error:
        raise ExpressionError(MISSING, MISSING_HINT) from error
    types = {name: getattr(cel.Type, TYPES[kind]) for name, kind in variables if kind in TYPES}
    maps = {name: cel.Type.Map(cel.Type.STRING, cel.Type.STRING) for name, kind in variables if kind not in TYPES}
    return cel.NewEnv(variables={**types, **maps})


def _iterates(serialized: bytes) -> bool:
    """Whether there is a comprehension in it, which is what those words become."""
    from cel.expr import checked_pb2  # type: ignore[import-untyped]
    from google.protobuf import any_pb2  # type: ignore[import-untyped]

    checked = checked_pb2.CheckedExpr()
    if not any_pb2.Any.FromString(serialized).Unpack(checked) or checked.expr.WhichOneof("expr_kind") is None:
        # Another library than the one this was written for: what cannot be looked into is not run.
        raise ExpressionError("it cannot be looked into", "use the cel-expr-python that this version of Convoy asks for")
    stack = [checked.expr]
    while stack:
        one = stack.pop()
        if one.DESCRIPTOR.name == "Expr" and one.WhichOneof("expr_kind") == "comprehension_expr":
            return True
        for field, value in one.ListFields():
            if field.message_type is not None and field.message_type.full_name.startswith("cel.expr."):
                stack.extend(value if field.is_repeated else [value])
    return False


def _said(error: str) -> str:
    """CEL's words in one line, with the place in the expression as people count."""
    first = error.partition("\n")[0]
    found = _PLACE.search(first)
    if found is None:
        return _CODE.sub("", _CODE.sub("", first)).strip()[:300]
    line, column, words = int(found[1]), int(found[2]), _CODE.sub("", found[3])[:300].replace(" (in container '')", "")
    if line < 1 or column < 1:
        return words
    return f"{words} (at character {column}{f' of line {line}' if line > 1 else ''})"
