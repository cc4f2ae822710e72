"""The validation rules in Envoy's protobuf files, applied as Envoy applies them; read from descriptors, so always current."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from validate import validate_pb2  # type: ignore[import-untyped]

from reconciler.core.messages import Fault, Message, Path, is_map, unpacked

# What each rule means: https://github.com/bufbuild/protoc-gen-validate#constraint-rules
NUMBERS = frozenset(
    "float double int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64".split()  # noqa: SIM905
)
WELL_KNOWN = {
    (validate_pb2.HTTP_HEADER_NAME, True): (r"^:?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+$", "an HTTP header's name"),
    (validate_pb2.HTTP_HEADER_NAME, False): (r"^[^\x00\n\r]*$", "an HTTP header's name, without line breaks"),
    (validate_pb2.HTTP_HEADER_VALUE, True): (r"^[^\x00-\x08\n-\x1f\x7f]*$", "an HTTP header's value"),
    (validate_pb2.HTTP_HEADER_VALUE, False): (r"^[^\x00\n\r]*$", "an HTTP header's value, without line breaks"),
}
Check = Callable[[Any], str]


def broken_rules(message: Message, path: Path = ()) -> Iterator[Fault]:
    """Every rule this message breaks, also inside typed configs; paths in protobuf's field names."""
    plan = _plan(message.DESCRIPTOR)
    set_: set[str] = set()
    for field, value in message.ListFields():
        set_.add(field.name)
        rules = plan.rules.get(field.name)
        at = (*path, field.name)
        if is_map(field):
            yield from _map(field, value, rules, at)
        elif field.is_repeated:
            yield from _list(field, value, rules, at)
        else:
            yield from _one(field, value, rules, at)
    for name, what in plan.unset:
        if name not in set_:
            yield Fault((*path, name), what)
    for oneof, names in plan.oneofs:
        if message.WhichOneof(oneof) is None:
            yield Fault(path, f"needs one of {', '.join(names)}")


class _Plan:
    """What there is to check in one type of message."""

    __slots__ = ("oneofs", "rules", "unset")

    def __init__(self, descriptor: Any) -> None:
        self.rules: dict[str, Any] = {}
        self.unset: list[tuple[str, str]] = []
        self.oneofs = [
            (oneof.name, [field.name for field in oneof.fields])
            for oneof in descriptor.oneofs
            if oneof.GetOptions().Extensions[validate_pb2.required]
        ]
        if descriptor.GetOptions().Extensions[validate_pb2.disabled]:
            self.oneofs = []
            return
        for field in descriptor.fields:
            options = field.GetOptions()
            if options.HasExtension(validate_pb2.rules):
                rules = options.Extensions[validate_pb2.rules]
                self.rules[field.name] = rules
                what = _when_unset(field, rules)
                if what:
                    self.unset.append((field.name, what))


@cache
def _plan_named(_name: str, descriptor: Any) -> _Plan:
    return _Plan(descriptor)


def _plan(descriptor: Any) -> _Plan:
    return _plan_named(descriptor.full_name, descriptor)


def _when_unset(field: Any, rules: Any) -> str:
    """What leaving the field out breaks, if anything."""
    if field.containing_oneof is not None:
        return ""  # it may well be another of them that is given
    if rules.message.required or rules.duration.required or rules.any.required or rules.timestamp.required:
        return "must be given"
    if field.is_repeated:
        least = rules.repeated.min_items or rules.map.min_pairs
        ignored = rules.repeated.ignore_empty or rules.map.ignore_empty
        return f"needs at least {least}" if least and not ignored else ""
    if field.message_type is not None or field.has_presence:
        return ""
    what = _check(field, rules)(field.default_value)
    return f"must be given: {what}" if what else ""


def _map(field: Any, value: Any, rules: Any, at: Path) -> Iterator[Fault]:
    of = field.message_type.fields_by_name
    own = rules.map if rules is not None else None
    if own is not None and len(value) < own.min_pairs:
        yield Fault(at, f"needs at least {own.min_pairs}")
    for key in sorted(value):
        if own is not None and own.HasField("keys"):
            what = _check(of["key"], own.keys)(key)
            if what:
                yield Fault((*at, key), f"as a key {what}")
        yield from _one(of["value"], value[key], own.values if own is not None and own.HasField("values") else None, (*at, key))


def _list(field: Any, value: Any, rules: Any, at: Path) -> Iterator[Fault]:
    items = None
    if rules is not None and rules.HasField("repeated"):
        own = rules.repeated
        if len(value) < own.min_items:
            yield Fault(at, f"needs at least {own.min_items}")
        if own.HasField("max_items") and len(value) > own.max_items:
            yield Fault(at, f"may have at most {own.max_items}, and has {len(value)}")
        if own.unique and len({_bytes(one) for one in value}) < len(value):
            yield Fault(at, "says the same twice")
        items = own.items if own.HasField("items") else None
    for i, one in enumerate(value):
        yield from _one(field, one, items, (*at, i))


def _one(field: Any, value: Any, rules: Any, at: Path) -> Iterator[Fault]:
    kind = field.message_type
    if kind is None:
        what = _check(field, rules)(value) if rules is not None else ""
    elif kind.full_name == "google.protobuf.Any":
        what = _any(rules, value)
        inner = unpacked(value)
        if inner is not None:
            yield from broken_rules(inner, at)
    elif kind.full_name == "google.protobuf.Duration":
        what = _limits(rules.duration, _nanos(value), _nanos, _seconds) if rules is not None else ""
    elif (
        kind.full_name.startswith("google.protobuf.")
        and kind.name.endswith("Value")
        and kind.name not in ("Value", "ListValue")
    ):
        what = _check(kind.fields_by_name["value"], rules)(value.value) if rules is not None else ""
    else:
        what = ""
        if rules is None or not rules.message.skip:
            yield from broken_rules(value, at)
    if what:
        yield Fault(at, what)


def _any(rules: Any, value: Any) -> str:
    if rules is None or not rules.HasField("any"):
        return ""
    if getattr(rules.any, "in") and value.type_url not in getattr(rules.any, "in"):
        return f"must be one of {', '.join(getattr(rules.any, 'in'))}"
    return f"must not be {value.type_url}" if value.type_url in rules.any.not_in else ""


def _check(field: Any, rules: Any) -> Check:
    """The check of one scalar; "" is fine, anything else says what it must be."""
    kind = rules.WhichOneof("type")
    if kind == "string":
        return lambda value: _string(rules.string, value)
    if kind == "bytes":
        return lambda value: _bytes_rule(rules.bytes, value)
    if kind == "bool":
        return lambda value: "" if value == rules.bool.const else f"must be {str(rules.bool.const).lower()}"
    if kind == "enum":
        return lambda value: _enum(rules.enum, field.enum_type, value)
    if kind in NUMBERS:
        own = getattr(rules, kind)
        return lambda value: "" if own.ignore_empty and not value else _limits(own, value, lambda n: n, lambda n: f"{n:g}")
    return lambda _: ""


def _limits(own: Any, value: Any, read: Callable[[Any], Any], shown: Callable[[Any], str]) -> str:
    """lt, lte, gt, gte, const, in and not_in, for numbers and durations alike."""
    if own.HasField("const") and value != read(own.const):
        return f"must be {shown(read(own.const))}"
    limits: list[tuple[str, str, Callable[[Any], bool]]] = [
        ("gt", "more than", lambda limit: value > limit),
        ("gte", "at least", lambda limit: value >= limit),
        ("lt", "less than", lambda limit: value < limit),
        ("lte", "at most", lambda limit: value <= limit),
    ]
    for name, words, holds in limits:
        if own.HasField(name) and not holds(read(getattr(own, name))):
            return f"must be {words} {shown(read(getattr(own, name)))}, not {shown(value)}"
    allowed = [read(one) for one in getattr(own, "in")]
    if allowed and value not in allowed:
        return f"must be one of {', '.join(map(shown, allowed))}"
    return f"must not be {shown(value)}" if value in [read(one) for one in own.not_in] else ""


def _string(own: Any, value: str) -> str:
    if own.ignore_empty and not value:
        return ""
    encoded = len(value.encode())
    if own.HasField("const") and value != own.const:
        return f"must be {own.const!r}"
    if own.HasField("min_len") and len(value) < own.min_len:
        return "must not be empty" if own.min_len == 1 else f"must have at least {own.min_len} characters"
    if own.HasField("min_bytes") and encoded < own.min_bytes:
        return "must not be empty" if own.min_bytes == 1 else f"must have at least {own.min_bytes} bytes"
    if own.HasField("max_len") and len(value) > own.max_len:
        return f"may have at most {own.max_len} characters"
    if own.HasField("max_bytes") and encoded > own.max_bytes:
        return f"may have at most {own.max_bytes} bytes"
    if own.prefix and not value.startswith(own.prefix):
        return f"must start with {own.prefix!r}"
    if own.suffix and not value.endswith(own.suffix):
        return f"must end with {own.suffix!r}"
    if getattr(own, "in") and value not in getattr(own, "in"):
        return f"must be one of {', '.join(getattr(own, 'in'))}"
    if value in own.not_in:
        return f"must not be {value!r}"
    if own.pattern and not re.search(own.pattern, value):
        return f"must match {own.pattern}"
    if own.well_known_regex:
        strict = own.strict if own.HasField("strict") else True
        pattern, words = WELL_KNOWN[(own.well_known_regex, strict)]
        if not re.fullmatch(pattern, value):
            return f"must be {words}"
    return ""


def _bytes_rule(own: Any, value: bytes) -> str:
    if own.HasField("min_len") and len(value) < own.min_len:
        return f"must have at least {own.min_len} bytes"
    return f"may have at most {own.max_len} bytes" if own.HasField("max_len") and len(value) > own.max_len else ""


def _enum(own: Any, kind: Any, value: int) -> str:
    known = kind.values_by_number.get(value)
    if own.defined_only and known is None:
        return f"must be one of {', '.join(kind.values_by_name)}"
    shown = known.name if known is not None else str(value)
    if own.HasField("const") and value != own.const:
        return f"must be {kind.values_by_number[own.const].name}"
    if getattr(own, "in") and value not in getattr(own, "in"):
        return f"must be one of {', '.join(kind.values_by_number[n].name for n in getattr(own, 'in'))}"
    return f"must not be {shown}" if value in own.not_in else ""


def _bytes(one: Any) -> bytes:
    return one.SerializeToString(deterministic=True) if hasattr(one, "SerializeToString") else repr(one).encode()


def _nanos(duration: Any) -> int:
    return int(duration.seconds) * 1_000_000_000 + int(duration.nanos)


def _seconds(nanos: int) -> str:
    return f"{nanos / 1e9:g}s"
