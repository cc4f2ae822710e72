"""Logging in, going on and logging out: what is believed of a signed token, and what an attacker learns and stops: nothing."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Request
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from api import logins, peer, signed
from api.limits import TooMany
from api.logins import Login, Turns
from api.people import Account, Forbidden, Unknown, asker, who
from api.signed import ACCESS_S
from reconciler.seams import Seams
from reconciler.store import Store, passwords
from reconciler.store.sessions import LASTS_S
from tests.people import account, key

AT, PASSWORD, HOME = "envoy-fleet", "correct horse battery", "192.0.2.1"


class Clock(Seams):
    """It stands still, save where a test puts it ahead."""

    ahead = 0.0

    def __init__(self) -> None:
        self.begun = time.time()

    def now(self) -> float:
        return self.begun + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def hash() -> str:
    return passwords.hashed(PASSWORD)


@pytest.fixture
def store(tmp_path: Path, clock: Clock, hash: str) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path / 'convoy.db'}", clock)) as opened:
        opened.accounts.create("ada@example.com", "acme", {AT: "operator"}, hash=hash)
        yield opened


def request(shown: str = "", address: str = HOME) -> Request:
    headers = Headers({"Authorization": f"Bearer {shown}"})
    return Request(EnvironBuilder(headers=headers, environ_base={"REMOTE_ADDR": address}).get_environ())


def login(store: Store, surface: str, email: str, password: str, address: str) -> Login:
    return logins.login(store, request(address=address), surface, email, password)


def refresh(store: Store, surface: str, shown: str) -> Login:
    return logins.refresh(store, request(), surface, shown)


def logout(store: Store, access: str, shown: str) -> None:
    logins.logout(store, request(access), shown)


def asks(store: Store, shown: str, surface: str = AT) -> Account:
    return who(store, request(shown), surface)


def unknown(store: Store, shown: str) -> None:
    with pytest.raises(Unknown):
        asks(store, shown)


def test_who_logs_in_is_known(store: Store, clock: Clock) -> None:
    """For as long as the access token is good, and by it alone; both are JWTs that begin as the documented ones do."""
    given = login(store, AT, "Ada@Example.com", PASSWORD, HOME)
    assert given.lasts_s == 3600
    assert given.access.startswith("eyJhbGciOiJIUzI1NiIs")
    assert given.refresh.startswith("eyJhbGciOiJIUzI1NiIs")
    assert asks(store, given.access) == given.account
    assert (given.account.role, given.account.tenant) == ("operator", "acme")
    assert given.access not in repr(given)
    unknown(store, given.refresh)
    clock.ahead = ACCESS_S + 1
    unknown(store, given.access)


def test_going_on(store: Store, clock: Clock) -> None:
    """A refresh token is good once; used again, it ends what came of it; it is no access token, nor the other way round."""
    given = login(store, AT, "ada@example.com", PASSWORD, HOME)
    clock.ahead = ACCESS_S + 1
    following = refresh(store, AT, given.refresh)
    assert asks(store, following.access).email == "ada@example.com"
    for shown in (given.access, following.access, "", "cvy_", "a.b.c"):
        with pytest.raises(Unknown):
            refresh(store, AT, shown)
    assert asks(store, following.access)
    with pytest.raises(Unknown):
        refresh(store, AT, given.refresh)
    unknown(store, following.access)
    with pytest.raises(Unknown):
        refresh(store, AT, following.refresh)


def test_a_session_ends(store: Store, clock: Clock) -> None:
    """However often it was refreshed."""
    given = login(store, AT, "ada@example.com", PASSWORD, HOME)
    clock.ahead = LASTS_S - 5
    given = refresh(store, AT, given.refresh)
    clock.ahead = LASTS_S + 1
    with pytest.raises(Unknown):
        refresh(store, AT, given.refresh)
    unknown(store, given.access)


@pytest.mark.parametrize("by", [(True, False), (False, True), (True, True)])
def test_logging_out(store: Store, by: tuple[bool, bool]) -> None:
    """By either token or both: both are good no more. Again, or without anything: nothing happens."""
    given, other = (login(store, AT, "ada@example.com", PASSWORD, HOME) for _ in range(2))
    for _ in range(2):
        logout(store, given.access if by[0] else "", given.refresh if by[1] else "")
        unknown(store, given.access)
        with pytest.raises(Unknown):
            refresh(store, AT, given.refresh)
    logout(store, "", "")
    logout(store, "nonsense", "x" * 10_000)
    assert asks(store, other.access)


def test_what_becomes_of_the_account_counts_at_once(store: Store) -> None:
    """A token that is still good is one of nobody's once the account is disabled, and has the role of now."""
    given = login(store, AT, "ada@example.com", PASSWORD, HOME)
    store.accounts.put_roles("ada@example.com", {AT: "viewer"})
    assert asks(store, given.access).role == "viewer"
    store.accounts.put_roles("ada@example.com", {AT: None})
    with pytest.raises(Forbidden):
        asks(store, given.access)
    store.accounts.put_status("ada@example.com", "disabled")
    unknown(store, given.access)
    with pytest.raises(Unknown):
        login(store, AT, "ada@example.com", PASSWORD, HOME)


def test_keys_are_rotated(store: Store) -> None:
    """What the last key signed is believed, what the one before it did is not."""
    given = login(store, AT, "ada@example.com", PASSWORD, HOME)
    store.sessions.rotate()
    assert asks(store, given.access)
    assert jwt.get_unverified_header(refresh(store, AT, given.refresh).access)["kid"] == store.sessions.believed()[0].id
    store.sessions.rotate()
    unknown(store, given.access)


def _b64(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(store: Store, good: str) -> dict[str, str]:
    """What attackers send, by what is wrong with it."""
    head, claims = jwt.get_unverified_header(good), jwt.decode(good, options={"verify_signature": False})
    mine, now = store.sessions.believed()[0], int(store.sessions.now())
    kid, key_of = {"kid": mine.id}, mine.key
    _, body, signature = good.split(".")

    def made(change: dict[str, Any], **other: Any) -> str:
        return jwt.encode(claims | change, other.pop("key", key_of), other.pop("algorithm", "HS256"), headers=kid | other)

    return {
        "no algorithm": f"{_b64(head | {'alg': 'none'})}.{body}.",
        "no algorithm, signed": f"{_b64(head | {'alg': 'none'})}.{body}.{signature}",
        "no algorithm, written otherwise": f"{_b64(head | {'alg': 'NonE'})}.{body}.",
        "an algorithm of public keys": f"{_b64(head | {'alg': 'RS256'})}.{body}.{signature}",
        "a longer hash with our key": made({}, algorithm="HS512", key=key_of + key_of),
        "another key": made({}, key=b"k" * 32),
        "another key's name": made({}, kid="0" * 16),
        "a path for a key's name": made({}, kid="../../dev/null"),
        "a number for a key's name": f"{_b64(head | {'kid': 5})}.{body}.{signature}",
        "a key of its own": made({}, key=b"k" * 32, jwk={"kty": "oct", "k": _b64("k")}),
        "no key's name": jwt.encode(claims, key_of, "HS256"),
        "another account": made({"sub": account(store, "admin").id}),
        "another session": made({"sid": "00000000-0000-4000-8000-000000000000"}),
        "another installation": made({"iss": "00000000-0000-4000-8000-000000000000"}),
        "for another use": made({"aud": "refresh"}),
        "for several uses": made({"aud": ["access", "refresh"]}),
        "expired": made({"exp": now - 1}),
        "of the future": made({"iat": now + 600}),
        "never expires": jwt.encode({name: one for name, one in claims.items() if name != "exp"}, key_of, "HS256", headers=kid),
        "words for times": made({"exp": "never"}),
        "a fraction for a time": made({"exp": now + 0.5}),
        "an object for an account": made({"sid": {"a": 1}}),
        "critical extensions": made({}, crit=["exp"]),
        "oversize": made({"jti": "x" * 3000}),
        "cut": good[:-1],
        "two parts": f"{_b64(head)}.{body}",
        "five parts": f"{good}.a.b",
        "deep": "[" * 2000,
        "no text": "\udcff",
        "blank": " ",
        "its body changed": f"{good.split('.')[0]}.{_b64(claims | {'x': 1})}.{signature}",
    }


def test_what_others_have_signed_is_not_believed(store: Store) -> None:
    """One algorithm, one of two keys, each claim there and of its type, of this installation, for this use, in its time."""
    good = login(store, AT, "ada@example.com", PASSWORD, HOME).access
    for what, shown in forged(store, good).items():
        with pytest.raises(Unknown):
            pytest.fail(f"{what} is believed: {asks(store, shown)}")
    assert asks(store, good)


def test_no_answer_tells_whether_there_is_an_account(store: Store) -> None:
    """Wrong password, unknown, disabled, without a password: the same exception, and locked after as many tries."""
    store.accounts.create("off@example.com", "acme", {AT: "admin"}, hash=passwords.hashed(PASSWORD))
    store.accounts.put_status("off@example.com", "disabled")
    bare, counts = account(store, "viewer").email, []
    for number, email in enumerate(("ada@example.com", "off@example.com", "eve@example.com", "no e-mail", bare)):
        for tries in range(20):
            try:
                login(store, AT, email, "wrong" * 3, f"192.0.2.{number + 10}")
            except Unknown:
                continue
            except TooMany as error:
                counts.append((error.own, tries, str(error)))
                break
    assert counts == [(True, 6, "too many logins have failed")] * 5
    # The right password is not even looked at.
    with pytest.raises(TooMany):
        login(store, AT, "ada@example.com", PASSWORD, HOME)


def test_an_account_that_is_not_there_costs_as_much(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash each, at the same costs: what is computed is counted, for times on a busy machine prove nothing."""
    costs: list[str] = []
    real = passwords.HASHER.verify

    class Counting:
        def verify(self, hash: str, password: bytes) -> bool:
            costs.append(hash.rsplit("$", 2)[0])
            return bool(real(hash, password))

    monkeypatch.setattr(passwords, "HASHER", Counting())
    passwords.nobodys.cache_clear()
    monkeypatch.setattr(passwords, "hashed", lambda password: passwords_hash(password))
    for email, password in (
        ("ada@example.com", "w" * 12),
        ("eve@example.com", "w" * 12),
        ("", ""),
        ("ada@example.com", "w" * 9000),
    ):
        with pytest.raises(Unknown):
            login(store, AT, email, password, HOME)
    assert len(costs) == 4
    assert len(set(costs)) == 1


def passwords_hash(password: str) -> str:
    """As `passwords.hashed` makes it, whatever stands in for its hasher."""
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(password)


def test_a_flood_of_logins_takes_its_turn() -> None:
    """So many are computed at once, so many wait, and the next is told to come again; whoever waits too long is, too."""
    turns, begun, go = Turns(1, 2, 0.5), threading.Event(), threading.Event()
    running, most, outcomes = [0], [0], list[str]()
    lock = threading.Lock()

    def one() -> None:
        try:
            with turns.one():
                with lock:
                    running[0] += 1
                    most[0] = max(most[0], running[0])
                begun.set()
                go.wait(60)
                with lock:
                    running[0] -= 1
            outcome = "done"
        except TooMany as error:
            outcome = "later" if not error.own else "own"
        with lock:
            outcomes.append(outcome)

    first = threading.Thread(target=one)
    first.start()
    assert begun.wait(60)
    others = [threading.Thread(target=one) for _ in range(5)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(60)
    assert outcomes == ["later"] * 5
    go.set()
    first.join(60)
    assert outcomes[-1] == "done"
    assert most[0] == 1
    with turns.one():
        pass


def test_costs_that_are_old_are_brought_up_to_date(store: Store) -> None:
    """With the login that proves the password; nobody is logged out by it."""
    from argon2 import PasswordHasher

    store.accounts.put_password("ada@example.com", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD))
    given = login(store, AT, "ada@example.com", PASSWORD, HOME)
    assert store.accounts.password(given.account.id).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert asks(store, given.access)
    assert login(store, AT, "ada@example.com", PASSWORD, HOME)


def test_on_our_own_surface(store: Store) -> None:
    """An account is as a token with its role's scopes; of another tenant it is nobody there, for that surface knows none."""

    def scopes(shown: str, scope: str) -> frozenset[str]:
        return asker(store, request(shown), scope).scopes

    viewer, operator = account(store, "viewer", "convoy"), account(store, "operator", "convoy")
    assert scopes(key(store, viewer), "read") == {"plan", "read"}
    assert scopes(key(store, operator), "write") == {"plan", "read", "write"}
    assert scopes(key(store, operator, "plan"), "plan") == {"plan"}
    for shown, scope in (
        (key(store, viewer), "write"),
        (key(store, operator, "plan"), "read"),
        (key(store, account(store, "admin", "convoy", tenant="acme")), "read"),
        (key(store, account(store, "admin", AT)), "read"),
    ):
        with pytest.raises(Forbidden):
            scopes(shown, scope)
    store.accounts.put_roles("ada@example.com", {"convoy": "viewer"})
    with pytest.raises(Forbidden):
        scopes(login(store, AT, "ada@example.com", PASSWORD, HOME).access, "read")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_whose_address_it_is(address: str, network: str) -> None:
    """One of IPv4 as it is; of IPv6 the network that one customer has whole."""
    assert peer.network(peer.address({"REMOTE_ADDR": address})) == network


def test_signing_says_no_more_than_it_must(store: Store) -> None:
    """No e-mail, no role, no tenant: what is in a token can be read by whoever sees it, and would be out of date."""
    given = login(store, AT, "ada@example.com", PASSWORD, HOME)
    said = jwt.decode(given.access, options={"verify_signature": False})
    assert said.keys() == set(signed.CLAIMS)
    assert said["exp"] - said["iat"] == 3600
