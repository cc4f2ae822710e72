"""Documents written in a test, and what checking them finds."""

from collections.abc import Mapping
from typing import Any

from reconciler.core.parse import Document, parse
from reconciler.core.validate import Validated, validate


def documents(files: Mapping[str, str]) -> list[Document]:
    found: list[Document] = []
    for file, text in files.items():
        parsed = parse(file, f"blob of {text}", text.encode())
        assert not parsed.problems
        found += parsed.documents
    return found


def check(files: Mapping[str, str] | str, **about: Any) -> Validated:
    return validate(documents({"f.yaml": files} if isinstance(files, str) else files), **about)


def problems(files: Mapping[str, str] | str, **about: Any) -> list[str]:
    return [str(problem) for problem in check(files, **about).problems]


def document(kind: str, name: str, spec: str = "{}") -> str:
    """Four lines; a spec on one line begins at column 7 of the last."""
    return f"apiVersion: convoy/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
