"""What every piece of a document is: a frozen model that refuses what it does not know, and broken rules with a place."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Mapping
from functools import cache

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


def broken(what: str, hint: str = "", *at: str | int) -> PydanticCustomError:
    """A rule between fields is broken: to be raised by a model's validator. `at` leads from the model to the culprit."""
    return PydanticCustomError("rule", "{what}", {"what": what, "hint": hint, "at": at})


class Part(BaseModel):
    """A piece of a spec: frozen, unknown fields refused, camelCase in YAML and snake_case in Python."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


@cache
def told(model: type[BaseModel]) -> Mapping[str, str]:
    """What stands below each field in the source: field ⇒ text. Read when somebody asks: to read it of every model would
    take longer than all else about starting Convoy."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, Part) and one.__module__ != __name__:
            found |= _below(one)
    return {name: text for name, text in found.items() if name in model.model_fields}


def _below(model: type[Part]) -> Mapping[str, str]:
    try:
        parsed = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError):  # made by a program: no source says anything
        return {}
    found = {}
    for field, text in itertools.pairwise(next(one.body for one in parsed.body if isinstance(one, ast.ClassDef))):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = inspect.cleandoc(text.value.value)
    return found
