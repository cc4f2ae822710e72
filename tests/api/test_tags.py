"""Whoever says which answer it has already is told no more than that it is so still; on each surface."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from werkzeug.test import Client, TestResponse

from api import create_app
from api.limits import Limits
from api.reach import Reach
from api.tags import digest
from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.store import Store, default_url
from tests.bench.load import Fake
from tests.bench.reads import declare, token

PATHS = ("/convoy/v1/resources/proxy/edge-1", "/api/v1/proxies/edge-1/configuration")


class Reading:
    def __init__(self, directory: Path, store: Store) -> None:
        declare(store, Fake(3))
        self.client = Client(create_app(Reach(store, directory, Log(level="error"), Limits())))
        self.shown = token(store, "reader@example.org")

    def __call__(self, path: str, has: str = "", method: str = "GET") -> TestResponse:
        headers = {"Authorization": f"Bearer {self.shown}"} | ({"If-None-Match": has} if has else {})
        return self.client.open(path, method=method, headers=headers)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    tmp_path.chmod(0o700)
    with closing(Store(default_url(tmp_path), Seams())) as opened:
        yield opened


@pytest.fixture
def read(tmp_path: Path, store: Store) -> Reading:
    return Reading(tmp_path, store)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_known_is_not_said_again(read: Reading, path: str) -> None:
    """By its tag, weak or strong, alone or among others, or by `*`; with nothing that a body would need, and all else."""
    first = read(path)
    tag = first.headers["ETag"]
    for has in (tag, f"W/{tag}", f'"another", {tag}', "*"):
        for method in ("GET", "HEAD"):
            again = read(path, has, method)
            assert (again.status_code, again.get_data(), again.headers["ETag"]) == (304, b"", tag), has
            assert not {"Content-Type", "Content-Length"} & {*again.headers.keys()}
            assert {*first.headers.keys()} - {*again.headers.keys()} <= {"Content-Type", "Content-Length"}
    for has in ('"another"', digest(tag), f'"{digest(tag)}"'):
        assert read(path, has).get_data() == first.get_data()


@pytest.mark.parametrize("path", PATHS)
def test_how_it_fares_is_told(read: Reading, store: Store, path: str) -> None:
    """Of a document that is as it was, where something else that is said of it is not."""
    tag = read(path).headers["ETag"]
    store.put_status({one: {"sync": "refused", "why": "no"} for one in ("Proxy/edge-1", "Configuration/edge")})
    now = read(path, tag)
    assert now.status_code == 200
    assert now.headers["ETag"] != tag
    assert digest(now.headers["ETag"]) == digest(tag)


def test_what_names_no_document_is_none() -> None:
    """Least of all that of one that is not there, whose digest is ""."""
    said = ('"a.b"', '"a"', "*", '"."', '".b"', '""', 'W/"a.b"')
    assert list(map(digest, said)) == ["a", "a", "*", '"."', '".b"', '""', 'W/"a']


def test_nobody_learns_of_what_he_may_not_read(read: Reading) -> None:
    """Who is not known, and what is not there, is told as ever, whatever is said to be known."""
    for path in PATHS:
        assert read(path.replace("edge-1", "none"), "*").status_code == 404
    read.shown = "nobody's"
    assert [read(path, "*").status_code for path in PATHS] == [401, 401]
