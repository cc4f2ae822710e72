"""A document's text with other values: read again it says just that, and what does not differ keeps every byte."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.as_yaml import as_yaml
from reconciler.core.parse import parse
from reconciler.core.rewrite import rewritten, says

TEXT = """\
# On top of it all
apiVersion: convoy/v1
kind: Application   # an app
metadata:
  name: web
  labels: {team: a, tier: "b"}  # in one line
spec:
  replicas: 2   # how many
  command: [python3, -m, x]
  # about the ports
  ports:
    # the first
    - name: http
      port: 8080   # fixed
    - name: admin   # the second

  text: |
    a
    b
  environment:
    VERSION: "1"
    # below the version
    OTHER: x
"""
SPEC: dict[str, Any] = parse("", "", TEXT.encode()).documents[0].value["spec"]


def changed(spec: dict[str, Any], text: str = TEXT) -> str:
    before = parse("", "", text.encode()).documents[0].value
    after = {**before, "spec": spec}
    result = rewritten(text.encode(), before, after)
    assert parse("", "", result).documents[0].value == after
    return result.decode()


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        ({"replicas": 3}, "replicas: 2 ", "replicas: 3 "),
        ({"command": ["python3", "-m", "y"]}, "-m, x]", '-m, "y"]'),
        ({"command": ["python3", "-m", "x", "y"]}, "x]", 'x, "y"]'),
        ({"text": "one"}, "text: |\n    a\n    b\n", "text: one\n"),
        ({"text": "a\nc\n"}, "text: |\n    a\n    b\n", "text: |\n    a\n    c\n"),
        ({"environment": {"VERSION": "2", "OTHER": "x"}}, '"1"', '"2"'),
        ({"environment": {"OTHER": "x"}}, '    VERSION: "1"\n', ""),
        ({"environment": {"VERSION": "1", "OTHER": "x", "N": "no"}}, "OTHER: x\n", 'OTHER: x\n    N: "no"\n'),
        ({"ports": [{"name": "http"}, SPEC["ports"][1]]}, "      port: 8080   # fixed\n", ""),
        ({"ports": [SPEC["ports"][0]]}, "    - name: admin   # the second\n", ""),
        ({"ports": [*SPEC["ports"], {"name": "z"}]}, "# the second\n", "# the second\n    - name: z\n"),
        ({"ports": [{"port": 8080}, SPEC["ports"][1]]}, "- name: http\n      port", "- port"),
    ],
)
def test_only_what_differs(change: dict[str, Any], old: str, new: str) -> None:
    """Each change is one piece of text; comments, order, quotes and blank lines stay."""
    assert changed({**SPEC, **change}).replace("'no'", '"no"') == TEXT.replace(old, new)


def test_line_ends_and_what_is_shared() -> None:
    """Windows' line ends stay; an anchor that another place shares is left to that place."""
    assert changed({**SPEC, "replicas": 3}, TEXT.replace("\n", "\r\n")) == TEXT.replace("\n", "\r\n").replace("s: 2", "s: 3")
    text = "kind: X # kept\nspec:\n  a: &shared {x: 1}\n  b: *shared\n  c: 1\n"
    assert changed({"a": {"x": 1}, "b": {"x": 1}, "c": 2}, text) == text.replace("c: 1", "c: 2")
    assert "&shared {x: 1}" in changed({"a": {"x": 1}, "b": {"x": 2}, "c": 1}, text)


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["no", "on", "12:30:45", "0755", "1e3", "~", "null", "a: b", "# no comment", "- x", "x\ny\n", "", " ", "<<", "="]
    ),
)
SCALARS = st.one_of(
    WORDS, st.integers(-(2**53), 2**53), st.booleans(), st.none(), st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)), max_leaves=12
)
DOCUMENTS = st.dictionaries(WORDS, VALUES, min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, DOCUMENTS, st.booleans())
def test_whatever_is_wanted_is_read_again(before: dict[str, Any], after: dict[str, Any], mixed: bool) -> None:
    """read(edit(x)) == x, for documents of any shape."""
    text = as_yaml(before).encode()
    wanted = {**copy.deepcopy(before), **after} if mixed else after
    known = parse("", "", text).documents
    if not known or known[0].value != before or not says(as_yaml(wanted).encode(), wanted):
        return  # What no document can hold.
    assert says(rewritten(text, before, wanted), wanted)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["replicas", "command", "ports", "text", "environment", "new"]), VALUES), max_size=3))
def test_a_hand_written_document_keeps_what_is_not_named(changes: list[tuple[str, Any]]) -> None:
    """Whatever becomes of some fields of the spec, what stands above it is as it was."""
    spec = {**copy.deepcopy(SPEC), **dict(changes)}
    if says(as_yaml({"spec": spec}).encode(), {"spec": spec}):
        result = changed(spec)
        assert result.startswith(TEXT.partition("spec:")[0] + "spec:")
