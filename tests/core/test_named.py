"""Entries of lists are put in by their names, and those that are there already can be told."""

from typing import Any

import pytest

from reconciler.core.named import taken, upserted


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "y"}]}, {"a": [{"name": "x", "v": 1}, {"name": "y"}]}),
        (
            {"a": [{"name": "x", "v": 1}, {"name": "y"}]},
            {"a": [{"name": "x", "w": 2}]},
            {"a": [{"name": "x", "w": 2}, {"name": "y"}]},
        ),
        ({}, {"a": [{"name": "x"}]}, {"a": [{"name": "x"}]}),
        ({"a": []}, {"a": [{"name": "x"}]}, {"a": [{"name": "x"}]}),
        ({"a": [{"name": "x"}]}, {"a": []}, {"a": [{"name": "x"}]}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": [{"name": "x"}, {"name": "x"}]}, {"a": [{"name": "y"}]}, {"a": [{"name": "y"}]}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": 1}, {"a": {"b": [{"name": "x"}], "c": None}}, {"a": {"b": [{"name": "x"}]}}),
    ],
)
def test_entries_are_put_in_by_their_names(before: Any, patch: Any, after: Any) -> None:
    """Where both lists have names; anything else is a merge patch."""
    assert upserted(before, patch) == after


def test_names_that_are_taken_are_told() -> None:
    """With the list they are in; what is no list of names takes none."""
    before = {"spec": {"a": [{"name": "x"}, {"name": "y"}], "b": [1]}}
    patch = {"spec": {"a": [{"name": "y"}, {"name": "z"}], "b": [1], "c": [{"name": "x"}]}}
    assert list(taken(before, patch)) == [(("spec", "a"), "y")]
