"""Messages compared by what they say, also within typed configs; and what is to be said over one to make it another."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf import any_pb2, json_format  # type: ignore[import-untyped]

from reconciler.core.envoy import packing
from reconciler.core.messages import Message, Path, is_map, is_plain, unpacked
from reconciler.core.settle import ANY, parts

# A difference at a path: what there was, and what there is.
Difference = tuple[Path, str, str]


def differences(before: Message, after: Message, path: Path = ()) -> Iterator[Difference]:
    """Field by field; bytes that mean the same are the same."""
    if before.SerializeToString(deterministic=True) == after.SerializeToString(deterministic=True):
        return
    if before.DESCRIPTOR.full_name == ANY:
        yield from _within(before, after, path)
        return
    here = {field.name: (field, value) for field, value in before.ListFields()}
    there = {field.name: (field, value) for field, value in after.ListFields()}
    for name in sorted({**here, **there}):
        at = (*path, name)
        if name not in here:
            yield at, "", _shown(*there[name])
        elif name not in there:
            yield at, _shown(*here[name]), ""
        else:
            yield from _field(here[name][0], here[name][1], there[name][1], at)


def _within(before: Message, after: Message, path: Path) -> Iterator[Difference]:
    one, other = unpacked(before), unpacked(after)
    if one is None or other is None or before.type_url.rpartition("/")[2] != after.type_url.rpartition("/")[2]:
        yield path, before.type_url or "another content", after.type_url or "another content"
    else:
        yield from differences(one, other, path)


def _field(field: Any, one: Any, other: Any, at: Path) -> Iterator[Difference]:
    if is_map(field):
        inner = field.message_type.fields_by_name["value"].message_type
        for key in sorted({*one, *other}, key=str):
            if key not in one or key not in other:
                yield (*at, key), "set" if key in one else "", "set" if key in other else ""
            elif inner is not None:
                yield from differences(one[key], other[key], (*at, key))
            elif one[key] != other[key]:
                yield (*at, key), _scalar(one[key]), _scalar(other[key])
    elif field.is_repeated:
        if len(one) != len(other):
            yield at, f"{len(one)} of them", f"{len(other)} of them"
            return
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            if field.message_type is not None:
                yield from differences(a, b, (*at, i))
            elif a != b:
                yield (*at, i), _scalar(a), _scalar(b)
    elif field.message_type is not None:
        yield from differences(one, other, at)
    elif one != other:
        yield at, _scalar(one), _scalar(other)


def _shown(field: Any, value: Any) -> str:
    if is_map(field) or field.is_repeated:
        return f"{len(value)} of them"
    return field.message_type.name if field.message_type is not None else _scalar(value)


def _scalar(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def overlaid(under: Message, target: Message) -> dict[str, Any]:
    """What `messages.overlay` must be told to make `under` say what `target` says; `null` takes away."""
    said: dict[str, Any] = {}
    here = {field.name: value for field, value in under.ListFields()}
    there = {field.name: (field, value) for field, value in target.ListFields()}
    for field in under.DESCRIPTOR.fields:
        name = field.name
        if name not in there:
            # A field of a oneof goes by itself when another of it comes.
            replaced = field.containing_oneof is not None and target.WhichOneof(field.containing_oneof.name) is not None
            if name in here and not replaced:
                said[name] = None if field.has_presence or field.is_repeated else _default(field)
            continue
        value = there[name][1]
        if name not in here:
            said[name] = as_said(target)[name]
        elif is_map(field) or field.is_repeated or field.message_type is None:
            if here[name] != value:
                said[name] = as_said(target)[name]
        elif not is_plain(field.message_type):
            if next(differences(here[name], value), None) is not None:
                said[name] = as_said(target)[name]
        elif inner := overlaid(here[name], value):
            said[name] = inner
    return said


def _default(field: Any) -> Any:
    number = field.default_value
    return field.enum_type.values_by_number[number].name if field.enum_type is not None else number


def as_said(message: Message) -> dict[str, Any]:
    """The message in its JSON form, under protobuf's own field names."""
    said: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return said


def texts(message: Message) -> Iterator[str]:
    """Every text in this message, also within typed configs."""
    if message.DESCRIPTOR.full_name == ANY:
        inner = unpacked(message)
        if inner is not None:
            yield from texts(inner)
        return
    for field, value in message.ListFields():
        if is_map(field):
            yield from (one for key in value for one in (key, value[key]) if isinstance(one, str))
        elif field.message_type is None and field.cpp_type == field.CPPTYPE_STRING and field.type != field.TYPE_BYTES:
            yield from value if field.is_repeated else (value,)
    for inner in parts(message):
        yield from texts(inner)


def rewritten(message: Message, change: Callable[[Message], bool]) -> bool:
    """Give every message in this one, itself included, to `change`, which says whether it changed it; True if any did.

    What stands in typed configs is packed again where something in it changed.
    """
    if message.DESCRIPTOR.full_name == ANY:
        inner = unpacked(message)
        if inner is None or not rewritten(inner, change):
            return False
        message.CopyFrom(any_pb2.Any(type_url=message.type_url, value=packing(inner).value))
        return True
    done = change(message)
    for inner in parts(message):
        done = rewritten(inner, change) or done
    return done


def get(said: Any, name: str) -> tuple[str, Any]:
    """The key under which a JSON form has this field, and its value; ("", None) where it has not."""
    if isinstance(said, Mapping):
        head, *rest = name.split("_")
        for key in (name, head + "".join(word.capitalize() for word in rest)):
            if said.get(key) is not None:
                return key, said[key]
    return "", None
