"""Talks HTTP with a forge's API: bounded answers, patience where it is asked for, and a token that goes to no other host."""

import email.utils
import http.client
import ipaddress
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.show_layout import harmless
from reconciler.hangup import Dial, Line
from reconciler.seams import Seams

# Gitea answers with all comments of a pull request at once, each of up to 64 KiB.
MOST_BYTES = 32 << 20
# 100 to a page: a pull request with more comments than that is not talked about by people.
MOST_PAGES = 100
REQUEST_S = 30.0
# In all, with every waiting: a job of CI that hangs longer is killed for it.
PATIENCE_S = 180.0
MOST_TRIES = 5
MOST_REDIRECTS = 3
LOOPBACK = ("localhost", "localhost.")


class ForgeError(Exception):
    """The forge could not be asked, or did not do what it was asked; the message is for a person and holds no token."""


class Away(ForgeError):
    """Nobody answered, or not in time, or only that it should be asked later."""


class Refused(ForgeError):
    """The token may not do this, or not even see it."""


class Gone(ForgeError):
    """What was named is not there (any more)."""


class Unknown(Gone):
    """No word of the API's own: it does not have this operation, or it is not there."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    value: Any


class Wire:
    """`api` is the root of the API. With `plain`, a host other than this machine may be spoken to without TLS."""

    def __init__(
        self,
        api: str,
        token: str,
        headers: Mapping[str, str],
        seams: Seams,
        *,
        plain: bool = False,
        patience_s: float = PATIENCE_S,
        dial: Dial | None = None,
    ) -> None:
        self.api = api.rstrip("/")
        self._origin = origin(self.api)
        self._host = urllib.parse.urlsplit(self.api).hostname or ""
        if self._origin[0] == "http" and not plain and not _local(self._host):
            raise ForgeError(f"{self._host} would be told the token without TLS: use https, or allow it with --plaintext")
        self._token, self._headers, self._seams = token, headers, seams
        self._patience_s, self._until = patience_s, seams.monotonic() + patience_s
        # A proxy is for what is elsewhere: without TLS it would read the token.
        proxies = [urllib.request.ProxyHandler({})] if _local(self._host) and dial is None else []
        self._line = Line(dial)
        self._opener = urllib.request.build_opener(*proxies, *self._line.handlers())

    def send(self, method: str, path: str, body: object = None) -> Answer:
        """`path` below the API's root, or an address of the same origin. Answers of 2xx; everything else raises."""
        url = path if "://" in path else self.api + path
        if origin(url) != self._origin:
            raise ForgeError(f"{self._host} names an address on another host, {_named(url)}: the token is not sent there")
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._patiently(method, url, body)
            if answer.status not in (301, 302, 307, 308):
                return self._judged(method, url, answer)
            target = urllib.parse.urljoin(url, answer.headers.get("location", ""))
            if origin(target) != self._origin:
                raise ForgeError(f"{self._host} redirects to another host, {_named(target)}: the token is not sent there")
            if method != "GET" and answer.status in (301, 302):
                raise ForgeError(f"{self._host} has the repository elsewhere, at {_named(target)}: name it by its new address")
            url = target
        raise ForgeError(f"{self._host} redirects in a circle")

    def pages(self, path: str) -> Iterator[Any]:
        """Every item of a list, page by page, by the `next` link of RFC 8288; a list without one is whole."""
        url = path
        for _ in range(MOST_PAGES):
            answer = self.send("GET", url)
            if not isinstance(answer.value, list):
                raise ForgeError(f"{self._host} answered with something that is not a list")
            yield from answer.value
            further = next_page(answer.headers.get("link", ""))
            if not further:
                return
            url = urllib.parse.urljoin(self.api + "/", further)
        raise ForgeError(f"{self._host} has more than {MOST_PAGES} pages of comments here")

    def _patiently(self, method: str, url: str, body: object) -> Answer:
        """Again where it may help: the forge is overloaded or asks to wait, or the connection broke."""
        for tries in range(MOST_TRIES):
            pause = 2.0**tries
            try:
                answer = self._once(method, url, body)
            except ssl.SSLCertVerificationError as error:
                why = f"its certificate is not trusted ({error.verify_message}); $SSL_CERT_FILE may name whose are"
                break
            except (OSError, http.client.HTTPException) as error:
                why = _in_words(error)
            else:
                asked = _asked_to_wait(answer, self._seams.now())
                if asked is None and answer.status < 500:
                    return answer
                why = f"it answered {answer.status}" + (f" and asks to wait {asked:.0f} s" if asked else "")
                pause = max(pause, asked or 0.0)
            if tries + 1 == MOST_TRIES or self._seams.monotonic() + pause > self._until:
                break
            self._seams.sleep(pause)
        raise Away(f"{self._host} cannot be asked: {why}")

    def _once(self, method: str, url: str, body: object) -> Answer:
        self._seams.point("forge.request", method, url)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method=method)  # noqa: S310  # only http and https: origin() saw it
        for name, value in self._headers.items():
            request.add_unredirected_header(name, value)
        request.add_unredirected_header("User-Agent", "convoy")
        if data is not None:
            request.add_unredirected_header("Content-Type", "application/json")
        with self._line.within(self._left()), self._opened(request) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers, _value(self._read(response)))

    def _opened(self, request: urllib.request.Request) -> Any:
        try:
            return self._opener.open(request, timeout=min(REQUEST_S, self._left()))
        except urllib.error.HTTPError as error:
            return error
        except urllib.error.URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason)) from error

    def _left(self) -> float:
        """Seconds; raises ForgeError where there are none."""
        left = self._until - self._seams.monotonic()
        if left <= 0:
            raise Away(f"{self._host} is too slow: this took more than {self._patience_s:.0f} s in all")
        return left

    def _read(self, response: Any) -> bytes:
        """All of it, bounded in size and in time: a forge that answers a byte a minute is one that does not answer."""
        parts, size = list[bytes](), 0
        while part := response.read1(1 << 16):
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise ForgeError(f"{self._host} answers with more than {MOST_BYTES >> 20} MiB")
            self._left()
        return b"".join(parts)

    def _judged(self, method: str, url: str, answer: Answer) -> Answer:
        if 200 <= answer.status < 300:
            return answer
        said = self._said(answer.value)
        what = f"{method} {urllib.parse.urlsplit(url).path}: {answer.status}{said}"
        if answer.status == 401:
            raise ForgeError(f"{self._host} does not know this token ({what})")
        if answer.status in (403, 423):
            raise Refused(f"{self._host} does not let this token do that ({what})")
        if answer.status in (404, 410):
            kind = Gone if isinstance(answer.value, dict) else Unknown
            raise kind(f"{self._host} has no such thing, or none that this token may see ({what})")
        raise ForgeError(f"{self._host} refused ({what})")

    def _said(self, value: Any) -> str:
        """The forge's own words, made harmless; a forge that repeats our token is not repeated."""
        words = value.get("message") or value.get("error") if isinstance(value, dict) else value
        if isinstance(value, dict) and isinstance(value.get("errors"), list):
            words = f"{words}: {value['errors']}"
        text = "" if words is None else str(words)
        if self._token:
            text = text.replace(self._token, "***")
        return f", {' '.join(harmless(text).split())[:300]}" if text else ""


def checked_token(token: str) -> str:
    """A token as a header can carry it. What is wrong with one is said without showing it."""
    stripped = token.strip()
    if not re.fullmatch(r"[!-~]*", stripped):
        raise ForgeError("the token holds characters that no token has: is it a whole file, or two of them?")
    return stripped


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ForgeError where the address is none that a forge can have."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForgeError(f"{harmless(url)[:200]} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ForgeError(f"{_named(url)} is no address of an API: it should look like https://forge.example/api")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ForgeError("an address with spaces or control characters in it is not asked")
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme]


def next_page(link: str) -> str:
    """The address of the next page in a Link header, or "" (RFC 8288)."""
    found = re.search(r'<([^<>]*)>\s*;[^,<]*\brel="?next"?', link)
    return found[1] if found else ""


def _named(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urllib.parse.urlsplit(url)
    return harmless(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")[:200]


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK


def _in_words(error: Exception) -> str:
    return harmless(str(getattr(error, "strerror", None) or error) or type(error).__name__)[:200]


def _value(content: bytes) -> Any:
    if not content.strip():
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content[:300].decode(errors="replace")


def _asked_to_wait(answer: Answer, now: float) -> float | None:
    """Seconds; None where nobody asked to wait.

    https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api: 403 or 429, with `retry-after` or with
    `x-ratelimit-remaining: 0` and `x-ratelimit-reset`. GitLab and Gitea: 429 with `Retry-After`.
    """
    headers = answer.headers
    limited = answer.status == 429 or (
        answer.status == 403 and ("retry-after" in headers or headers.get("x-ratelimit-remaining") == "0")
    )
    if not limited and not (answer.status == 503 and "retry-after" in headers):
        return None
    after = headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,9}", after):
        return float(after)
    if after:
        try:
            return max(email.utils.parsedate_to_datetime(after).timestamp() - now, 0.0)
        except (ValueError, OverflowError):
            return 0.0
    reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
    return max(float(reset) - now, 0.0) if re.fullmatch(r"\d{1,12}", reset) else 0.0
