"""Nothing is given away across tenants: by any operation that is served, whatever is added to them."""

import json

import pytest

from api.surfaces.envoy_fleet.contract import operations
from api.surfaces.envoy_fleet.operations import FOR_ADMINS
from tests.api.envoy_fleet.playing import Dialect, without_ids
from tests.api.envoy_fleet.plays import PLAYS

ANOTHERS = "acme"
NOTHINGS = "00000000-0000-4000-8000-000000000000"


@pytest.mark.slow
@pytest.mark.parametrize("id", [id for id in PLAYS if "{" in operations()[id].path])
def test_what_is_anothers_is_not_there(id: str, dialect: Dialect) -> None:
    """An admin of another tenant is answered as if he had made the id up, by every operation on something."""
    play, operation = PLAYS[id](dialect), operations()[id]
    dialect.follow()
    body = play.body if play.body is not None else operation.said["request"]
    there = dialect.ask(id, body, ids=play.ids, query=play.query, tenant=ANOTHERS)
    made_up = dict.fromkeys(play.ids, NOTHINGS)
    absent = dialect.ask(id, body, ids=made_up, query=play.query, tenant=ANOTHERS)
    assert without_ids(there) == without_ids(absent)
    assert there.status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("id", [id for id in PLAYS if operations()[id].method == "GET" and "{" not in operations()[id].path])
def test_lists_hold_nothing_of_anothers(id: str, dialect: Dialect) -> None:
    """Nor do their counts: what there is in one tenant changes nothing of what another is answered."""
    role = "admin" if id in FOR_ADMINS else "viewer"
    before = without_ids(dialect.ask(id, role=role, tenant=ANOTHERS))
    play = PLAYS[id](dialect)
    dialect.follow()
    after = dialect.ask(id, query=play.query, role=role, tenant=ANOTHERS)
    if id == "audit_logs.list":
        # What he himself has asked is all that is in it.
        assert {one["user"]["email"].split("-")[0] for one in json.loads(after.get_data())["data"]} <= {"admin"}
        assert "UPDATE" not in after.text
    else:
        assert without_ids(after) == before
