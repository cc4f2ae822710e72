"""Asks as whoever is logged in: the token is refreshed by itself, by one `envoyctl` at a time."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from api.client import wire
from api.client.exits import AWAY, UNKNOWN, ClientError, Refusal
from api.client.kept import Kept, Login
from api.client.wire import Answer, Request, Server
from reconciler.seams import Seams

# What is good for less than this might end on the way.
EARLY_S = 30.0
REFRESHING_S = 20.0


class Session:
    """`token`, and `signing`, by which changes are signed, are what the environment gives, "" for none; then what is kept
    counts."""

    def __init__(self, server: Server, kept: Kept, token: str, seams: Seams, signing: str = "") -> None:
        self.server, self._kept, self._token, self._seams, self._signing = server, kept, token, seams, signing

    def ask(self, request: Request, deadline_s: float = wire.ANSWERING_S) -> Answer:
        """Raises ClientError."""
        token = self.token()
        # Whose token the environment gives is not known, so what another signs with is not for it.
        signing = self._signing or ("" if self._token else self.known().signing)
        try:
            return wire.ask(self.server, request, token, self._seams, deadline_s, signing)
        except Refusal as why:
            if why.status != 401 or self._token or why.said["code"] in wire.UNSIGNED:
                raise
        # The clock here may be wrong, or somebody has been logged in meanwhile.
        return wire.ask(self.server, request, self._refreshed(token).access, self._seams, deadline_s, signing)

    def token(self) -> str:
        """One that is good for now; raises ClientError."""
        if self._token:
            return self._token
        login = self.known()
        if login.expires - EARLY_S < self._seams.now():
            login = self._refreshed(login.access)
        return login.access

    def login(self, email: str, password: str) -> Login:
        """Log in, and keep that. Raises ClientError."""
        request = Request("POST", "/auth/login", body={"email": email, "password": password})
        with self._kept.locked(), _undisturbed():
            login = self._given(wire.ask(self.server, request, "", self._seams, REFRESHING_S))
            before = self._kept.login(self.server.url)
            if before is not None and before.email == login.email:
                login = replace(login, signing=before.signing)
            self._kept.put(self.server.url, login)
            return login

    def logout(self) -> None:
        """Here it is forgotten in any case; raises ClientError where the server does not hear of it."""
        with self._kept.locked():
            login = self._kept.login(self.server.url)
            if login is None:
                return
            self._kept.forget(self.server.url)
        request = Request("POST", "/auth/logout", body={"refresh_token": login.refresh})
        wire.ask(self.server, request, login.access, self._seams, REFRESHING_S)

    def sign(self, secret: str) -> Login:
        """From now on whoever is logged in signs with this secret. Raises ClientError."""
        with self._kept.locked(), _undisturbed():
            login = replace(self.known(), signing=secret)
            self._kept.put(self.server.url, login)
            return login

    def known(self) -> Login:
        """Who is logged in to this server; raises ClientError where nobody is."""
        login = self._kept.login(self.server.url)
        if login is None:
            raise ClientError(UNKNOWN, f"not logged in to {self.server.url}: `envoyctl auth login --email …`")
        return login

    def _refreshed(self, stale: str) -> Login:
        """The tokens after these; those of another `envoyctl` that has been quicker, where there are some."""
        with self._kept.locked(), _undisturbed():
            login = self.known()
            if login.access != stale and login.expires - EARLY_S >= self._seams.now():
                return login
            request = Request("POST", "/auth/refresh", body={"refresh_token": login.refresh})
            try:
                answer = wire.ask(self.server, request, "", self._seams, REFRESHING_S)
            except Refusal as why:
                if why.status != 401:
                    raise
                again = f"`envoyctl auth login --email {login.email}`"
                raise ClientError(UNKNOWN, f"the login to {self.server.url} has ended: {again}") from None
            fresh = replace(self._given(answer), ca_file=login.ca_file, plaintext=login.plaintext, signing=login.signing)
            self._kept.put(self.server.url, fresh)
            return fresh

    def _given(self, answer: Answer) -> Login:
        said: Any = answer.said
        try:
            user = said["user"]
            email, role, tenant = (wire.clean(user[name]) for name in ("email", "role", "tenant_id"))
            access, refresh = str(said["access_token"]), str(said["refresh_token"])
            lasts_s = float(said["expires_in"])
        except (KeyError, TypeError, ValueError):
            access = refresh = ""
        if not access or not refresh or not (access + refresh).isascii() or not (access + refresh).isprintable():
            raise ClientError(AWAY, f"{self.server.url} has answered a login with something else than tokens")
        ca_file = str(self.server.ca_file.resolve()) if self.server.ca_file else ""
        return Login(email, role, tenant, access, refresh, self._seams.now() + lasts_s, ca_file, self.server.plaintext)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C counts afterwards: what a server has given and nobody keeps is lost, and the login with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        raise KeyboardInterrupt
