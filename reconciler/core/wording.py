"""Pydantic's errors ⇒ what is wrong in words of the document, where in it, and how to mend it."""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from reconciler.core.compose import said
from reconciler.core.kinds.container import CONTAINER_ID_PATTERN, CPU_PATTERN, IMAGE_PATTERN, MEMORY_PATTERN
from reconciler.core.kinds.document import NEED_PATTERN, LabelName, Uid
from reconciler.core.kinds.environment import POINTER_PATTERN, VARIABLE_PATTERN
from reconciler.core.kinds.part import told
from reconciler.core.kinds.proxy import Revision
from reconciler.core.kinds.sealed import HASH_PATTERN
from reconciler.core.kinds.sealed import SEALED as SEALED_TAG
from reconciler.core.kinds.sealed import TEXT as TEXT_TAG
from reconciler.core.kinds.spec import NAME_PATTERN, EnvironmentName
from reconciler.core.kinds.virtualmachine import ADDRESS_PATTERN, HOSTNAME_PATTERN, LINE_PATTERN, PLACE_PATTERN
from reconciler.core.near import did_you_mean, listing
from reconciler.core.scalars import short

# More about one document helps nobody, and each costs time.
MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong at a path from the document's root; `key`: the place meant is the key, not its value.

    `quiet`: what stands there may be a secret, and is not to be shown.
    """

    path: tuple[str | int, ...]
    what: str
    hint: str = ""
    key: bool = False
    quiet: bool = False


def _pattern(annotation: Any) -> str:
    return next(str(one.pattern) for part in get_args(annotation)[1:] for one in part.metadata if hasattr(one, "pattern"))


# Pattern ⇒ how to write what fits it.
PATTERNS = {
    NAME_PATTERN: "use lower-case letters, digits and `-` between them, at most 63",
    _pattern(EnvironmentName): "use letters, digits and `_`, and no digit first",
    _pattern(LabelName): "use letters and digits, with `.`, `_`, `-` and `/` between them",
    _pattern(Revision): "name a commit by all its 40 digits, as `git rev-parse` prints them",
    _pattern(Uid): "write a UUID in lower case, or leave it out",
    r"^/[^\s\x00]*$": "begin it with `/`, and leave out spaces",
    r"^/[^\x00]*$": "write an absolute path, beginning with `/`",
    r"^[^\s\x00]+$": "leave out spaces",
    r"^[^\s\x00/]+$": "write a domain, without spaces or `/`",
    r"^\S+:[0-9]{1,5}$": "write address:port",
    r"^[0-9]{1,5}-[0-9]{1,5}$": "write lowest-highest, like 20000-29999",
    VARIABLE_PATTERN: "use letters, digits, `-` and `_`, and a letter first",
    POINTER_PATTERN: "write a JSON pointer, like /spec/ports/0/port",
    NEED_PATTERN: "name an Application, a Container, a Proxy or a ProxyGroup of the same tenant, as in `Application/db`",
    r"^[A-Za-z][A-Za-z0-9_+/-]*$": "write one as in `Europe/Berlin` or `UTC`",
    HASH_PATTERN: "`convoy secret seal` makes these 64 hexadecimal digits",
    r"^-----BEGIN CERTIFICATE-----": "write a certificate in PEM form",
    PLACE_PATTERN: "use letters and digits, with `.`, `_` and `-` between them, at most 63",
    HOSTNAME_PATTERN: "use labels of letters, digits and `-`, with dots between them",
    ADDRESS_PATTERN: "write it as in 10.0.1.5 or 2001:db8::5",
    LINE_PATTERN: "write one line",
    CPU_PATTERN: 'write cores, as in `"2"` or `"0.5"`, or thousandths, as in `"500m"`',
    MEMORY_PATTERN: 'write bytes, as in `"4Gi"`, `"512Mi"` or `"1G"`',
    IMAGE_PATTERN: "write an image as in `envoyproxy/envoy:v1.28.0`",
    CONTAINER_ID_PATTERN: "write it as the container runtime prints it",
}
SEALED = "`convoy secret seal` makes this text from a secret"
# Fields whose description is no help to who left them out ⇒ how to write them.
MISSING = {"apiVersion": "write `apiVersion: convoy/v1`", "metadata": "write `metadata: {name: …}`"}

# Pydantic's types of error for a value of the wrong type ⇒ what it should be.
TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
LENGTHS = {
    "too_short": ("min_length", "at least", "entries"),
    "too_long": ("max_length", "at most", "entries"),
    "string_too_short": ("min_length", "at least", "characters"),
    "string_too_long": ("max_length", "at most", "characters"),
}


def flaws(error: ValidationError, model: type[BaseModel]) -> Iterator[Flaw]:
    """Everything this error says, at most MOST_ERRORS."""
    details = error.errors(include_url=False)
    # Entries that are wrong do not count for pydantic, so that it calls their list too short as well.
    inside = {detail["loc"][:-1] for detail in details}
    details = [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in inside]
    for detail in details[:MOST_ERRORS]:
        found = _flaw(detail, model)
        yield replace(found, quiet=Surroundings.of(model, found.path).secret)
    if len(details) > MOST_ERRORS:
        yield Flaw((), f"has {len(details)} errors, of which {MOST_ERRORS} are listed", "mend these first")


def _flaw(detail: ErrorDetails, model: type[BaseModel]) -> Flaw:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    # Of a value that may be text or sealed, pydantic says which of the two it took it for.
    loc = tuple(part for part in detail["loc"] if part not in (TEXT_TAG, SEALED_TAG))
    # Pydantic says [key] behind a mapping's key that is wrong itself.
    is_key = bool(loc) and loc[-1] == "[key]"
    path = loc[:-1] if is_key else loc
    name = label(path)
    around = Surroundings.of(model, path)
    if kind == "missing":
        return Flaw(path[:-1], f"`{path[-1]}` is missing", MISSING.get(str(path[-1])) or around.about(path[-1]), key=True)
    if kind == "extra_forbidden":
        known = [one for one in around.siblings if one not in around.given(given)]
        return Flaw(
            path,
            f"unknown field `{short(str(path[-1]))}`",
            did_you_mean(str(path[-1]), known, f"known here: {listing(known)}"),
            True,
        )
    if kind == "rule":
        return Flaw((*path, *context["at"]), str(context["what"]), str(context["hint"]), is_key or bool(context["at"]))
    if kind in TYPES:
        return _wrong_type(path, name, kind, given, around.secret)
    shown = "" if around.secret or not isinstance(given, str | int | float) else f", not {quoted(given)}"
    if kind == "literal_error":
        wanted = around.choices
        near = did_you_mean(given, wanted) if isinstance(given, str) else ""
        return Flaw(path, f"{name} must be {either(wanted) or context['expected']}{shown}", near)
    if kind == "string_pattern_mismatch":
        hint = PATTERNS.get(context["pattern"]) or (
            SEALED if "AGE" in context["pattern"] else f"it must match {context['pattern']}"
        )
        what = f"the key {quoted(path[-1])} does not fit" if is_key else f"{name} does not fit{shown.replace(', not', ':')}"
        return Flaw(path, what, hint, is_key)
    if kind in BOUNDS:
        field, words = BOUNDS[kind]
        return Flaw(path, f"{name} must be {words} {context[field]:g}{shown}")
    if kind in LENGTHS:
        field, words, unit = LENGTHS[kind]
        return Flaw(path, f"{name} must have {words} {context[field]} {unit if context[field] != 1 else ONE[unit]}", key=is_key)
    return Flaw(path, f"{name}: {short(detail['msg'], 200)}", key=is_key)


def _wrong_type(path: tuple[str | int, ...], name: str, kind: str, given: Any, secret: bool) -> Flaw:
    wanted = TYPES[kind]
    if given is None:
        return Flaw(path, f"{name} has no value", f"write {wanted}, or leave the field out", True)
    scalar = isinstance(given, bool | int | float)
    hint = ""
    if kind == "string_type" and scalar:
        hint = "put it in quotes" if secret else f'put it in quotes: "{spelled(given)}"'
    given_words = "a fraction" if wanted == "a whole number" and type(given) is float else said(given)
    return Flaw(path, f"{name} must be {wanted}, not {given_words}", hint)


ONE = {"entries": "entry", "characters": "character"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the models say about a path: the fields beside its last part, what it may be, whether it must not be shown."""

    model: type[BaseModel] | None
    fields: Mapping[str, FieldInfo]
    field: FieldInfo | None
    annotation: Any
    secret: bool

    @classmethod
    def of(cls, model: type[BaseModel], path: tuple[str | int, ...]) -> "Surroundings":
        annotation: Any = model
        beside: type[BaseModel] | None = None
        fields: Mapping[str, FieldInfo] = {}
        field: FieldInfo | None = None
        secret = False
        for part in path:
            annotation = holder(annotation)
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                beside, fields = annotation, {one.alias or name: one for name, one in annotation.model_fields.items()}
                field = fields.get(str(part))
                annotation = field.annotation if field else None
                secret = secret or bool(field and not field.repr)
            else:
                arguments = get_args(annotation)
                annotation = arguments[-1 if get_origin(annotation) is dict else 0] if arguments else None
                beside, fields, field = None, {}, None
        return cls(beside, fields, field, unwrapped(annotation), secret)

    @property
    def siblings(self) -> Iterable[str]:
        return self.fields

    @property
    def choices(self) -> list[Any]:
        return list(get_args(self.annotation)) if get_origin(self.annotation) is typing.Literal else []

    def about(self, name: str | int) -> str:
        """The first line of what is told of this field."""
        if self.model is None or str(name) not in self.fields:
            return ""
        texts = {self.model.model_fields[field].alias or field: text for field, text in told(self.model).items()}
        return (self.fields[str(name)].description or texts.get(str(name), "")).partition("\n")[0]

    @staticmethod
    def given(value: Any) -> Iterable[str]:
        return value if isinstance(value, dict) else ()


def unwrapped(annotation: Any) -> Any:
    """An annotation without what only qualifies it: `Annotated[X, …]` and `X | None` are X."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType):
            annotation = next((one for one in get_args(annotation) if one is not type(None)), None)
        else:
            return annotation


def holder(annotation: Any) -> Any:
    """What has the parts of a value: of `text | model`, the model."""
    found = unwrapped(annotation)
    if isinstance(found, type):
        for one in _choices(annotation):
            if isinstance(one, type) and issubclass(one, BaseModel):
                return one
    return found


def _choices(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _choices(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from _choices(one)
    else:
        yield annotation


def label(path: tuple[str | int, ...]) -> str:
    """How a message speaks of a path: its last key, and the indexes behind it."""
    last = max((i for i, part in enumerate(path) if isinstance(part, str)), default=None)
    if last is None:
        return "the document"
    return "`" + short(str(path[last])) + "".join(f"[{part}]" for part in path[last + 1 :]) + "`"


def quoted(value: Any) -> str:
    return repr(short(value, 60)) if isinstance(value, str) else spelled(value)


def either(choices: list[Any]) -> str:
    """`'a', 'b' or 'c'`."""
    words = [quoted(one) for one in choices]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def spelled(value: Any) -> str:
    """A scalar as YAML writes it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else f"{value}"
