"""Pages as JSON, so that one Convoy words a plan and another's terminal lays it out."""

from typing import Any, get_args

from reconciler.core.show_layout import Block, Fixed, Line, Page, Span, Style, Table, Text

STYLES = frozenset(get_args(Style))
# Nobody reads more of a page; a row has as many spans as it has words in different colours.
MOST_BLOCKS, MOST_ROWS, MOST_COLUMNS, MOST_SPANS = 200_000, 200_000, 20, 10_000
WIDEST = 1000


class PageError(Exception):
    """This is no page."""


def page_json(page: Page) -> list[dict[str, Any]]:
    return [_block_json(block) for block in page]


def _block_json(block: Block) -> dict[str, Any]:
    if isinstance(block, Table):
        rows = [[_line_json(cell) for cell in row] for row in block.rows]
        return {"table": rows, "heads": list(block.heads), "indent": block.indent, "least": list(block.least)}
    if isinstance(block, Fixed):
        margin = _line_json(block.margin)
        return {"fixed": _line_json(block.spans), "indent": block.indent, "margin": margin, "focus": block.focus}
    return {"text": _line_json(block.spans), "indent": block.indent, "hang": block.hang}


def _line_json(line: Line) -> list[list[str]]:
    return [[span.text, span.style] if span.style else [span.text] for span in line]


def read_page(said: object) -> Page:
    """Raises PageError. Laying it out takes care of what the words hold."""
    return tuple(_block(one) for one in _list(said, MOST_BLOCKS))


def _block(said: object) -> Block:
    if not isinstance(said, dict):
        raise PageError
    indent = _width(said.get("indent", 0))
    if "table" in said:
        heads = tuple(_words(head) for head in _list(said.get("heads"), MOST_COLUMNS))
        rows = tuple(tuple(_line(cell) for cell in _list(row, MOST_COLUMNS)) for row in _list(said["table"], MOST_ROWS))
        least = tuple(_width(one) for one in _list(said.get("least", []), MOST_COLUMNS))
        if not heads or any(len(row) != len(heads) for row in rows) or len(least) > len(heads):
            raise PageError
        return Table(heads, rows, indent, least)
    if "fixed" in said:
        return Fixed(_line(said["fixed"]), indent, _line(said.get("margin", [])), _width(said.get("focus", 0)))
    return Text(_line(said.get("text")), indent, _width(said.get("hang", 0)))


def _line(said: object) -> Line:
    return tuple(_span(one) for one in _list(said, MOST_SPANS))


def _span(said: object) -> Span:
    text, *style = _list(said, 2) or [None]
    # A style that a newer Convoy knows is left out; the words say the same.
    return Span(_words(text), style[0] if style and isinstance(style[0], str) and style[0] in STYLES else "")  # type: ignore[arg-type]  # it is one


def _list(said: object, most: int) -> list[Any]:
    if not isinstance(said, list) or len(said) > most:
        raise PageError
    return said


def _words(said: object) -> str:
    if not isinstance(said, str):
        raise PageError
    return said


def _width(said: object) -> int:
    if not isinstance(said, int) or not 0 <= said <= WIDEST:
        raise PageError
    return said
