"""Says in a person's words what libyaml means when it cannot read on."""

from reconciler.core.scalars import short

NO_TAGS = ("tags are not accepted", "leave it out, or put text that begins with `!` in quotes")
BAD_ANCHOR = ("an anchor is named by letters, digits, `-` and `_`", "put text that begins with `&` or `*` in quotes")
OPEN_QUOTE = ("a quote is not closed before the document ends", "close it")
NO_CHARACTER = ("this escape stands for no character", "write the character itself")
# A part of libyaml's words ⇒ what is wrong, how to mend it.
MEANINGS = {
    "mapping values are not allowed": (
        "a `:` does not fit here",
        "indent like the line above, or put text with `: ` in quotes",
    ),
    "could not find expected ':'": (
        "this line has no `:` after its key",
        "write `key: value`, and indent text of several lines",
    ),
    "did not find expected key": ("this does not fit what is above it", "indent all keys of one mapping alike"),
    "did not find expected '-' indicator": (
        "this does not fit the list above it",
        "begin every entry with `- `, indented alike",
    ),
    "block sequence entries are not allowed": ("a list cannot begin here", "begin it on a line of its own"),
    "expected ',' or ']'": (
        "a list in brackets lacks `,` or `]`",
        "close the bracket, or put text that begins with `[` in quotes",
    ),
    "expected ',' or '}'": (
        "a mapping in braces lacks `,` or `}`",
        "close the brace, or put text that begins with `{` in quotes",
    ),
    "expected <document start>": ("this does not belong to what is above it", "begin another document with a line `---`"),
    "expected node content": ("a value is missing here", "write one, or remove what is before it"),
    "cannot start any token": ("no value can begin with this character", "put text in quotes; indent by spaces, not by tabs"),
    "tab character": ("a tab where only spaces may indent", "indent by spaces"),
    "unexpected end of stream": OPEN_QUOTE,
    "unexpected document indicator": OPEN_QUOTE,
    "unknown escape character": ("no such escape in double quotes", "write `\\\\` for a backslash, or use single quotes"),
    "invalid Unicode character escape": NO_CHARACTER,
    "expected hexdecimal number": NO_CHARACTER,
    "undefined tag handle": NO_TAGS,
    "while scanning a tag": NO_TAGS,
    "while parsing a tag": NO_TAGS,
    "while scanning an anchor": BAD_ANCHOR,
    "while scanning an alias": BAD_ANCHOR,
    "while scanning a block scalar": ("this cannot follow `|` or `>`", "begin the text on the next line, indented"),
    "while scanning a directive": ("a line that begins with `%` is not accepted here", "put text in quotes"),
}


def syntax_trouble(context: str, problem: str, deepest: int) -> tuple[str, str]:
    """(what is wrong, how to mend it) for an error of libyaml."""
    words = f"{context}, {problem}" if context else problem
    if "exceeded max" in words:
        return f"is more than {deepest} levels deep", "nest less"
    for part, meaning in MEANINGS.items():
        if part in words:
            return meaning
    return f"is not YAML: {short(words, 200)}", "see the lines around it: quotes, brackets and indentation"
