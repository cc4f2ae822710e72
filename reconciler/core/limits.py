"""What the validation rules say of single values: each rule becomes a check, made once and used for every message."""

import re
from collections.abc import Callable
from typing import Any

from validate import validate_pb2  # type: ignore[import-untyped]

# Says what the value must be; "" when it is.
Check = Callable[[Any], str]

# What each rule means: https://github.com/bufbuild/protoc-gen-validate#constraint-rules
NUMBERS = (
    *("float", "double", "int32", "int64", "uint32", "uint64", "sint32", "sint64"),
    *("fixed32", "fixed64", "sfixed32", "sfixed64"),
)
WELL_KNOWN = {
    (validate_pb2.HTTP_HEADER_NAME, True): (r"^:?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+$", "an HTTP header's name"),
    (validate_pb2.HTTP_HEADER_NAME, False): (r"^[^\x00\n\r]*$", "an HTTP header's name, without line breaks"),
    (validate_pb2.HTTP_HEADER_VALUE, True): (r"^[^\x00-\x08\n-\x1f\x7f]*$", "an HTTP header's value"),
    (validate_pb2.HTTP_HEADER_VALUE, False): (r"^[^\x00\n\r]*$", "an HTTP header's value, without line breaks"),
}


def check_of(field: Any, rules: Any) -> Check | None:
    """The check of one value of this field; None where the rules say nothing of it."""
    kind = rules.WhichOneof("type")
    own: Any = getattr(rules, kind) if kind else None
    if kind == "string":
        return _all(_string(own), own.ignore_empty)
    if kind == "bytes":
        return _all(_sizes(own, "bytes", len))
    if kind == "bool":
        const = own.const
        return lambda value: "" if value == const else f"must be {str(const).lower()}"
    if kind == "enum":
        return _all(_enum(own, field.enum_type))
    if kind == "duration":
        return _all(_limits(own, _nanos, _seconds))
    if kind in NUMBERS:
        return _all(_limits(own, lambda number: number, lambda number: f"{number:g}"), own.ignore_empty)
    if kind == "any":
        urls, refused = list(getattr(own, "in")), list(own.not_in)
        return lambda any_: (
            f"must be one of {', '.join(urls)}"
            if urls and any_.type_url not in urls
            else f"must not be {any_.type_url}" * (any_.type_url in refused)
        )
    return None


Rule = tuple[Callable[[Any], bool], str | Callable[[Any], str]]


def _all(rules: list[Rule], ignore_empty: bool = False) -> Check | None:
    """One check of several; the first that does not hold says so."""
    if not rules:
        return None

    def check(value: Any) -> str:
        if ignore_empty and not value:
            return ""
        for holds, words in rules:
            if not holds(value):
                return words if isinstance(words, str) else words(value)
        return ""

    return check


def _limits(own: Any, read: Callable[[Any], Any], shown: Callable[[Any], str]) -> list[Rule]:
    """lt, lte, gt, gte, const, in and not_in, for numbers and durations alike."""
    rules: list[Rule] = []

    def limit(words: str, bound: Any, holds: Callable[[Any, Any], bool]) -> None:
        said = f"must be {words} {shown(bound)}"
        rules.append((lambda value: holds(read(value), bound), lambda value: f"{said}, not {shown(read(value))}"))

    if own.HasField("const"):
        limit("exactly", read(own.const), lambda value, bound: value == bound)
    if own.HasField("gt"):
        limit("more than", read(own.gt), lambda value, bound: value > bound)
    if own.HasField("gte"):
        limit("at least", read(own.gte), lambda value, bound: value >= bound)
    if own.HasField("lt"):
        limit("less than", read(own.lt), lambda value, bound: value < bound)
    if own.HasField("lte"):
        limit("at most", read(own.lte), lambda value, bound: value <= bound)
    allowed, refused = [read(one) for one in getattr(own, "in")], [read(one) for one in own.not_in]
    if allowed:
        rules.append((lambda value: read(value) in allowed, f"must be one of {', '.join(map(shown, allowed))}"))
    if refused:
        rules.append((lambda value: read(value) not in refused, lambda value: f"must not be {shown(read(value))}"))
    return rules


def _string(own: Any) -> list[Rule]:
    rules = [*_sizes(own, "characters", len, "len"), *_sizes(own, "bytes", lambda value: len(value.encode()), "bytes")]
    if own.HasField("const"):
        rules.append((lambda value: bool(value == own.const), f"must be {own.const!r}"))
    if own.prefix:
        rules.append((lambda value: value.startswith(own.prefix), f"must start with {own.prefix!r}"))
    if own.suffix:
        rules.append((lambda value: value.endswith(own.suffix), f"must end with {own.suffix!r}"))
    allowed, refused = list(getattr(own, "in")), list(own.not_in)
    if allowed:
        rules.append((lambda value: value in allowed, f"must be one of {', '.join(allowed)}"))
    if refused:
        rules.append((lambda value: value not in refused, lambda value: f"must not be {value!r}"))
    if own.pattern:
        pattern = re.compile(own.pattern)
        rules.append((lambda value: pattern.search(value) is not None, f"must match {own.pattern}"))
    if own.well_known_regex:
        strict = own.strict if own.HasField("strict") else True
        text, words = WELL_KNOWN[(own.well_known_regex, strict)]
        known = re.compile(text)
        rules.append((lambda value: known.fullmatch(value) is not None, f"must be {words}"))
    return rules


def _sizes(own: Any, unit: str, size: Callable[[Any], int], suffix: str = "len") -> list[Rule]:
    rules: list[Rule] = []
    if own.HasField(f"min_{suffix}"):
        least = getattr(own, f"min_{suffix}")
        rules.append(
            (lambda value: size(value) >= least, "must not be empty" if least == 1 else f"needs {least} {unit} or more")
        )
    if own.HasField(f"max_{suffix}"):
        most = getattr(own, f"max_{suffix}")
        rules.append((lambda value: size(value) <= most, f"may have at most {most} {unit}"))
    return rules


def _enum(own: Any, kind: Any) -> list[Rule]:
    names = {number: one.name for number, one in kind.values_by_number.items()}
    rules: list[Rule] = []
    if own.defined_only:
        rules.append((lambda value: value in names, f"must be one of {', '.join(kind.values_by_name)}"))
    if own.HasField("const"):
        rules.append((lambda value: bool(value == own.const), f"must be {names[own.const]}"))
    allowed, refused = list(getattr(own, "in")), list(own.not_in)
    if allowed:
        rules.append((lambda value: value in allowed, f"must be one of {', '.join(names[one] for one in allowed)}"))
    if refused:
        rules.append((lambda value: value not in refused, lambda value: f"must not be {names.get(value, value)}"))
    return rules


def _nanos(duration: Any) -> int:
    return int(duration.seconds) * 1_000_000_000 + int(duration.nanos)


def _seconds(nanos: int) -> str:
    return f"{nanos / 1e9:g}s"
