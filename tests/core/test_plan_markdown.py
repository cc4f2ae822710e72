"""A plan for a pull request fits its limit, is never cut inside, gives the forge no orders, and tells the worst first."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.core import show
from reconciler.core.edits import Edit
from reconciler.core.fields import Fields, differences
from reconciler.core.kinds.spec import Run
from reconciler.core.model import XDS, Action, Held, Plan, Ref, Want, Where
from reconciler.core.show_plan_markdown import LEAST, LIMIT
from tests.core.golden import AFTER, BEFORE

HOSTILE = (
    "</details><script>alert(1)</script> `@all` ``` #1 [x](javascript:1) | \\ \x1b[31m\u202e <!-- https://evil.example\n\n# h"
)
WORDS = st.text(max_size=60) | st.just(HOSTILE) | st.just("x" * 3000) | st.just("`" * 50)
RUN = Run(command=("serve",))


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, show.Background]:
    actions: list[Action] = []
    held: list[Held] = []
    edits: list[Edit] = []
    for i in range(draw(st.integers(0, 25))):
        ref, owner = Ref("Container", f"c{i}"), Ref("Application", f"a{i % 5}")
        host, reason = draw(WORDS), draw(WORDS)
        kind = draw(st.sampled_from(["create", "update", "restart", "delete", "replace", "held", "tell"]))
        want = Want(ref, "u", "i", "l", RUN, owner)
        if kind in ("create", "replace"):
            actions.append(Action("create", ref, "i", host, want, reason))
        if kind in ("update", "restart"):
            actions.append(Action("update", ref, "i", host, want, reason, restarts=kind == "restart"))
        if kind in ("delete", "replace"):
            actions.append(Action("delete", ref, "old", host, None, reason))
        if kind == "held":
            held.append(Held(ref, reason, None, "i", "create", draw(WORDS)))
        if kind == "tell":
            actions.append(Action("update", Ref("ProxyGroup", f"g{i}"), "v", XDS, {draw(WORDS): AFTER}, reason))
    for i in range(draw(st.integers(0, 8))):
        before, after = ({"spec": {draw(WORDS): draw(WORDS), "l": [draw(WORDS)]}} for _ in range(2))
        fields = differences(before, after) if draw(st.booleans()) else Fields()
        edits.append(Edit(Ref("Application", f"a{i}"), "changed", Where(draw(WORDS), 3), fields))
    background = show.Background(edits=tuple(edits), selected=draw(st.just("") | WORDS), before=draw(st.just("") | WORDS))
    return Plan(draw(WORDS), tuple(actions), tuple(held), None, {Ref("Container", "left"): draw(WORDS)}), background


class Tags(HTMLParser):
    """Which tags are opened and closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


OURS = {"p", "code", "details", "summary", "strong", "em", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}


@given(plans(), st.integers(LEAST, 12_000))
def test_whatever_is_planned(case: tuple[Plan, show.Background], limit: int) -> None:
    """It keeps to the limit; read as a forge reads it, every fold is whole, and there is no tag but ours, nor any link."""
    planned, background = case
    text = show.plan_markdown(planned, {"edge-1": BEFORE}, background, limit=limit)

    assert len(text) <= limit
    html = MarkdownIt("commonmark").enable("table").render(text)
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert tags.seen <= OURS
    assert not re.search(r"(?<![\w`])@\w", re.sub(r"<code>.*?</code>", "", html, flags=re.DOTALL))


def test_the_most_dangerous_come_first_and_what_does_not_fit_is_counted() -> None:
    """Of thousands of creates and one delete the delete is shown."""
    creates = [Action("create", Ref("Container", f"a{i:04}"), "i", "h", None, "missing") for i in range(3000)]
    delete = Action("delete", Ref("Container", "z"), "i", "h", None, "no longer declared")
    planned = Plan("r", (*creates, delete), (Held(Ref("Container", "w"), "waits", None, "", "create", "go"),))
    text = show.plan_markdown(planned, limit=10_000)

    assert len(text) <= 10_000
    assert text.index("Container/z") < text.index("Container/a0000")
    shown = len(re.findall("Container/a", text))
    assert f"{3000 - shown:,} × create, 1 × held" in text
    assert text.startswith("**3,000 to create, 1 to delete, 1 held**")


def test_alike_replicas_are_one_piece() -> None:
    """Forty replaced replicas are one line with their number's names, and what was changed is told once."""
    owner = Ref("Application", "web")
    refs = [Ref("Container", f"web-{i}") for i in range(40)]
    actions = [
        Action("create", ref, "i", f"h{i % 3}", Want(ref, "u", "i", "l", RUN, owner), "missing") for i, ref in enumerate(refs)
    ]
    edit = Edit(owner, "changed", Where("web.yaml"), differences({"spec": {"replicas": 1}}, {"spec": {"replicas": 41}}))
    text = show.plan_markdown(Plan("r", tuple(actions)), None, show.Background(edits=(edit,)))

    assert text.count("<details>") == text.count("spec.replicas") == 1
    assert "and 32 more</code> create on h0, h1, h2" in text


def test_what_has_no_room_with_its_fields_is_shown_without() -> None:
    """A delete's or a replacement's name is worth more than another's fields."""
    edit = Edit(
        Ref("Container", "c"),
        "changed",
        Where("c.yaml"),
        differences({"spec": {}}, {"spec": {f"{i:079}": "v" * 79 for i in range(99)}}),
    )
    planned = Plan("r", (Action("update", Ref("Container", "c"), "i", "h", None, "changed in place"),))
    background = show.Background(edits=(edit,))
    assert "<details>" in show.plan_markdown(planned, None, background)
    short = show.plan_markdown(planned, None, background, limit=LEAST)
    assert "<details>" not in short
    assert "Container/c" in short


def test_a_line_for_each_comes_before_fields_of_any() -> None:
    """What new documents say takes no room from what is held, or from the last of them."""
    says = differences(None, {"spec": {f"{i:079}": "v" * 79 for i in range(99)}})
    refs = [Ref("Container", f"c{i}") for i in range(9)]
    edits = tuple(Edit(ref, "added", Where("c.yaml"), says) for ref in refs)
    creates = tuple(Action("create", ref, "i", "h", None, "missing") for ref in refs)
    planned = Plan("r", creates, (Held(Ref("Container", "w"), "waits", None, "", "create", "go"),))
    text = show.plan_markdown(planned, None, show.Background(edits=edits), limit=9_000)
    assert "Not shown" not in text
    assert 0 < text.count("… and 87 more fields") < 9
    assert all(f"Container/{name}</code>" in text for name in (*(ref.name for ref in refs), "w"))


def test_a_limit_in_which_nothing_can_be_said_is_refused() -> None:
    """Rather than something that is cut."""
    assert LIMIT < 65_536
    with pytest.raises(ValueError, match="at least"):
        show.plan_markdown(Plan("r", ()), limit=LEAST - 1)
