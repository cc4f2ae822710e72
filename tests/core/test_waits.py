"""What documents ask about order: needs and hooks, and each mistake at its line."""

import pytest

from reconciler.core.model import Ref
from reconciler.core.validate import Memo, validate
from tests.core.checked import check, documents, problems


def one(name: str, metadata: str = "", spec: str = "{command: [x]}", kind: str = "Container") -> str:
    """Four lines, what is said of its order on the third."""
    return f"apiVersion: convoy/v1\nkind: {kind}\nmetadata: {{name: {name}{metadata}}}\nspec: {spec}\n---\n"


def test_needs_are_of_the_same_tenant() -> None:
    """`Kind/name` is what its own tenant has under that name."""
    files = {"tenants/t/f.yaml": one("a", ", needs: [Container/b]") + one("b"), "f.yaml": one("b")}
    found = check(files)
    assert not found.problems
    assert found.resources[Ref("Container", "a", "t")].needs == (Ref("Container", "b", "t"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (one("a", ", needs: [Container/bee]") + one("beer"), "there is no Container/bee (did you mean 'beer'?)"),
        (one("a", ", needs: [Host/h]"), "(name an Application, a Container, a Proxy or a ProxyGroup of the same tenant"),
        (one("a", ", needs: [Container/b, Container/b]") + one("b"), "3:42: Container/b is there twice (remove one)"),
        (
            one("h", ", needs: [Container/b]", "{}", "Host") + one("b"),
            "nothing runs because of a Host, so nothing of it can wait",
        ),
        (one("a", ", needs: [Container/m]") + one("m", ", hook: {when: after-sync}"), "Container/m is a hook, and nothing can"),
        (one("a", ", hook: {when: before-sync}", "{command: [x], restart: always}"), "a hook runs once: it is never restarted"),
        (one("a", ", hook: {when: before-sync}", "{command: [x], ports: [{}]}"), "4:22: a hook serves nobody: `ports` says"),
        (one("a", ", deletion: retain, hook: {when: before-sync}"), "a hook does not go on running: `deletion` says nothing"),
        (one("a", ", hook: {when: before-sync}", "{command: [x]}", "Application"), "Application cannot be a hook"),
        (one("a", ", hook: {when: sometimes}"), "before-sync"),
        (one("a", ", hook: {when: before-sync, only: [Robot/x]}"), "there is no kind 'Robot'"),
    ],
)
def test_each_mistake_is_a_problem(text: str, said: str) -> None:
    """Where, what, and how to mend it."""
    (found,) = problems(text)
    assert said in found


def test_a_circle_is_named_whole() -> None:
    """Once, with all that is in it, at the need that closes it; whoever only leads into it is not to blame."""
    text = one("into", ", needs: [Container/a]") + one("a", ", needs: [Container/b]") + one("b", ", needs: [Container/c]")
    text += one("c", ", needs: [Container/a]") + one("self", ", needs: [Container/self]")
    circles = {"18:29": "Container/a → Container/b → Container/c → Container/a", "23:32": "Container/self → Container/self"}
    said = "these wait for each other, so none would ever start"
    assert problems(text) == [
        f"f.yaml:{place}: {said}: {members} (remove one of these needs)" for place, members in circles.items()
    ]


def test_long_chains_cost_little() -> None:
    """Thousands that wait for each other in a row are read as quickly as without."""
    text = "".join(one(f"c{n}", f", needs: [Container/c{n + 1}]") for n in range(3000)) + one("c3000")
    assert problems(text) == []


def test_an_edit_of_needs_is_seen() -> None:
    """With what the last check remembers, a circle that one edit makes is found all the same."""
    memo = Memo()
    before = documents({"a.yaml": one("a"), "b.yaml": one("b", ", needs: [Container/a]")})
    assert not validate(before, memo).problems
    (edited,) = documents({"a.yaml": one("a", ", needs: [Container/b]")})
    assert len(validate([edited, before[1]], memo).problems) == 1
    (hook,) = documents({"a.yaml": one("a", ", hook: {when: before-sync}")})
    assert not validate(before, memo).problems
    assert "is a hook" in str(validate([hook, before[1]], memo).problems)
