"""The same content is the same bytes: typed configs are packed so that what maps hold has one order.

Protobuf's JSON reader packs a typed config in whatever order its maps have in this process. A version made of such bytes would
be another after every restart, and every proxy would be told the same again.
"""

from collections.abc import Iterator

from google.protobuf import any_pb2  # type: ignore[import-untyped]

from reconciler.core.messages import Message, is_map, unpacked

ANY = "google.protobuf.Any"


def settle(message: Message) -> None:
    """Pack every typed config in this message again, the innermost first."""
    if message.DESCRIPTOR.full_name == ANY:
        inner = unpacked(message)
        if inner is not None:
            settle(inner)
            message.CopyFrom(any_pb2.Any(type_url=message.type_url, value=inner.SerializeToString(deterministic=True)))
        return
    for inner in parts(message):
        settle(inner)


def parts(message: Message) -> Iterator[Message]:
    """The messages that stand in this one."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if is_map(field):
            if field.message_type.fields_by_name["value"].message_type is not None:
                yield from (value[key] for key in sorted(value, key=str))
        elif field.is_repeated:
            yield from value
        else:
            yield value
