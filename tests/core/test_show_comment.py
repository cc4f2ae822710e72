"""What the comment on a pull request says, within a forge's limit, and that nothing in it gives orders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.show_comment import CUT, Mark, comment, logged, outdated, read_mark, summary

MARK = Mark("fleet", "a" * 40, (12, 2))
LINK = "https://ci.example/us/fleet/actions/runs/7"


def test_a_comment_says_for_which_commit_it_is() -> None:
    """A mark that forges do not show, a heading, the plan as it is, and where it was made."""
    assert comment("**1 to create**\n", MARK, 65_536, more=LINK).split("\n") == [
        f"<!-- convoy:fleet revision={'a' * 40} run=12.2 -->",
        f"### Fleet: `{'a' * 12}`",
        "",
        "**1 to create**",
        "",
        f"<sub>[the run that wrote this]({LINK})</sub>",
        "",
    ]


def test_a_mark_is_read_from_the_first_line_alone() -> None:
    """What a fleet holds cannot pass for one."""
    assert read_mark(str(MARK)) == MARK
    assert read_mark(f"{Mark('a.b', 'x', (1,), 'y')}\r\nrest") == Mark("a.b", "x", (1,), "y")
    for body in ("", "text", f"text\n{MARK}", f"> {MARK}", f"{MARK} and more", "<!-- convoy:A revision=x run=1 -->"):
        assert read_mark(body) is None


def test_no_plan_is_said() -> None:
    """Where nothing came out of the command, the run's log is named."""
    assert "**No plan could be made.**" in comment("\n", MARK, 65_536)


@pytest.mark.parametrize("limit", [65_536, 3_000])
def test_what_is_too_long_is_cut_between_lines(limit: int) -> None:
    """Folded parts and code are closed, and it is said how much is missing and where it is."""
    text = "**2,000 to create**\n\n" + "".join(
        f"<details><summary>Application/app-{n}</summary>\n\n```diff\n+ replicas: {n}\n+ t: ü{'x' * 90}\n```\n\n</details>\n\n"
        for n in range(2_000)
    )
    said = comment(text, MARK, limit, more=LINK)

    assert limit * 0.5 < len(said.encode()) <= limit
    assert said.split("\n")[3] == "**2,000 to create**"
    assert said.count("<details>") == said.count("</details>")
    assert said.count("```") % 2 == 0
    last = [line for line in said.split("\n") if CUT in line]
    assert len(last) == 1
    assert last[0].endswith(f"lines are not shown: [the whole of it]({LINK}).")


def test_a_fold_that_is_larger_than_the_room_is_closed() -> None:
    """Where the only place to cut is inside of code in a fold, both end before what is said of the cut."""
    text = "**1**\n\n<details><summary>a</summary>\n\n````diff\n" + "+ line\n```\n" * 9_000 + "````\n\n</details>\n"
    lines = comment(text, MARK, 65_536, more=LINK).split("\n")

    at = next(n for n, line in enumerate(lines) if line.startswith(CUT))
    assert lines[at - 3 : at] == ["````", "</details>", ""]
    assert at > 5_000


def test_a_line_as_long_as_a_book_hides_no_other() -> None:
    """Its size stands in its place, in a table as a row."""
    said = comment("| a |\n|---|\n| `" + "x" * 200_000 + "` |\n| b |\n\n" + "y" * 300_000 + "\nend", MARK, 65_536)

    assert "| … (200,006 characters that are not shown) |\n| b |" in said
    assert "… (300,000 characters that are not shown)\nend" in said


def test_no_line_gives_an_order() -> None:
    """GitLab and many bots obey a line that begins with a slash; it looks the same, and is none."""
    assert "\nx\n&#47;merge\n" in comment("x\r/merge\r\n", MARK, 65_536)
    said = comment("/merge\n  /close @all\n> /approve\n- /lgtm\n\n```diff\n/label x\n```\n\na/b", MARK, 65_536)

    assert "&#47;merge\n  &#47;close @all\n> &#47;approve\n- &#47;lgtm" in said
    assert "```diff\n\u200b/label x\n```\n\na/b" in said


def test_only_an_address_becomes_a_link() -> None:
    """What the environment says of the run is not Markdown of ours."""
    for more in ("javascript:alert(1)", "https://x/) **bold** (", "https://x/\n/merge", ""):
        assert "](" not in comment("text", MARK, 65_536, more=more)


def test_a_comment_is_marked_as_outdated_once() -> None:
    """The line stands above all else; a third commit takes the second one's place in it."""
    body = comment("**1 to create**", MARK, 65_536)
    once = outdated(body, Mark("fleet", "a" * 40, (12, 2), "b" * 40), 65_536)
    twice = outdated(once, Mark("fleet", "a" * 40, (12, 2), "c" * 40), 65_536)

    assert once.split("\n")[1] == f"> **Out of date.** `{'b' * 12}` has come since; this is for `{'a' * 12}`."
    assert once.split("\n", 3)[3] == body.split("\n", 1)[1]
    assert twice == once.replace("b" * 40, "c" * 40).replace("b" * 12, "c" * 12)
    assert read_mark(twice) == Mark("fleet", "a" * 40, (12, 2), "c" * 40)


def test_a_runs_own_page_says_why_it_stands_there() -> None:
    """The same text, with a reason and without a link to itself."""
    assert "This run may not write.\n\n**1**" in summary("**1**", MARK, 1_000_000, why="This run may not write.")


def test_a_log_obeys_nothing() -> None:
    """Runners take lines that begin with `::`, and `##[` anywhere, for commands; terminals take escapes."""
    assert list(logged("a\x1b[31m\r::b")) == ["│ a\\x1b[31m", "│ : :b"]
    assert list(logged("::add-mask::x\n  ::error::y\na ##[group]b")) == [
        "│ : :add-mask: :x",
        "│   : :error: :y",
        "│ a ## [group]b",
    ]


LINES = st.sampled_from(
    ["x", "```", "````diff", "~~~", "<details><summary>a</summary>", "</details>", "| a | b |", "/merge", "é" * 50, "", "- b"]
)


@given(st.lists(LINES, max_size=200), st.integers(1_800, 6_000))
def test_any_text_fits_and_nothing_stays_open(lines: list[str], limit: int) -> None:
    """Whatever is cut, wherever."""
    said = comment("\n".join(lines), MARK, limit, more=LINK)

    assert len(said.encode()) <= limit
    assert read_mark(said) == MARK
    if CUT in said:
        assert said.rstrip().endswith("</sub>")
        assert len(outdated(said, MARK, limit).encode()) <= limit
