"""Reads what a command is given in a file, as YAML or JSON; `-` is standard input."""

import sys
from typing import Any

import yaml

from api.client.exits import USAGE, ClientError
from reconciler.core.scalars import Unreadable, meaning

# What the server takes at most.
LARGEST = 1024 * 1024
# The tag of a scalar that stands without quotes, and without a tag of its own.
PLAIN = "plain"


def read(path: str, what: str = "file") -> str:
    """Its text; raises ClientError."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with open(path, "rb") as stream:
                data = stream.read(LARGEST + 1)
    except OSError as error:
        raise ClientError(USAGE, f"cannot read the {what} {path}: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise ClientError(USAGE, f"the {what} {path} is longer than {LARGEST} bytes, which no server takes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ClientError(USAGE, f"the {what} {path} is not UTF-8 at byte {error.start}: save it as UTF-8") from None


def document(path: str) -> dict[str, Any]:
    """The mapping in it; raises ClientError with line and column."""
    where = "standard input" if path == "-" else path
    try:
        # S506: _Loader is a safe one.
        found = yaml.load(read(path), Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark is not None else where
        raise ClientError(USAGE, f"{place}: this is neither YAML nor JSON: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ClientError(USAGE, f"{where}: this is neither YAML nor JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise ClientError(USAGE, f"{where}: it holds no mapping of names to values, as a body of the API is")
    return found


class _Loader(yaml.SafeLoader):
    """What JSON can say, read as a fleet's files are: no name stands twice, and nothing refers to something else."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # so yaml has it
            raise yaml.MarkedYAMLError(problem="an alias, which JSON cannot say: write it out", problem_mark=mark)
        return super().compose_node(parent, index)

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        """The tag of what has none; of scalars, the first of `implicit` says whether it stands without quotes."""
        if kind is yaml.ScalarNode and implicit[0]:
            return PLAIN
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]  # so yaml has it


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = loader.construct_object(key, deep=True)
        if not isinstance(name, str):
            raise yaml.MarkedYAMLError(problem=f"the name {name!r} is no text: put it in quotes", problem_mark=key.start_mark)
        if name in found:
            raise yaml.MarkedYAMLError(problem=f"the name {name!r} stands here twice", problem_mark=key.start_mark)
        found[name] = loader.construct_object(value, deep=True)
    return found


def _plain(_: yaml.SafeLoader, node: yaml.ScalarNode) -> str | int | float | bool | None:
    try:
        return meaning(node.value)
    except Unreadable as error:
        raise yaml.MarkedYAMLError(problem=f"{error.what}: {error.hint}", problem_mark=node.start_mark) from None


def _tagged(_: yaml.SafeLoader, node: yaml.Node) -> None:
    tag = node.tag.replace("tag:yaml.org,2002:", "!!", 1)
    raise yaml.MarkedYAMLError(problem=f"the tag {tag[:80]}, which JSON cannot say: leave it out", problem_mark=node.start_mark)


_Loader.yaml_constructors = {
    PLAIN: _plain,
    "tag:yaml.org,2002:str": yaml.SafeLoader.construct_yaml_str,
    "tag:yaml.org,2002:seq": yaml.SafeLoader.construct_yaml_seq,
    "tag:yaml.org,2002:map": _mapping,
    None: _tagged,
}
