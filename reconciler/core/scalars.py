"""What a plain YAML scalar means under the core schema of YAML 1.2: null, a truth value, a number, or just text.

YAML 1.1, which PyYAML follows by itself, reads `no` as false and `12:30:45` as a number of seconds; people and the tools
that write these files do not. https://yaml.org/spec/1.2.2/#103-core-schema
"""

import math
import re

# What can begin a scalar that is not text. Everything else is spared the expressions below.
NOT_TEXT = frozenset("-+.0123456789~nNtTfF")
WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
DECIMAL = re.compile(r"[-+]?[0-9]+")
OCTAL = re.compile(r"0o[0-7]+")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
NOT_A_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# What JSON and protobuf can carry: int64 and uint64.
SMALLEST, LARGEST = -(1 << 63), (1 << 64) - 1
# No 64-bit number is written longer, save with zeros in front; Python itself takes quadratic time over long ones.
MOST_DIGITS = 64


class Unreadable(ValueError):
    """A scalar that is a number of a kind that is not accepted; says what, and how to mend it."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def meaning(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar; raises Unreadable for numbers that JSON cannot carry."""
    if text in WORDS:
        return WORDS[text]
    if DECIMAL.fullmatch(text):
        return whole(text, 10)
    if OCTAL.fullmatch(text):
        return whole(text, 8)
    if HEXADECIMAL.fullmatch(text):
        return whole(text, 16)
    if FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise Unreadable(f"{short(text)} is too large for a number", "put it in quotes if it is meant as text")
        return number
    if NOT_A_NUMBER.fullmatch(text):
        raise Unreadable(f"{text} is not a finite number", "write a number, or put it in quotes if it is meant as text")
    return text


def whole(text: str, base: int) -> int:
    digits = text.lstrip("-+") if base == 10 else text[2:]
    number = int(digits, base) if len(digits) <= MOST_DIGITS else LARGEST + 1
    if text.startswith("-"):
        number = -number
    if not SMALLEST <= number <= LARGEST:
        raise Unreadable(f"{short(text)} does not fit into 64 bits", "put it in quotes if it is meant as text")
    return number


def short(text: str, most: int = 40) -> str:
    """Text as it may stand in a message: one line, nothing invisible, not too long."""
    shown = text if len(text) <= most else text[: most - 1] + "…"
    return shown if shown.isprintable() else repr(shown)[1:-1]
