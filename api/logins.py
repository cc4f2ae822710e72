"""Logging in with e-mail and password, going on with a refresh token, and logging out; for every surface that has accounts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flask import Request

from api import peer, signed
from api.limits import TooMany
from api.people import Account, Forbidden, Unknown, acting, bearer, known
from api.signed import ACCESS_S, Claims, Use
from reconciler.store import KeptAccount, Store, passwords

# A hash takes a core for 25 ms. One at a time leaves the others to those who are logged in, and is 40 logins a second.
HASHES_AT_ONCE, WAITING_AT_MOST, WAIT_S = 1, 16, 3.0


class Turns:
    """So many at once, and so many that wait for a turn; whoever comes then is told to come later."""

    def __init__(self, at_once: int, waiting: int, wait_s: float) -> None:
        self._turn, self._places, self._wait_s = threading.Semaphore(at_once), threading.Semaphore(at_once + waiting), wait_s

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises TooMany."""
        busy = TooMany("as many are logging in as can at once", 2, own=False)
        if not self._places.acquire(blocking=False):
            raise busy
        try:
            if not self._turn.acquire(timeout=self._wait_s):
                raise busy
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()


# Of the process, whichever surface is logged in on: cores are what is short.
HASHING = Turns(HASHES_AT_ONCE, WAITING_AT_MOST, WAIT_S)


@dataclass(frozen=True, slots=True)
class Login:
    """What somebody is given who has logged in. `lasts_s` is for how long the access token is good."""

    account: Account
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    lasts_s: int = round(ACCESS_S)


def login(store: Store, request: Request, surface: str, email: str, password: str) -> Login:
    """Raises Unknown, TooMany and StoreError.

    Neither words nor time tell whether there is such an account, and neither does a lock-out.
    """
    network = peer.network(peer.address(request.environ))
    with HASHING.one():
        wait_s = store.sessions.attempt(email, network)
        if wait_s > 0:
            raise TooMany("too many logins have failed", max(1, round(wait_s)), own=True)
        kept = store.accounts.of(email)
        hash = store.accounts.password(kept.id if kept is not None else "")
        if kept is not None:
            known(request, kept.id, kept.email, kept.tenant, proved=False)
        right = passwords.fits(hash, password[: passwords.LONGEST + 1])
        if not right or kept is None or kept.status != "active":
            raise Unknown
        if passwords.outdated(hash):
            store.accounts.rehashed(kept.id, passwords.hashed(password))
    known(request, kept.id, kept.email, kept.tenant)
    store.sessions.succeeded(email, network)
    account = _acting(store, kept, surface)
    id, secret, until = store.sessions.open(kept.id)
    return _given(store, account, id, secret, until)


def refresh(store: Store, request: Request, surface: str, shown: str) -> Login:
    """The next tokens; what was shown is good no more. Raises Unknown and StoreError."""
    claims = signed.read("refresh", shown, store.installation(), store.sessions.believed(), store.sessions.now())
    following = store.sessions.refresh(claims.session, claims.secret) if claims is not None else None
    kept = store.sessions.whose(claims.session) if claims is not None else None
    if claims is None or following is None or kept is None or kept.id != claims.account or kept.status != "active":
        raise Unknown
    known(request, kept.id, kept.email, kept.tenant)
    return _given(store, _acting(store, kept, surface), claims.session, *following)


def logout(store: Store, request: Request, refresh: str) -> None:
    """Both are good no more, whichever is shown, the access token by its header or `refresh`; where nothing is, or nothing
    counts, nothing happens. Raises StoreError."""
    pairs: tuple[tuple[Use, str], ...] = (("access", bearer(request)), ("refresh", refresh))
    for use, shown in pairs:
        # Whoever has shown one that has just expired means the session all the same.
        claims = signed.read(use, shown, store.installation(), store.sessions.believed(), None) if shown else None
        kept = store.sessions.whose(claims.session) if claims is not None else None
        if claims is not None and kept is not None:
            known(request, kept.id, kept.email, kept.tenant)
            store.sessions.end(claims.session)


def _acting(store: Store, kept: KeptAccount, surface: str) -> Account:
    """Who has no role here cannot log in here. Raises Unknown."""
    try:
        return acting(store, kept, surface)
    except Forbidden:
        raise Unknown from None


def _given(store: Store, account: Account, session: str, secret: str, until: float) -> Login:
    key, now, who = store.sessions.signing(), store.sessions.now(), store.installation()
    access = signed.signed("access", Claims(account.id, session, ""), who, key, now, now + ACCESS_S)
    return Login(account, access, signed.signed("refresh", Claims(account.id, session, secret), who, key, now, until))
