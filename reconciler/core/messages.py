"""Envoy messages in their JSON form ⇒ protobuf, with every fault at its path; and one message laid over another."""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory  # type: ignore[import-untyped]

from reconciler.core.near import did_you_mean

Path = tuple[str | int, ...]
# A protobuf message. Protobuf ships no types, so this only says what is meant.
Message = Any

# Where the types of Envoy's API live; a type of any other package is never imported because a document names it.
ROOTS = frozenset({"envoy", "google", "xds", "udpa", "cel"})
TYPE_NAME = re.compile(r"^[a-z][a-z0-9]*(\.[a-z][a-z0-9_]*)+\.[A-Z][A-Za-z0-9]*$")
TYPE_PREFIX = "type.googleapis.com/"
# Looking for the nearest name costs more than all the rest; whoever has more unknown fields in one message has another type.
MOST_HINTS = 20
# What ParseDict lets out for wrong input, besides its own error.
PARSE_ERRORS = (json_format.ParseError, ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a path within a document's spec; a Problem that does not know its file yet."""

    path: Path
    what: str
    hint: str = ""
    # Whether it is the key that is wrong, and not what stands behind it.
    key: bool = False


@cache
def message_class(name: str) -> Any | None:
    """The class of this full type name, imported on first use; None when this build's Envoy API has no such type."""
    root, _, _ = name.partition(".")
    if root not in ROOTS or not TYPE_NAME.match(name):
        return None
    try:
        package = importlib.import_module(name.rpartition(".")[0])
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.endswith("_pb2"):
                importlib.import_module(f"{package.__name__}.{module.name}")
        descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    except (ImportError, KeyError, AttributeError):
        return None
    return message_factory.GetMessageClass(descriptor)


def type_name(url: str) -> str:
    return url.rpartition("/")[2]


def unpacked(any_: Message) -> Message | None:
    """What an Any carries; None when it is empty, or its type or bytes are not of this build's API."""
    cls = message_class(type_name(any_.type_url))
    if cls is None:
        return None
    try:
        return cls.FromString(any_.value)
    except Exception:  # noqa: BLE001 - protobuf's DecodeError differs between its implementations
        return None


def parse(said: Mapping[str, Any], cls: Any, path: Path) -> tuple[Message, tuple[Fault, ...]]:
    """The message this JSON form says, and every fault in it. With faults the message is whatever could be read."""
    message = cls()
    for name in _types_named(said):
        message_class(name)
    try:
        json_format.ParseDict(said, message)
    except PARSE_ERRORS as error:
        faults = tuple(_diagnose(said, cls.DESCRIPTOR, path))
        return cls(), faults or (Fault(path, f"not a {cls.DESCRIPTOR.name}: {_first_line(error)}"),)
    return message, ()


def _types_named(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        named = value.get("@type")
        if isinstance(named, str):
            yield type_name(named)
        for inner in value.values():
            yield from _types_named(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _types_named(inner)


def field_of(descriptor: Any, key: str) -> Any | None:
    """The field that a JSON key means: its own name or the camelCase one."""
    return descriptor.fields_by_name.get(key) or descriptor.fields_by_camelcase_name.get(key)


def is_map(field: Any) -> bool:
    return bool(field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry)


def is_plain(descriptor: Any) -> bool:
    """Whether a message is written field by field; the well-known types have forms of their own."""
    return not descriptor.full_name.startswith("google.protobuf.")


def _diagnose(said: Any, descriptor: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(said, Mapping):
        yield Fault(path, f"must be an object ({descriptor.name}), not {_shown(said)}")
        return
    chosen: dict[str, str] = {}
    unknown = 0
    for key, value in said.items():
        at = (*path, key)
        field = field_of(descriptor, key) if isinstance(key, str) else None
        if field is None:
            unknown += 1
            hint = did_you_mean(str(key), descriptor.fields_by_name) if unknown <= MOST_HINTS else ""
            yield Fault(at, f"{descriptor.name} has no field {key!r}", hint, key=True)
            continue
        if value is None:
            continue
        oneof = field.containing_oneof
        if oneof is not None and oneof.name in chosen:
            what = f"{key!r} and {chosen[oneof.name]!r} exclude each other: give one {oneof.name.replace('_', ' ')}"
            yield Fault(at, what, key=True)
        elif oneof is not None:
            chosen[oneof.name] = key
        yield from _diagnose_field(value, field, at)


def _diagnose_field(value: Any, field: Any, at: Path) -> Iterator[Fault]:
    if is_map(field):
        if not isinstance(value, Mapping):
            yield Fault(at, f"must be an object, not {_shown(value)}")
            return
        of = field.message_type.fields_by_name["value"]
        for key, inner in value.items():
            yield from _diagnose_one(inner, of, (*at, key))
    elif field.is_repeated:
        if not isinstance(value, list | tuple):
            yield Fault(at, f"must be a list, not {_shown(value)}")
            return
        for i, inner in enumerate(value):
            yield from _diagnose_one(inner, field, (*at, i))
    else:
        yield from _diagnose_one(value, field, at)


def _diagnose_one(value: Any, field: Any, at: Path) -> Iterator[Fault]:
    kind = field.message_type
    if kind is not None and kind.full_name == "google.protobuf.Any":
        yield from _diagnose_any(value, at)
    elif kind is not None and is_plain(kind):
        yield from _diagnose(value, kind, at)
    else:
        owner = message_factory.GetMessageClass(field.containing_type)
        try:
            json_format.ParseDict({field.name: [value] if field.is_repeated else value}, owner())
        except PARSE_ERRORS as error:
            yield Fault(
                at, f"{_expected(field)}, not {_shown(value)}" if _expected(field) else _first_line(error), _near(value, field)
            )


def _diagnose_any(value: Any, at: Path) -> Iterator[Fault]:
    url = value.get("@type") if isinstance(value, Mapping) else None
    if not isinstance(url, str):
        yield Fault(at, f"needs '@type', the type of what it holds ({TYPE_PREFIX}envoy.…)")
        return
    cls = message_class(type_name(url))
    if cls is None:
        yield Fault((*at, "@type"), f"{url!r} is no type that this build of Envoy's API knows", "look for a misspelling")
    elif not is_plain(cls.DESCRIPTOR) and "value" not in value:
        yield Fault(at, f"needs 'value', the {cls.DESCRIPTOR.name} that it holds")
    elif is_plain(cls.DESCRIPTOR):
        yield from _diagnose({key: inner for key, inner in value.items() if key != "@type"}, cls.DESCRIPTOR, at)
    else:
        try:
            json_format.ParseDict(value, message_class("google.protobuf.Any")())  # type: ignore[misc]
        except PARSE_ERRORS as error:
            yield Fault(at, _first_line(error))


def _expected(field: Any) -> str:
    if field.enum_type is not None:
        names = list(field.enum_type.values_by_name)
        return f"must be one of {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"
    if field.message_type is not None:
        name = field.message_type.name
        known = {"Duration": "must be a duration such as '5s' or '0.25s'", "BoolValue": "must be true or false"}
        return known.get(name, "must be a number" if name.endswith(("32Value", "64Value", "DoubleValue", "FloatValue")) else "")
    known = {
        field.CPPTYPE_BOOL: "must be true or false",
        field.CPPTYPE_INT32: "must be a whole number below 2^31",
        field.CPPTYPE_UINT32: "must be a whole number from 0 to 4294967295",
        field.CPPTYPE_INT64: "must be a whole number",
        field.CPPTYPE_UINT64: "must be a whole number that is not negative",
        field.CPPTYPE_STRING: "must be text",
    }
    if field.type == field.TYPE_BYTES:
        return "must be bytes in base64"
    return known.get(field.cpp_type, "must be a number")


def _near(value: Any, field: Any) -> str:
    return did_you_mean(value, field.enum_type.values_by_name) if field.enum_type is not None and isinstance(value, str) else ""


def _shown(value: Any) -> str:
    text = (
        repr(value)
        if not isinstance(value, Mapping | list | tuple)
        else "an object"
        if isinstance(value, Mapping)
        else "a list"
    )
    return text if len(text) <= 60 else text[:57] + "…"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:300]


def overlay(under: Message, over: Message, said: Mapping[str, Any]) -> None:
    """Lay what `over` says onto `under`: messages field by field, lists and typed configs whole, maps key by key.

    `said` is the JSON form `over` was read from: it tells a field set to its default from one left out, and `null` takes
    away what `under` has.
    """
    for key, value in said.items():
        field = field_of(over.DESCRIPTOR, key)
        name = field.name  # type: ignore[union-attr]
        if value is None:
            under.ClearField(name)
        elif is_map(field):
            here, there = getattr(under, name), getattr(over, name)
            for inner in there:
                if field.message_type.fields_by_name["value"].message_type is None:  # type: ignore[union-attr]
                    here[inner] = there[inner]
                else:
                    here[inner].CopyFrom(there[inner])
        elif field.is_repeated:  # type: ignore[union-attr]
            under.ClearField(name)
            getattr(under, name).extend(getattr(over, name))
        elif field.message_type is None:  # type: ignore[union-attr]
            setattr(under, name, getattr(over, name))
        elif is_plain(field.message_type):  # type: ignore[union-attr]
            getattr(under, name).SetInParent()
            overlay(getattr(under, name), getattr(over, name), value)
        else:
            getattr(under, name).CopyFrom(getattr(over, name))


def spelled(said: Any, path: Path) -> Path:
    """A path in protobuf's field names ⇒ the same in the keys that the JSON form uses; as far as it says it at all."""
    found: list[str | int] = []
    for part in path:
        if isinstance(said, Mapping):
            key = part if part in said else _camel(part) if isinstance(part, str) else part
            if key not in said:
                break
            said = said[key]
            found.append(key)
        elif isinstance(said, list | tuple) and isinstance(part, int) and part < len(said):
            said = said[part]
            found.append(part)
        else:
            break
    return tuple(found)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def dotted(path: Path) -> str:
    """A path as people write it: `a.b[0].c`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
