"""Lays out pages of text and tables for a width, without knowing any terminal: what comes out are lines of styled words."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Style = Literal["", "strong", "dim", "good", "wait", "bad", "add", "change", "remove", "name"]

GAP = "  "
# How much of what follows its focus a fixed line shows at least.
FOCUS_ROOM = 8
# Under this a wrapped column is a ragged strip of words: the table is written row by row instead.
NARROWEST_COLUMN = 24


@dataclass(frozen=True, slots=True)
class Span:
    """Words in one style. What a terminal would obey, or show in another order, is written out instead."""

    text: str
    style: Style = ""


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph: wrapped where the width is known, its later lines `hang` further in than its first."""

    spans: Line
    indent: int = 0
    hang: int = 0


@dataclass(frozen=True, slots=True)
class Fixed:
    """A line whose columns mean something (source text): cut where it is too long, never wrapped.

    Lines with the same `margin` width and `focus` are cut alike, so that column `focus` (from 0) of all of them is seen.
    """

    spans: Line
    indent: int = 0
    margin: Line = ()
    focus: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells. All columns are as wide as their widest cell, and as `least` says where several tables are to look like
    one; the last is wrapped where there is no room."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Line, ...], ...]
    indent: int = 0
    least: tuple[int, ...] = ()


Block = Text | Fixed | Table
Page = tuple[Block, ...]
BLANK = Text(())


def words(text: str, style: Style = "") -> Line:
    return (Span(text, style),)


def text(*parts: str | Span, indent: int = 0, hang: int = 0) -> Text:
    return Text(tuple(part if isinstance(part, Span) else Span(part) for part in parts), indent, hang)


def harmless(text: str) -> str:
    """Control and direction characters written out, so that no name or message can drive the terminal or reorder a line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in " \n" or _shown(c) else c.encode("unicode_escape").decode() for c in text)


def _shown(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def cells(text: str) -> int:
    """How many columns of a terminal this text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def lay_out(page: Iterable[Block], width: int | None) -> list[Line]:
    """The lines to print. `width` None: nobody sees a screen, so nothing is wrapped or cut and every record keeps its line."""
    lines: list[Line] = []
    for block in page:
        if isinstance(block, Table):
            lines += _table(block, width)
        elif isinstance(block, Fixed):
            lines.append(_fixed(block, width))
        else:
            lines += _paragraph(block, width)
    return lines


def plain(page: Iterable[Block], width: int | None = None) -> str:
    """The page as text without styles."""
    return "".join("".join(span.text for span in line).rstrip() + "\n" for line in lay_out(page, width))


def _paragraph(block: Text, width: int | None) -> Iterator[Line]:
    further = block.indent + block.hang
    indent = block.indent

    def room(at: int) -> int | None:
        return None if width is None else max(width - at, 8)

    for part in _split_lines(_clean(block.spans)):
        for line in _wrap(part, room(indent), room(further)):
            yield _indented(line, indent)
            indent = further


def _table(table: Table, width: int | None) -> list[Line]:
    if not table.rows:
        return []
    # A cell is one line: what has several is joined, so that a record is a row.
    rows = [tuple(_one_line(_clean(cell)) for cell in row) for row in table.rows]
    least = (*table.least, *[0] * (len(table.heads) - len(table.least)))
    used = [i for i, head in enumerate(table.heads) if head or least[i] or any(line_cells(row[i]) for row in rows)]
    if len(used) < len(table.heads):
        heads, kept_least = tuple(table.heads[i] for i in used), tuple(least[i] for i in used)
        kept = tuple(tuple(row[i] for i in used) for row in rows)
        return _table(Table(heads, kept, table.indent, kept_least), width) if used else []
    last = len(table.heads) - 1
    widths = [max(least[i], cells(table.heads[i]), *(line_cells(row[i]) for row in rows)) for i in range(last + 1)]
    before = table.indent + sum(widths[:last]) + len(GAP) * last
    if width is not None and before + widths[last] > width and width - before < min(NARROWEST_COLUMN, widths[last]):
        return [line for row in rows for line in _stacked(table, row, width)]
    lines: list[Line] = []
    if any(table.heads):
        titles = [Span(head.ljust(widths[i]) if i < last else head, "dim") for i, head in enumerate(table.heads)]
        lines.append(_indented(_joined([(title,) for title in titles]), table.indent))
    for row in rows:
        padded = [(*cell, Span(" " * (widths[i] - line_cells(cell)))) for i, cell in enumerate(row[:last])]
        wrapped = list(_wrap(row[last], None if width is None else width - before, None if width is None else width - before))
        lines.append(_indented(_joined([*padded, wrapped[0]]), table.indent))
        lines += [_indented(line, before) for line in wrapped[1:]]
    return lines


def _stacked(table: Table, row: Sequence[Line], width: int) -> Iterator[Line]:
    """A row as a paragraph: its first two cells, then the rest beneath them."""
    yield from _paragraph(Text(_joined([cell for cell in row[:2] if line_cells(cell)]), table.indent, 4), width)
    # A bare number says nothing without its column's head.
    bare = ["".join(span.text for span in cell).isdigit() for cell in row]
    heads = [f"{head.lower()} " if number else "" for head, number in zip(table.heads, bare, strict=True)]
    rest = [(Span(head, "dim"), *cell) for head, cell in zip(heads[2:], row[2:], strict=True) if line_cells(cell)]
    if rest:
        yield from _paragraph(Text(_joined(rest), table.indent + 4), width)


def _joined(parts: Sequence[Line]) -> Line:
    line: list[Span] = []
    for i, part in enumerate(parts):
        line += [Span(GAP), *part] if i else part
    return tuple(line)


def _indented(line: Line, indent: int) -> Line:
    return (Span(" " * indent), *line) if indent and line else line


def _clean(spans: Line) -> Line:
    return tuple(Span(harmless(span.text), span.style) for span in spans)


def _one_line(spans: Line) -> Line:
    return tuple(Span(" ".join(span.text.split("\n")), span.style) for span in spans)


def line_cells(line: Line) -> int:
    return sum(cells(span.text) for span in line)


def _split_lines(spans: Line) -> Iterator[Line]:
    line: list[Span] = []
    for span in spans:
        first, *others = span.text.split("\n")
        line.append(Span(first, span.style))
        for other in others:
            yield tuple(line)
            line = [Span(other, span.style)]
    yield tuple(line)


def _fixed(block: Fixed, width: int | None) -> Line:
    spans, margin = _clean(block.spans), _clean(block.margin)
    if width is not None:
        room = max(width - block.indent - line_cells(margin), 1)
        if block.focus >= room - FOCUS_ROOM:
            spans = _without_start(spans, block.focus - room // 2)
        spans = _cut(spans, room)
    return _indented((*margin, *spans), block.indent)


def _without_start(spans: Line, columns: int) -> Line:
    """What stands after this many columns; a mark in their place."""
    kept: list[Span] = [Span("…", "dim")]
    left = columns + 1
    for span in spans:
        at = 0
        while left > 0 and at < len(span.text):
            left -= cells(span.text[at])
            at += 1
        # Half of a wide letter was cut: what follows must not move.
        kept.append(Span(" " * -left + span.text[at:], span.style))
        left = max(left, 0)
    return tuple(kept)


def _cut(spans: Line, width: int | None) -> Line:
    if width is None or line_cells(spans) <= width:
        return spans
    line: list[Span] = []
    left = width - 1
    for span in spans:
        kept = ""
        for char in span.text:
            left -= cells(char)
            if left < 0:
                return (*line, Span(kept, span.style), Span("…", "dim"))
            kept += char
        line.append(Span(kept, span.style))
    return tuple(line)


def _wrap(spans: Line, first: int | None, further: int | None) -> Iterator[Line]:
    """Break between words; a word that is longer than a line (a path, a URL) is left whole, so that it can be copied."""
    if first is None or further is None or line_cells(spans) <= first:
        yield spans
        return
    line: list[Span] = []
    used, room = 0, first
    for span in spans:
        for i, word in enumerate(_pieces(span.text)):
            size = cells(word)
            # Only after a space may a line end: spans that touch are one word.
            if used and used + size > room and (i or _ends_in_space(line)):
                yield _trimmed(line)
                line, used, room = [], 0, further
                word = word.lstrip(" ")
                size = cells(word)
            if word:
                line.append(Span(word, span.style))
                used += size
    if line:
        yield _trimmed(line)


def _pieces(text: str) -> list[str]:
    """Words, each with the spaces that follow it taken apart as a piece of their own."""
    pieces: list[str] = []
    for char in text:
        if pieces and (char == " ") == (pieces[-1][-1] == " "):
            pieces[-1] += char
        else:
            pieces.append(char)
    return pieces


def _ends_in_space(line: Sequence[Span]) -> bool:
    return bool(line) and line[-1].text.endswith(" ")


def _trimmed(line: Sequence[Span]) -> Line:
    kept = list(line)
    while kept and not kept[-1].text.rstrip(" "):
        kept.pop()
    if kept:
        kept[-1] = Span(kept[-1].text.rstrip(" "), kept[-1].style)
    return tuple(kept)
