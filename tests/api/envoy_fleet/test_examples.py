"""Each documented request is answered as documented: the status, key by key, and type by type."""

import json
from typing import Any

import pytest

from api.surfaces.envoy_fleet.contract import operations
from tests.api.envoy_fleet.playing import Dialect, Play, alike, served
from tests.api.envoy_fleet.plays import PLAYS


def test_every_served_operation_is_played(dialect: Dialect) -> None:
    """None is served without its example, and none is played that is not served (what becomes a WebSocket: test_streams.py)."""
    streams = {id for id, one in operations().items() if one.said.get("kind") == "websocket"}
    assert PLAYS.keys() == served(dialect.reach) - streams


def bodies(said: dict[str, Any]) -> list[Any]:
    """Every documented request body."""
    return [said["request"], *(one["body"] for one in said.get("request_examples_more", ()))]


@pytest.mark.parametrize(("id", "number"), [(id, n) for id in PLAYS for n in range(len(bodies(dict(operations()[id].said))))])
def test_example(id: str, number: int, dialect: Dialect) -> None:
    """As the document shows it, in a fleet that has what it names."""
    operation, play = operations()[id], PLAYS[id](dialect)
    body = play.body if play.body is not None else bodies(dict(operation.said))[number]
    answer = dialect.ask(id, body, ids=play.ids, query=play.query)

    documented = {int(status): said for status, said in operation.said["responses"].items() if int(status) < 300}
    also = {int(one) for said in documented.values() for one in said.get("alternatives", ())}
    assert answer.status_code in documented.keys() | also, answer.text
    shown = documented.get(answer.status_code, {}).get("body")
    if shown is not None:
        alike(shown, json.loads(answer.get_data()), play.absent)


def test_variants(dialect: Dialect) -> None:
    """So is the other way of asking that the document shows."""
    for id in (id for id in PLAYS if operations()[id].said.get("variants")):
        play: Play = PLAYS[id](dialect)
        for variant in operations()[id].said["variants"]:
            query = dict(part.split("=") for part in variant["request_line"].partition("?")[2].split("&"))
            answer = dialect.ask(id, ids=play.ids, query=query)
            said = json.loads(answer.get_data())
            assert answer.status_code == 200, answer.text
            assert said.keys() == variant["responses"]["200"]["body"].keys()
