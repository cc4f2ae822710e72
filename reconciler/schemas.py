"""Writes schemas/ anew from the kinds: what `make schemas` runs."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from reconciler.core.kinds.export import schemas

DIRECTORY = Path(__file__).resolve().parent.parent / "schemas"


def written() -> dict[str, str]:
    """File name ⇒ the text it should have."""
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas().items()}


def write(directory: Path) -> None:
    """Make this directory hold exactly the schemas; what else is named *.json there goes."""
    directory.mkdir(exist_ok=True)
    texts = written()
    for file in directory.glob("*.json"):
        if file.name not in texts:
            file.unlink()
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    write(Path(arguments[0]) if arguments else DIRECTORY)


if __name__ == "__main__":
    main(sys.argv[1:])
