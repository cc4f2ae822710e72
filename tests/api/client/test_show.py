"""Tables that fit, plans in words, and files that are read strictly."""

from pathlib import Path

import pytest

from api.client import files, show
from api.client.exits import ClientError
from api.client.show import Column
from reconciler.core.show_layout import plain

COLUMNS = (Column("NAME", "name"), Column("STATUS", "status"), Column("ID", "id", 2), Column("WHERE", "place.region", 1))
ROWS = [{"name": "a", "status": "healthy", "id": "5a1c794e-ac24-5627-b635-ef16a2d7045f", "place": {"region": "eu-west"}}]


@pytest.mark.parametrize(
    ("width", "heads"),
    [(None, "NAME STATUS ID WHERE"), (100, "NAME STATUS ID WHERE"), (40, "NAME STATUS WHERE"), (16, "NAME STATUS")],
)
def test_columns_that_matter_less_go_first(width: int | None, heads: str) -> None:
    """Nothing is wrapped as long as leaving out helps."""
    lines = plain(show.listing(COLUMNS, ROWS, "nothing", width), width).splitlines()
    assert lines[0].split() == heads.split()
    assert len(lines) == 2
    assert width is None or all(len(line) <= width for line in lines)


def test_a_plan_in_words() -> None:
    """Documents by field and place, steps with reasons, what is held; as `dry_run` answers."""
    field = {"path": "spec.port", "before": "1", "after": "2", "effect": "told"}
    plan = {
        "steps": [
            {"change": "tell", "ref": "ProxyGroup/edge", "reason": "new", "held": [{"reason": "a window"}], "actions": []}
        ],
        "documents": {"Configuration/edge": {"change": "changed", "file": "edge.yaml", "line": 7, "fields": [field]}},
    }
    shown = plain(show.plan({"problems": [], "plan": plan}))
    for words in (
        "Configuration/edge  changed  edge.yaml:7",
        "spec.port  1 → 2",
        "tell    ProxyGroup/edge  new",
        "held: ",
        "a window",
    ):
        assert words in shown


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ("a: 1\na: 2\n", ":2:1", "stands here twice"),
        ("a: &x 1\nb: *x\n", ":2:4", "an alias"),
        ("1: 2\n", ":1:1", "put it in quotes"),
        ("a: [\n", ":2:1", "neither YAML nor JSON"),
        ("- a\n", "", "no mapping"),
        ("a: !!python/object:os.system 1\n", ":1:4", "neither YAML nor JSON"),
        ("a: !!binary aGk=\n", ":1:4", "the tag !!binary"),
        ("a: !!timestamp 2026-01-31\n", ":1:4", "leave it out"),
        ("a: .nan\n", ":1:4", "not a finite number"),
    ],
)
def test_files_are_read_strictly(text: str, where: str, why: str, tmp_path: Path) -> None:
    """With the place and what is wrong there."""
    file = tmp_path / "body.yaml"
    file.write_text(text)
    with pytest.raises(ClientError) as raised:
        files.document(str(file))
    assert f"body.yaml{where}: " in raised.value.message
    assert why in raised.value.message


def test_dates_stay_text(tmp_path: Path) -> None:
    """As JSON has them."""
    file = tmp_path / "body.yaml"
    file.write_text('day: 2026-01-31\nat: 2026-01-31T10:00:00Z\nname: "on"\nn: 1.5\n')
    assert files.document(str(file)) == {"day": "2026-01-31", "at": "2026-01-31T10:00:00Z", "name": "on", "n": 1.5}


def test_words_mean_what_they_mean_in_a_fleet(tmp_path: Path) -> None:
    """`no` is text and `1e3` a number, in YAML and in JSON; and what is shown as YAML is read again as what it is."""
    file = tmp_path / "body.yaml"
    file.write_text('a: no\nb: 12:30:45\nc: 022\nd: !!str 5\ne: {"f": 1e3, "g": [true, null, "1"]}\n')
    read = files.document(str(file))
    assert read == {"a": "no", "b": "12:30:45", "c": 22, "d": "5", "e": {"f": 1000.0, "g": [True, None, "1"]}}
    words = {
        "words": ["no", "1e3", "0o17", "022", "~", "", "1_000", ".nan", "9" * 30, "=", "<<", "a\nb ", "- x", "é", 1e20, None]
    }
    file.write_text(show.as_yaml({**read, **words}))
    assert files.document(str(file)) == {**read, **words}
