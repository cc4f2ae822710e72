"""What `${var.NAME}` means in an environment: declared with a type, told a value, and put in its place."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.compose import MOST_CHARACTERS, MOST_NODES
from reconciler.core.kinds.environment import VARIABLE_PATTERN, Environment, Variable
from reconciler.core.model import Problem, Source, Where
from reconciler.core.near import did_you_mean, listing
from reconciler.core.parse import Document, locate
from reconciler.core.scalars import short
from reconciler.core.wording import Flaw, quoted

# `$${var.x}` stands for `${var.x}` itself. Terraform's spelling; no shell, no Envoy and no `${PORT}` of a workload is like it.
WORD = re.compile(r"(\$?)\$\{var\.([^}\s]{0,80})(\}?)")
NAME = re.compile(VARIABLE_PATTERN)
# What every text with a variable in it holds, however it is quoted; a backslash may spell it out.
SIGNS = (b"{var.", b"\\")
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """What a variable is in one environment, and where that is written."""

    name: str
    value: Any
    document: Document
    path: Path

    @property
    def where(self) -> Where:
        return locate(self.document, self.path)


class Unfilled(Exception):
    """A text that cannot be filled in: `flaws` say why."""

    def __init__(self, flaws: list[Flaw]) -> None:
        super().__init__(flaws[0].what)
        self.flaws = flaws


@dataclass(slots=True)
class Filler:
    """Fills in one document or one patch; `used` are the names that were filled in, in order."""

    values: Mapping[str, Value]
    used: dict[str, None]
    flaws: list[Flaw]
    left: int = MOST_CHARACTERS
    nodes: int = MOST_NODES

    def filled(self, value: Any, path: Path) -> Any:
        """A copy that shares nothing with what it is made from."""
        self.nodes -= 1
        if self.nodes < 0 or self.left < 0:
            what = f"with its variables filled in, this says more than {MOST_NODES} things or {MOST_CHARACTERS} characters"
            raise Unfilled([Flaw((), what, "split it into several documents")])
        if isinstance(value, str):
            self.left -= len(value)
            return self._text(value, path) if "${var." in value else value
        if isinstance(value, dict):
            if is_sealed(value) and any(isinstance(one, str) and "${var." in one for one in value.values()):
                what = "a sealed secret takes no variables: what it is, its ciphertext alone says"
                self.flaws.append(Flaw(path, what, "put another sealed secret in its place by a patch", quiet=True))
                return value
            for key in value:
                if "${var." in key:
                    self.flaws.append(Flaw((*path, key), "variables stand in values, not in keys", "write the key out", True))
            return {key: self.filled(one, (*path, key)) for key, one in value.items()}
        if isinstance(value, list):
            return [self.filled(one, (*path, number)) for number, one in enumerate(value)]
        return value

    def _text(self, text: str, path: Path) -> Any:
        whole = WORD.fullmatch(text)
        if whole and not whole[1]:
            value = self._value(whole, path, alone=True)
            self.left -= len(value) if isinstance(value, str | list) else 0
            return value
        return WORD.sub(lambda found: self._inside(found, path), text)

    def _inside(self, found: re.Match[str], path: Path) -> str:
        if found[1]:
            return found[0][1:]
        value = spelled(self._value(found, path, alone=False))
        self.left -= len(value)
        if self.left < 0:
            raise Unfilled([Flaw(path, f"says more than {MOST_CHARACTERS} characters with its variables filled in")])
        return value

    def _value(self, found: re.Match[str], path: Path, *, alone: bool) -> Any:
        name = found[2]
        if not found[3] or not NAME.fullmatch(name):
            hint = "write ${var.NAME}, or $${var. where that text itself is meant"
            self.flaws.append(Flaw(path, f"{quoted(found[0])} is no variable", hint))
            return ""
        value = self.values.get(name)
        if value is None:
            known = f"there is {listing(sorted(self.values))}" if self.values else "none is declared"
            hint = did_you_mean(name, self.values, f"{known}; where that text itself is meant, write $${{var.{name}}}")
            self.flaws.append(Flaw(path, f"there is no variable {quoted(name)}", hint))
            return ""
        if isinstance(value.value, list) and not alone:
            what = f"the variable {quoted(name)} is a list, which cannot stand inside a text"
            self.flaws.append(Flaw(path, what, f"write ${{var.{name}}} alone, without anything around it"))
            return ""
        self.used[name] = None
        return list(value.value) if isinstance(value.value, list) else value.value


def mentions(document: Document) -> bool:
    """Whether there may be a variable in it: quick, and never wrong with no."""
    return any(sign in document.raw for sign in SIGNS)


def fill(value: Any, values: Mapping[str, Value], path: Path = ()) -> tuple[Any, tuple[Value, ...]]:
    """The value with its variables filled in, sharing nothing with it, and those that were used. Raises Unfilled."""
    filler = Filler(values, {}, [])
    filled = filler.filled(value, path)
    if filler.flaws:
        raise Unfilled(filler.flaws)
    return filled, tuple(values[name] for name in filler.used)


def behind(text: str, values: Mapping[str, Value]) -> Value | None:
    """The variable that a text is, where it is nothing else."""
    whole = WORD.fullmatch(text)
    return values.get(whole[2]) if whole and not whole[1] else None


def inside(text: str) -> Iterator[str]:
    """The names of the variables in a text."""
    return (found[2] for found in WORD.finditer(text) if not found[1])


def is_sealed(value: Mapping[str, Any]) -> bool:
    return "age" in value and value.keys() <= {"age", "hash"}


def spelled(value: Any) -> str:
    """A scalar inside a text."""
    return value if isinstance(value, str) else json.dumps(value)


# One environment: the document, what it says, and the path of its directory among the layers.
Declared = tuple[Document, Environment]


def told(environments: Iterable[Declared], last: Mapping[str, Value]) -> tuple[dict[str, Value], list[Problem]]:
    """What every variable is, bases first and the environment itself last, whose values go before those of its bases.

    Values of `last` that are written where they were then are the same objects again.
    """
    layers = list(environments)
    variables: dict[str, tuple[Variable, Document]] = {}
    values: dict[str, Value] = {}
    problems: list[Problem] = []
    for document, environment in layers:
        for name, variable in environment.variables.items():
            first = variables.get(name)
            path: Path = ("spec", "variables", name)
            if first is not None:
                what = f"the variable {quoted(name)} is declared twice: first at {locate(first[1], path, key=True)}"
                hint = "rename one; to say what it is here, write it under `values`"
                problems.append(Problem(locate(document, path, key=True), what, hint))
                continue
            variables[name] = variable, document
            if variable.default is not None:
                values[name] = _kept(name, (*path, "default"), document, last)
    for document, environment in layers:
        for name in environment.values:
            path = ("spec", "values", name)
            known = variables.get(name)
            if known is None:
                hint = did_you_mean(name, variables, f"there is {listing(variables)}" if variables else "declare it first")
                problems.append(Problem(locate(document, path, key=True), f"there is no variable {quoted(name)}", hint))
                continue
            value = _kept(name, path, document, last)
            wrong = known[0].wrong(value.value)
            if wrong:
                hint = f"it is declared at {locate(known[1], ('spec', 'variables', name), key=True)}"
                what = f"{quoted(name)} {wrong}{_instead(value.value)}"
                problems.append(Problem(locate(document, path), what, hint))
            values[name] = value
    own = layers[-1][0]
    for name, (_, document) in variables.items():
        if name not in values:
            where = locate(document, ("spec", "variables", name), key=True)
            hint = f"say what it is under `values` here; it is declared at {where}"
            problems.append(
                Problem(locate(own, ("spec", "values"), key=True), f"the variable {quoted(name)} has no value", hint)
            )
    return values, problems


def _kept(name: str, path: Path, document: Document, last: Mapping[str, Value]) -> Value:
    value: Any = document.value
    for part in path:
        value = value[part]
    old = last.get(name)
    return old if old is not None and old.document is document and old.path == path else Value(name, value, document, path)


def _instead(value: Any) -> str:
    return f", not {short(spelled(value), 60)!r}" if not isinstance(value, list) else ""


def source_at(document: Document, path: Path) -> Source:
    """A part of a document as a Source: its line, in the document's own blob."""
    where, source = locate(document, path), document.source
    return Source(where.file, where.line, source.start, source.end, source.blob)
