"""The validation rules in Envoy's protobuf files, applied as Envoy applies them; read from descriptors, so always current."""

from collections.abc import Callable, Iterator
from typing import Any

from validate import validate_pb2  # type: ignore[import-untyped]

from reconciler.core.limits import Check, check_of
from reconciler.core.messages import Fault, Message, Path, is_map, unpacked

# Checks what a field holds, and everything below it.
Visit = Callable[[Any, Path], Iterator[Fault]]
WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)


def broken_rules(message: Message, path: Path = ()) -> Iterator[Fault]:
    """Every rule this message breaks, also inside typed configs; paths in protobuf's field names."""
    descriptor = message.DESCRIPTOR
    plan = _PLANS.get(descriptor.full_name)
    if plan is None:
        plan = _PLANS[descriptor.full_name] = _Plan(descriptor)
    given = set()
    for field, value in message.ListFields():
        name = field.name
        given.add(name)
        visit = plan.visits.get(name)
        if visit is not None:
            yield from visit(value, (*path, name))
    for name, what in plan.unset:
        if name not in given:
            yield Fault((*path, name), what)
    for oneof, names in plan.oneofs:
        if message.WhichOneof(oneof) is None:
            yield Fault(path, f"needs one of {', '.join(names)}")


class _Plan:
    """What there is to check in one type of message: per field that is set, for fields that are not, and of alternatives."""

    __slots__ = ("oneofs", "unset", "visits")

    def __init__(self, descriptor: Any) -> None:
        self.visits: dict[str, Visit] = {}
        self.unset: list[tuple[str, str]] = []
        self.oneofs: list[tuple[str, list[str]]] = []
        if descriptor.GetOptions().Extensions[validate_pb2.disabled] or descriptor.full_name.startswith("google.protobuf."):
            return
        for oneof in descriptor.oneofs:
            if oneof.GetOptions().Extensions[validate_pb2.required]:
                self.oneofs.append((oneof.name, [field.name for field in oneof.fields]))
        for field in descriptor.fields:
            rules = field.GetOptions().Extensions[validate_pb2.rules]
            visit = _visit(field, rules)
            if visit is not None:
                self.visits[field.name] = visit
            what = _when_unset(field, rules)
            if what:
                self.unset.append((field.name, what))


# By type name: the API is what this build has, so this is bounded and never stale.
_PLANS: dict[str, _Plan] = {}


def _when_unset(field: Any, rules: Any) -> str:
    """What leaving the field out breaks, if anything."""
    if field.containing_oneof is not None:
        return ""  # it may well be another of them that is given
    if rules.message.required or rules.duration.required or rules.any.required:
        return "must be given"
    if field.is_repeated:
        least = rules.repeated.min_items or rules.map.min_pairs
        ignored = rules.repeated.ignore_empty or rules.map.ignore_empty
        return f"needs at least {least}" if least and not ignored else ""
    if field.message_type is not None or field.has_presence:
        return ""
    check = check_of(field, rules)
    what = check(field.default_value) if check is not None else ""
    return f"must be given: {what}" if what else ""


def _visit(field: Any, rules: Any) -> Visit | None:
    if is_map(field):
        return _map(field, rules.map)
    return _list(field, rules.repeated) if field.is_repeated else _one(field, rules)


def _map(field: Any, own: Any) -> Visit | None:
    of = field.message_type.fields_by_name
    key_check, value_visit, least = check_of(of["key"], own.keys), _one(of["value"], own.values), own.min_pairs
    if key_check is None and value_visit is None and not least:
        return None

    def visit(value: Any, at: Path) -> Iterator[Fault]:
        if len(value) < least:
            yield Fault(at, f"needs at least {least}")
        for key in sorted(value):
            what = key_check(key) if key_check is not None else ""
            if what:
                yield Fault((*at, key), f"as a key {what}")
            if value_visit is not None:
                yield from value_visit(value[key], (*at, key))

    return visit


def _list(field: Any, own: Any) -> Visit | None:
    item_visit, least, unique = _one(field, own.items), own.min_items, own.unique
    most = own.max_items if own.HasField("max_items") else None
    if item_visit is None and not least and most is None and not unique:
        return None

    def visit(value: Any, at: Path) -> Iterator[Fault]:
        if len(value) < least:
            yield Fault(at, f"needs at least {least}")
        if most is not None and len(value) > most:
            yield Fault(at, f"may have at most {most}, and has {len(value)}")
        if unique and len({_content(one) for one in value}) < len(value):
            yield Fault(at, "says the same twice")
        if item_visit is not None:
            for i, one in enumerate(value):
                yield from item_visit(one, (*at, i))

    return visit


def _one(field: Any, rules: Any) -> Visit | None:
    """The visit of a single value, be it alone, in a list or in a map."""
    kind = field.message_type
    if kind is None:
        return _single(check_of(field, rules))
    if kind.full_name == "google.protobuf.Any":
        return _any(check_of(field, rules))
    if kind.full_name in WRAPPERS:
        check = check_of(kind.fields_by_name["value"], rules)
        return _single(None if check is None else lambda wrapper: check(wrapper.value))
    if kind.full_name.startswith("google.protobuf."):
        return _single(check_of(field, rules))
    return None if rules.message.skip else broken_rules


def _single(check: Check | None) -> Visit | None:
    if check is None:
        return None

    def visit(value: Any, at: Path) -> Iterator[Fault]:
        what = check(value)
        if what:
            yield Fault(at, what)

    return visit


def _any(check: Check | None) -> Visit:
    def visit(value: Any, at: Path) -> Iterator[Fault]:
        what = check(value) if check is not None else ""
        if what:
            yield Fault(at, what)
        inner = unpacked(value)
        if inner is not None:
            yield from broken_rules(inner, at)

    return visit


def _content(one: Any) -> bytes:
    return one.SerializeToString(deterministic=True) if hasattr(one, "SerializeToString") else repr(one).encode()
