"""A variable's value fits what is declared of it, whoever gives it; what does not is told at its line."""

import pytest

from tests.layered import shop


@pytest.mark.parametrize(
    ("declared", "value", "said"),
    [
        ("{type: integer}", "2.5", "must be a whole number, not '2.5'"),
        ("{type: integer}", "true", "must be a whole number, not 'true'"),
        ("{type: number, minimum: 0.5}", "0.25", "must be at least 0.5, not '0.25'"),
        ("{type: integer, maximum: 9}", "10", "must be at most 9, not '10'"),
        ("{type: boolean}", "1", "must be true or false, not '1'"),
        ("{type: string}", "5", "must be text, not '5'"),
        ("{enum: [quiet, verbose]}", "loud", "must be one of quiet, verbose, not 'loud'"),
        ("{type: list}", "a", "must be a list of texts, not 'a'"),
        ("{type: list}", "[a, 5]", "its entries: each must be text"),
        ("{type: list, of: integer, maximum: 9}", "[1, 10]", "its entries: each must be at most 9"),
        ("{type: list, enum: [a, b]}", "[a, c]", "its entries: each must be one of a, b"),
    ],
)
def test_a_value_that_does_not_fit(declared: str, value: str, said: str) -> None:
    """Given by an environment, or as a default in the base itself: one Problem, and it points at the value."""
    (given,) = shop(f"  values: {{v: {value}}}\n", f"  variables: {{v: {declared}}}\n").problems()
    assert given == (
        f"environments/production/environment.yaml:6:15: 'v' {said} | it is declared at bases/shop/environment.yaml:5:15"
    )
    default = declared.removesuffix("}") + f", default: {value}}}"
    (wrong,) = shop("", f"  variables: {{v: {default}}}\n").problems()
    assert wrong.startswith("bases/shop/environment.yaml:5:")
    assert said.partition(", not ")[0] in wrong


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("{type: number}", "5"),
        ("{type: integer, minimum: 1, maximum: 1}", "1"),
        ("{enum: [quiet, verbose]}", "quiet"),
        ("{type: list, of: boolean}", "[true, false]"),
        ("{type: list, of: integer, minimum: 1}", "[]"),
    ],
)
def test_a_value_that_fits(declared: str, value: str) -> None:
    """Bounds are inclusive, a whole number is a number, and a list may be empty."""
    assert shop(f"  values: {{v: {value}}}\n", f"  variables: {{v: {declared}}}\n").problems() == []


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("{type: integer, of: string}", "`of` is for lists, and this is a whole number"),
        ("{minimum: 1}", "`minimum` is for numbers"),
        ("{type: integer, enum: [1, x]}", "must be a whole number"),
    ],
)
def test_a_declaration_that_contradicts_itself(declared: str, said: str) -> None:
    """At its own line, whether anybody gives a value or not."""
    (wrong,) = shop("", f"  variables: {{v: {declared}}}\n").problems()
    assert wrong.startswith("bases/shop/environment.yaml:5:")
    assert said in wrong
