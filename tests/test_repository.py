"""Whether two URLs name one repository, by keys: of all spellings, of none, of hostile ones, and in no time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.repository import LONGEST, NOWHERE, anywhere, key, same

SPELLINGS = [
    "https://git.example/Ops/fleet",
    "https://git.example/ops/fleet.git",
    "https://git.example/ops/fleet.git/",
    "https://git.example:8443//ops/fleet",
    "https://me:p%40ss@GIT.example./ops/fleet",
    "https://***@git.example/ops/fleet?***",
    "http://git.example/ops/fleet#x",
    "git@git.example:ops/fleet.git",
    "git.example:/ops/fleet",
    "ssh://git@git.example:2222/ops/fleet.git",
    "git://git.example/ops/fleet",
    "https://git.example/%6fps/fleet",
]


@pytest.mark.parametrize("url", SPELLINGS)
def test_spellings_of_one(url: str) -> None:
    """Scheme, credentials, port, `.git`, slashes and case make no difference."""
    assert key(url) == "git.example/ops/fleet"
    assert same(key(url), anywhere("OPS/fleet"))


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example/ops/fleet2",
        "https://git.example/fleet",
        "https://git.example.evil/ops/fleet",
        "https://evil/git.example/ops/fleet",
        "https://git.example/ops/fleet/x",
        "/git.example/ops/fleet",
        "file:///git.example/ops/fleet",
        "https://.*/ops/fleet",
        "https://git.example/.*/.*",
    ],
)
def test_others(url: str) -> None:
    """Near misses, and what a pattern would let in."""
    assert not same(key(url), key(SPELLINGS[0]))


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "x", "https://", "https://git.example", "https://git.example/", "https://[::1/x/y", "git@:x", "a:",
        "https://*/ops/fleet", "*:ops/fleet", "javascript://x/y", "https://git.example/ops/fleet\n", "/",
        "https://git.example/\x00", "\ud800", "x" * (LONGEST + 1), "file://elsewhere/x", "https://git.example/x" * 100,
    ],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    """It names nothing, and nothing is the same as nothing."""
    assert key(url) == NOWHERE
    assert not same(key(url), key(url))
    assert not same(key(url), anywhere("ops/fleet"))


def test_places_on_this_machine() -> None:
    """By path or as a file URL; a path has a case, and no host stands for it."""
    assert (
        key("/srv/git/Fleet.git") == key("file:///srv/git/Fleet.git/") == key("/srv//git/Fleet") == key("/srv/git/Fleet/.git")
    )
    assert key("/srv/git/Fleet") != key("/srv/git/fleet")
    assert not same(key("/ops/fleet"), anywhere("ops/fleet"))


def test_bitbucket_and_azure() -> None:
    """Those whose https and ssh paths differ."""
    assert key("https://bb.example/scm/OPS/fleet.git") == key("ssh://git@bb.example:7999/ops/fleet.git")
    assert key("https://bb.example/scm/~me/fleet.git") == key("ssh://git@bb.example:7999/~me/fleet.git")
    azure = {
        key("https://dev.azure.com/org/project/_git/fleet"),
        key("https://org@dev.azure.com/org/project/_git/fleet"),
        key("https://org.visualstudio.com/project/_git/fleet"),
        key("https://org.visualstudio.com/DefaultCollection/project/_git/fleet"),
        key("git@ssh.dev.azure.com:v3/org/project/fleet"),
        key("org@vs-ssh.visualstudio.com:v3/org/project/fleet"),
    }
    assert azure == {"dev.azure.com/org/project/fleet"}
    assert key("https://dev.azure.com/org/_git/fleet") == key("git@ssh.dev.azure.com:v3/org/fleet/fleet")


@given(st.text(max_size=200) | st.text("/:@.%[]*", max_size=200).map("https://".__add__))
def test_any_text(text: str) -> None:
    """Is a repository's key or none, and never an error; a key is its own, whatever was in it."""
    found = key(text)
    assert same(found, found) == bool(found)


def test_length_costs_nothing() -> None:
    """What is made to keep a pattern busy is looked at once."""
    begun = time.monotonic()
    for evil in ("https://" + "a/" * 1000, "@" * 2000, "https://" + "%" * 2000, "(.*+)" * 400, "https://h/" + ".git" * 500):
        for _ in range(100):
            key(evil)
    assert time.monotonic() - begun < 20
