"""What every piece of a document is: a frozen model that refuses what it does not know, and broken rules with a place."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


def broken(what: str, hint: str = "", *at: str | int) -> PydanticCustomError:
    """A rule between fields is broken: to be raised by a model's validator. `at` leads from the model to the culprit."""
    return PydanticCustomError("rule", "{what}", {"what": what, "hint": hint, "at": at})


class Part(BaseModel):
    """A piece of a spec: frozen, unknown fields refused, camelCase in YAML and snake_case in Python."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )
