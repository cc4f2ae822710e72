"""What a document says, written as YAML that means the same when Convoy reads it again."""

from collections.abc import Mapping
from typing import Any

import yaml

from reconciler.core.parse import INVISIBLE
from reconciler.core.scalars import Unreadable, meaning

_Emitter: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Emitter):  # type: ignore[misc] # the fast one where PyYAML has it
    def ignore_aliases(self, data: Any) -> bool:
        """Every value is written out: an alias would tie two places together that have nothing to do with each other."""
        return True


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    lines = text.split("\n")
    if not all(line.isprintable() for line in lines) or INVISIBLE.search(text):
        # Only between double quotes is everything else spelled out, which is all that a terminal may be shown.
        return '"'
    if len(lines) > 1:
        return "|" if text.strip() and all(line == line.rstrip() for line in lines) else '"'
    try:
        return None if meaning(text) == text else '"'
    except Unreadable:
        return '"'


_Dumper.add_representer(str, _text)


def as_yaml(document: Mapping[str, Any]) -> str:
    """One document, in its own order of keys, with a line break at the end."""
    # In a document with anything that cannot be seen, all that is not ASCII is spelled out.
    plain = _printable(document)
    return str(
        yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=plain, width=1 << 20, default_flow_style=False)
    )


def _printable(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if not all(line.isprintable() for line in one.split("\n")):
                return False
        elif isinstance(one, Mapping):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one
    return True
