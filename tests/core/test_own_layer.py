"""A change to what bases say becomes one more patch in the environment's own file, and nothing else of that file changes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.own_layer import NotWritten, patch_between, with_patch
from reconciler.core.patches import copied, merged, operated
from reconciler.core.variables import fill

HEAD = "# of the shop\napiVersion: convoy/v1\nkind: Environment\nmetadata: {name: p} # name\nspec:\n"
PATCH: dict[str, Any] = {"target": {"kind": "Container", "name": "web"}, "merge": {"spec": {"command": ["a"]}}}
LINES = "- target:\n    kind: Container\n    name: web\n  merge:\n    spec:\n      command:\n      - a\n"


def indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("before", "after", "indent", "key"),
    [
        (HEAD + "  bases: [b]\n", "", 4, "  patches:\n"),
        (HEAD + "  bases:\n    - b # base\n", "# the end\n", 4, "  patches:\n"),
        (HEAD + "  bases: [b]", "", 4, "\n  patches:\n"),
        (HEAD + "  patches:\n    # first\n    - target: {name: x}\n      delete: true # gone\n", "  labels: {a: b}\n", 4, ""),
        (HEAD + "  patches:\n  - target: {name: x}\n    merge: {}\n", "\n  # values\n  values: {}\n", 2, ""),
        (
            HEAD + "  patches:\n  - target: {name: x}\n    merge:\n      spec:\n        text: |\n          a\n          b\n",
            "",
            2,
            "",
        ),
        (HEAD + "  patches:\n  - target: {name: x}\n    merge: {\n      a: b\n    }\n", "---\nkind: Host\n", 2, ""),
    ],
)
def test_the_patch_comes_behind_all_others(before: str, after: str, indent: int, key: str) -> None:
    """Every other byte stays, comments and order with them."""
    text = with_patch((before + after).encode(), PATCH, "why").decode()
    assert text == before + key + f"{' ' * indent}# why\n" + indented(LINES, indent) + after


@pytest.mark.parametrize(
    "text",
    [
        HEAD.replace("spec:\n", "spec: {bases: [b]}\n"),
        HEAD + "  patches: []\n",
        HEAD + "  patches: [{target: {name: x}, delete: true}]\n",
        "kind: Host\n",
        HEAD + "  bases: [\n",
    ],
)
def test_where_there_is_no_room_for_lines_nothing_is_written(text: str) -> None:
    """Braces and brackets are somebody's style: the message says what to write instead."""
    with pytest.raises(NotWritten):
        with_patch(text.encode(), PATCH)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "${var.x}", "$${var.x}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(DOCUMENTS, DOCUMENTS)
@settings(max_examples=300, deadline=None)
def test_the_patch_makes_the_one_of_the_other(now: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Whatever the two say, nulls and the signs of variables included; and written into a file it is read as the same."""
    patch = patch_between(now, wanted)
    text = with_patch((HEAD + "  bases: [b]\n").encode(), {"target": {"name": "web"}, **patch})
    assert text.startswith(HEAD.encode())
    content, used = fill(patch.get("merge", patch.get("json")), {})
    assert used == ()
    copy = copied(now)
    assert (merged(copy, content) if "merge" in patch else operated(copy, content)) == wanted
