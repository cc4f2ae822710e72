"""What of an Envoy's configuration is secret, or was hidden by the Envoy: neither may stand in a document."""

from collections.abc import Iterator
from typing import Any

from udpa.annotations import sensitive_pb2  # type: ignore[import-untyped]

from reconciler.core.messages import Message, Path, is_map, unpacked

# What /config_dump writes in place of text and bytes that are annotated as sensitive.
REDACTED = "[redacted]"
PEM = ("PRIVATE KEY-----", "-----BEGIN AGE ENCRYPTED")
# Headers whose value lets somebody in, as people write them into `initial_metadata` and `request_headers_to_add`.
HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"})
DATA = "envoy.config.core.v3.DataSource"


def secrets(message: Message, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every secret in this message: where, and what it is."""
    if message.DESCRIPTOR.full_name == "google.protobuf.Any":
        inner = unpacked(message)
        if inner is not None:
            yield from secrets(inner, path)
        return
    if message.DESCRIPTOR.full_name == "envoy.config.core.v3.HeaderValue" and message.key.lower() in HEADERS:
        value = message.value or message.raw_value
        # `%…%` is filled in by Envoy from the request, and no secret of its own.
        if value and not (isinstance(value, str) and value.startswith("%") and value.endswith("%")):
            yield (*path, "value"), f"the header {message.key} in the clear"
    for field, value in message.ListFields():
        at = (*path, field.name)
        if field.GetOptions().Extensions[sensitive_pb2.sensitive]:
            yield from _sensitive(field, value, at)
        else:
            yield from _inside(field, value, at)


def _sensitive(field: Any, value: Any, at: Path) -> Iterator[tuple[Path, str]]:
    if field.message_type is None:
        yield at, _words(value)
    elif field.message_type.full_name == DATA and not field.is_repeated:
        yield from source(value, at)
    elif is_map(field):
        yield at, "a secret"
    else:
        for one in value if field.is_repeated else (value,):
            if one.DESCRIPTOR.full_name == DATA:
                yield from source(one, at)
            elif one.ListFields():
                yield at, "a secret"


def source(data: Message, at: Path) -> Iterator[tuple[Path, str]]:
    """A DataSource that holds a secret itself; one that names a file or a variable of the host does not."""
    specifier = data.WhichOneof("specifier")
    if specifier is not None:
        value = getattr(data, specifier)
        if specifier.startswith("inline") or hidden(value):
            yield (*at, specifier), _words(value)


def hidden(value: Any) -> bool:
    return bool(value in (REDACTED, REDACTED.encode()))


def _words(value: Any) -> str:
    return "hidden by the Envoy that was asked" if hidden(value) else "a secret in the clear"


def _inside(field: Any, value: Any, at: Path) -> Iterator[tuple[Path, str]]:
    if is_map(field):
        inner = field.message_type.fields_by_name["value"]
        for key in sorted(value, key=str):
            if inner.message_type is not None:
                yield from secrets(value[key], (*at, key))
            else:
                yield from _plain(value[key], (*at, key))
    elif field.is_repeated:
        for i, one in enumerate(value):
            yield from secrets(one, (*at, i)) if field.message_type is not None else _plain(one, (*at, i))
    elif field.message_type is not None:
        yield from secrets(value, at)
    else:
        yield from _plain(value, at)


def _plain(value: Any, at: Path) -> Iterator[tuple[Path, str]]:
    if hidden(value):
        yield at, _words(value)
    elif any(mark in value for mark in PEM) if isinstance(value, str) else _in_bytes(value):
        yield at, "a private key in the clear"


def _in_bytes(value: Any) -> bool:
    return isinstance(value, bytes) and any(mark.encode() in value for mark in PEM)
