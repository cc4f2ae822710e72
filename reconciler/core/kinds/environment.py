"""An environment: which bases it is made of, what it tells them, and what it changes of them."""

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from reconciler.core.kinds.document import LabelName
from reconciler.core.kinds.part import Part, broken
from reconciler.core.kinds.spec import Name, Spec

KIND = "Environment"
VARIABLE_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]{0,62}$"
POINTER_PATTERN = r"^(/|$)"
VariableName = Annotated[str, Field(pattern=VARIABLE_PATTERN)]
# What a variable may be told: enough for an address, an image or a list of domains, and no document in disguise.
LONGEST_TEXT, LONGEST_LIST = 4096, 1000


def scalar(value: Any) -> Any:
    if not isinstance(value, str | bool | int | float):
        raise broken("a value is text, a number, or true or false", "write it out, or leave it out")
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise broken(f"a value has at most {LONGEST_TEXT} characters", "what is longer belongs into a document")
    return value


def listed(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return scalar(value)
    if len(value) > LONGEST_LIST:
        raise broken(f"a list has at most {LONGEST_LIST} entries", "what is longer belongs into a document")
    return tuple(map(scalar, value))


# Pydantic would tell of every type that a wrong value could have been.
SCALARS: dict[str, Any] = {"type": ["string", "number", "boolean"], "maxLength": LONGEST_TEXT}
VALUES = {"anyOf": [SCALARS, {"type": "array", "maxItems": LONGEST_LIST, "items": SCALARS}]}
Scalar = Annotated[Any, AfterValidator(scalar), WithJsonSchema(SCALARS)]
Value = Annotated[Any, AfterValidator(listed), WithJsonSchema(VALUES)]

TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
# How a type is spoken of: one of it, several of it.
SPOKEN = {
    "string": ("text", "texts"),
    "integer": ("a whole number", "whole numbers"),
    "number": ("a number", "numbers"),
    "boolean": ("true or false", "true or false"),
}


class Variable(Part):
    """Something that this layer wants to be told; `${var.NAME}` stands for it in documents and patches."""

    type: Literal["string", "integer", "number", "boolean", "list"] = "string"
    """What its value is. `list` is a list of what `of` says."""
    of: Literal["string", "integer", "number", "boolean"] | None = None
    """What the entries of a list are; text where left out."""
    default: Value = None
    """Its value where nobody gives one. Left out, every environment has to give one."""
    enum: tuple[Scalar, ...] | None = Field(None, min_length=1, max_length=LONGEST_LIST)
    """The only values it may have; of a list, its entries."""
    minimum: float | None = None
    """The smallest number; of a list, the smallest entry."""
    maximum: float | None = None
    """The largest number; of a list, the largest entry."""
    description: str = Field("", max_length=LONGEST_TEXT)
    """What it is for."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.of is not None and self.type != "list":
            raise broken(f"`of` is for lists, and this is {SPOKEN[self.type][0]}", "remove it", "of")
        for bound in ("minimum", "maximum"):
            if getattr(self, bound) is not None and self.entry not in ("integer", "number"):
                raise broken(f"`{bound}` is for numbers", "remove it, or write `type: integer`", bound)
        for number, one in enumerate(self.enum or ()):
            what = self.wrong_entry(one)
            if what:
                raise broken(what, "", "enum", number)
        what = self.wrong(self.default) if self.default is not None else ""
        if what:
            raise broken(what, "", "default")
        return self

    @property
    def entry(self) -> str:
        """The type of its value, or of the entries of a list."""
        return (self.of or "string") if self.type == "list" else self.type

    def wrong(self, value: Any) -> str:
        """What is wrong with this value, from the path it stands at; empty where nothing is."""
        if self.type != "list":
            return self.wrong_entry(value)
        if not isinstance(value, list | tuple):
            return f"must be a list of {SPOKEN[self.entry][1]}"
        if len(value) > LONGEST_LIST:
            return f"must have at most {LONGEST_LIST} entries"
        wrong = (self.wrong_entry(one) for one in value)
        return next((f"its entries: each {what}" for what in wrong if what), "")

    def wrong_entry(self, value: Any) -> str:
        fits = isinstance(value, TYPES[self.entry]) and (self.entry == "boolean" or not isinstance(value, bool))
        if not fits or (isinstance(value, float) and not math.isfinite(value)):
            return f"must be {SPOKEN[self.entry][0]}"
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            return f"must have at most {LONGEST_TEXT} characters"
        if self.enum is not None and not any(type(one) is type(value) and one == value for one in self.enum):
            return f"must be one of {', '.join(map(str, self.enum[:12]))}"
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum:g}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum:g}"
        return ""


class Target(Part):
    """Which documents a patch is for: those that fit everything said here."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    kind: str | None = Field(None, max_length=63)
    """Only documents of this kind."""
    name: Name | None = None
    """Only the one of this name."""
    labels: dict[LabelName, Annotated[str, Field(max_length=253)]] = Field(default_factory=dict, max_length=100)
    """Only those with all of these labels."""
    tenant: Name | None = None
    """Only this tenant's."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.kind is None and self.name is None and not self.labels and self.tenant is None:
            raise broken("a target without anything is every document", "name a `kind`, a `name`, `labels` or a `tenant`")
        return self


class Operation(Part):
    """One change of a JSON patch: https://www.rfc-editor.org/rfc/rfc6902#section-4"""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    """What to do."""
    path: str = Field(pattern=POINTER_PATTERN, max_length=4096)
    """Where: a JSON pointer from the document's root, like /spec/ports/0/port."""
    from_: str | None = Field(None, alias="from", pattern=POINTER_PATTERN, max_length=4096)
    """Of `move` and `copy`: where it comes from."""
    value: Any = None
    """Of `add`, `replace` and `test`."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.op in ("move", "copy")) != (self.from_ is not None):
            raise broken(f"`{self.op}` {'needs' if self.from_ is None else 'has no'} `from`", "see RFC 6902")
        if (self.op in ("add", "replace", "test")) != ("value" in self.model_fields_set):
            needs = self.op in ("add", "replace", "test")
            raise broken(f"`{self.op}` {'needs a' if needs else 'has no'} `value`", "see RFC 6902")
        return self


class Patch(Part):
    """One change to what the bases say, or to this directory's own documents."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["merge"]}, {"required": ["json"]}, {"required": ["delete"]}]}
    )

    target: Target
    """Which documents; it is a problem when there is none."""
    merge: dict[str, Any] | None = None
    """A JSON merge patch (RFC 7396): written like the document, with only what is to be different; `null` removes."""
    operations: tuple[Operation, ...] | None = Field(None, alias="json", min_length=1, max_length=1000)
    """A JSON patch (RFC 6902): for one entry of a list, and whatever a merge cannot say."""
    delete: Literal[True] | None = None
    """These documents are not there in this environment."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = {"merge": self.merge, "json": self.operations, "delete": self.delete}
        said = [name for name, value in ways.items() if value is not None]
        if len(said) != 1:
            raise broken("a patch is one of `merge`, `json` and `delete`", "write one of them" if not said else "split it")
        return self


class Environment(Spec):
    """A directory's documents together with those of its bases, as one fleet. It stands in `environment.yaml`."""

    bases: tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...] = Field((), max_length=64)
    """Directories whose documents are taken in, relative to this one; each may have an `environment.yaml` of its own."""
    variables: dict[VariableName, Variable] = Field(default_factory=dict, max_length=1000)
    """What the documents here want to be told, as `${var.NAME}`."""
    values: dict[str, Value] = Field(default_factory=dict, max_length=1000)
    """What the variables of this directory and of its bases are here."""
    patches: tuple[Patch, ...] = Field((), max_length=1000)
    """Changes to the documents of the bases and of this directory, one after the other."""
    labels: dict[LabelName, Annotated[str, Field(max_length=253)]] = Field(default_factory=dict, max_length=100)
    """Put on every document, over those of its own."""

    example: ClassVar[dict[str, Any]] = {
        "apiVersion": "convoy/v1",
        "kind": "Environment",
        "metadata": {"name": "production"},
        "spec": {
            "bases": ["../../bases/shop"],
            "values": {"replicas": 6, "domain": "shop.example"},
            "patches": [{"target": {"kind": "Application", "name": "web"}, "merge": {"spec": {"restart": "always"}}}],
            "labels": {"environment": "production"},
        },
    }
