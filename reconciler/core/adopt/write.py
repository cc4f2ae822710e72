"""Documents as the YAML that Convoy reads: text stays text under YAML 1.2, and whatever has lines is written in lines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from reconciler.core.kinds import API_VERSION
from reconciler.core.parse import parse
from reconciler.core.scalars import Unreadable, meaning


@dataclass(frozen=True, slots=True)
class Draft:
    """One document to be written: its kind, name and spec, and what a person should know who reads it."""

    kind: str
    name: str
    spec: Mapping[str, Any] = field(repr=False)
    remarks: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def value(self) -> dict[str, Any]:
        return {"apiVersion": API_VERSION, "kind": self.kind, "metadata": {"name": self.name}, "spec": _ordered(self.spec)}

    @property
    def text(self) -> str:
        remarks = "".join(f"# {line}\n" for line in self.remarks)
        value = self.value
        written = yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
        read = parse("", "", written.encode(errors="surrogatepass")).documents
        # JSON is YAML, and has one way of writing everything: it stands in where no nicer way says exactly the same.
        return remarks + (written if len(read) == 1 and read[0].value == value else json.dumps(value, indent=2) + "\n")


def _ordered(value: Any) -> Any:
    """As people write it: before anything else, which type something is."""
    if isinstance(value, Mapping):
        return {key: _ordered(value[key]) for key in sorted(value, key=lambda key: key != "@type")}
    return [_ordered(one) for one in value] if isinstance(value, list) else value


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "\n" in text.rstrip("\n") and all(line == line.rstrip() for line in text.split("\n")):
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    try:
        plain = meaning(text) == text and isinstance(meaning(text), str)
    except Unreadable:
        plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Plain.add_representer(str, _text)
