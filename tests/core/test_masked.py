"""What of a document is shown over the API, and that it stays what it is where it comes back as it was shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.masked import again, has_marks, shown, shown_again
from reconciler.core.patches import Unfit
from reconciler.core.values import CLEAR

SPEC: dict[str, Any] = {
    "command": ["run", "--password", "canary", "--db=postgres://me:canary@db/x", "--mode", "fast"],
    "environment": {"DB_PASSWORD": "canary", "DATABASE_URL": "postgres://me:canary@db/x", "MODE": "fast", "URL": "http://a/b"},
    "files": {"etc/app.conf": "mode = fast\npassword = canary\n", "etc/plain": "mode = fast\n"},
    "to": {"webhook": {"url": "https://hooks.example/canary"}},
    "headers": [{"key": "authorization", "value": "canary"}, {"key": "x-mode", "value": "fast"}],
}
SHOWN: dict[str, Any] = {
    "command": ["run", "--password", CLEAR, "--db=postgres://***@db/x", "--mode", "fast"],
    "environment": {"DB_PASSWORD": CLEAR, "DATABASE_URL": "postgres://***@db/x", "MODE": "fast", "URL": "http://a/b"},
    "files": {"etc/app.conf": "mode = fast\npassword = ***\n", "etc/plain": "mode = fast\n"},
    "to": {"webhook": {"url": "https://hooks.example/(hidden)"}},
    "headers": [{"key": "authorization", "value": CLEAR}, {"key": "x-mode", "value": "fast"}],
}


def test_what_looks_like_a_secret_is_not_shown() -> None:
    """As in plans: by its name, by its shape, and within a text; what does not, is shown as it is declared."""
    assert shown({"spec": SPEC}) == {"spec": SHOWN}


def test_of_variables_and_files_nothing_may_be_shown() -> None:
    """For what is kept: the audit."""
    kept = shown(SPEC, variables=False)
    assert set(kept["environment"].values()) | set(kept["files"].values()) == {CLEAR}


def test_it_comes_back_as_it_was_shown() -> None:
    """And is what it was; also beside what was changed, and where entries have moved that have names."""
    assert shown_again(SHOWN, SPEC) == SPEC
    changed = {**SHOWN, "environment": {**SHOWN["environment"], "MODE": "slow"}}
    assert shown_again(changed, SPEC) == {**SPEC, "environment": {**SPEC["environment"], "MODE": "slow"}}
    faster = {"command": ["walk", *SHOWN["command"][1:4], "--fast"]}
    assert shown_again(faster, SPEC) == {"command": ["walk", *SPEC["command"][1:4], "--fast"]}
    named = [{"name": "a", "token": "one"}, {"name": "b", "token": "two"}]
    assert shown_again(shown(named)[::-1], named) == named[::-1]
    assert shown_again({**SPEC, "more": [{"x": "y"}]}, SPEC) == {**SPEC, "more": [{"x": "y"}]}
    # What is new may say what it likes.
    assert shown_again({"environment": {"X": "a***b"}}, SPEC) == {"environment": {"X": "a***b"}}


@pytest.mark.parametrize(
    "sent",
    [
        {"environment": {"MODE": CLEAR}},
        {"environment": {"DATABASE_URL": "postgres://***@other/x"}},
        {"files": {"etc/app.conf": "mode = slow\npassword = ***\n"}},
        {"to": {"webhook": {"url": "https://other.example/(hidden)"}}},
        {"command": ["run", CLEAR]},
        # Moved, or under another name: nobody knows any more what it stood for.
        {"command": ["run", "--db=postgres://***@db/x"]},
        {"environment": {"DATABASE": "postgres://***@db/x"}},
        {"files": {"etc/other.conf": "mode = fast\npassword = ***\n"}},
        {"command": ["run", "--colour", CLEAR]},
        {"headers": [{"key": "x-mode", "value": CLEAR}]},
        {"headers": [{"name": "x-mode", "key": "authorization", "value": CLEAR}]},
    ],
)
def test_words_for_what_is_hidden_stand_for_nothing_else(sent: dict[str, Any]) -> None:
    """Put where nothing was hidden, or with something changed around them, they would become the value."""
    with pytest.raises(Unfit, match=r"hidden|shown"):
        shown_again(sent, SPEC)


TEXTS_SEEN = st.sampled_from(
    ["fast", "--password", "canary", "a***b", "x=***", "token=canary", "https://h/canary", "https://h/(hidden)", CLEAR]
)
KEYS_SEEN = st.sampled_from(["name", "key", "value", "password", "command", "environment", "webhook", "url", "to"])
DOCUMENTS = st.recursive(
    TEXTS_SEEN | st.integers(0, 2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS_SEEN, inner, max_size=3),
    max_leaves=12,
)


@given(DOCUMENTS, DOCUMENTS)
def test_where_nothing_is_marked_as_hidden_nothing_is_put_in_its_place(value: Any, before: Any) -> None:
    """What comes without any of the words for what is hidden stays as it came, whatever was there before."""
    if not has_marks(value):
        assert again(value, before, shown(before), ()) == value
