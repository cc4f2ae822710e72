"""Pages on screens of any width, whatever text is in them."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import show
from reconciler.core.show_layout import Fixed, Table, Text, cells, harmless, words


def test_nothing_drives_the_terminal() -> None:
    """Escapes, bells, other ends of lines and reversed text are written out; words of all languages stay."""
    assert harmless("a\x1b[2Jb\x07\u202eevil\u2028\x9b") == "a\\x1b[2Jb\\x07\\u202eevil\\u2028\\x9b"
    assert harmless("naïve 日本語 ☃ é") == "naïve 日本語 ☃ é"


@given(st.text(), st.sampled_from([None, 8, 20, 50, 80]))
def test_pages_hold_any_text(words_: str, width: int | None) -> None:
    """Whatever text a page holds, nothing that a terminal obeys comes out, and no letter is lost where lines are not cut."""
    page = (Text(words(words_), 2, 2), Table(("", "A", "B"), ((words("x"), words(words_), words(words_)),), 1))
    shown = show.plain(page, width)
    kept = "".join(c for c in harmless(words_) if not c.isspace())

    assert all(c == "\n" or c.isprintable() or unicodedata.category(c) == "Zs" for c in shown)
    assert kept in "".join(shown.split())


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Mn", "Me"])), st.integers(4, 60))
def test_fixed_lines_are_cut_to_the_width(words_: str, width: int) -> None:
    """A line of source text never grows beyond the screen."""
    (line,) = show.lay_out((Fixed(words(words_.replace("\n", " "))),), width)

    assert sum(cells(span.text) for span in line) <= width
