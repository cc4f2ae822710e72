"""`convoy plan --against`: what is sent, what is shown, and that whoever answers there can do no harm."""

import gzip
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reconciler import remote as remotes
from reconciler.core.against import Answer, Moment, answer_json, read_question
from reconciler.core.model import Problem, Where
from reconciler.core.show_layout import Span, Text
from reconciler.remote import Remote, RemoteError, post
from reconciler.seams import Seams
from tests import repos
from tests.cli.conftest import Convoy

TOKEN = "cvy_0123456789ab_" + "0" * 64
DOCUMENT = b"apiVersion: convoy/v1\nkind: Host\nmetadata:\n  name: h\nspec: {driver: process}\n"
MOMENT = Moment("6f1c0000-aaaa", "0123456789abcdef0123456789abcdef01234567", 4.2)


@dataclass
class Elsewhere:
    """Something that answers by HTTP, as it is told to."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    # Before it answers anything at all.
    hang_up: int = 0
    answering: Callable[[Any], Answer] | None = None


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    place = Elsewhere()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            place.asked.append((self.path, dict(self.headers), body))
            if place.hang_up:
                place.hang_up -= 1
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            answer = place.body
            if place.answering is not None:
                question = read_question(gzip.decompress(body))
                answer = json.dumps(answer_json(place.answering(question), question.form)).encode()
            self.send_response(place.status)
            for name, value in {"Content-Length": str(len(answer)), **place.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Not here."""

    with serving(Answering) as url:
        place.url = url
        yield place


@contextmanager
def serving(answering: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def planned(question: Any) -> Answer:
    page, data = (Text((Span("plan", "strong"), Span(": 1 to create"))),), {"summary": {"create": 1}}
    return Answer(question.revision, MOMENT, changes=True, page=page, data=data, markdown="**1 to create**\n")


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    folder = tmp_path / "fleet"
    (folder / "more").mkdir(parents=True)
    (folder / "host.yaml").write_bytes(DOCUMENT)
    (folder / "more" / "bad.yaml").write_bytes(b"\xff")
    (folder / "notes.txt").write_text("not sent")
    return folder


def test_the_folder_is_sent_and_the_answer_shown(convoy: Convoy, elsewhere: Elsewhere, fleet: Path) -> None:
    """Every document and nothing else; in each form, with whose observations they are; and with the exit codes of a plan."""
    elsewhere.answering = planned
    text = convoy("plan", "--against", elsewhere.url, str(fleet), CONVOY_TOKEN=TOKEN)
    data = convoy("plan", "--against", f"{elsewhere.url}/", str(fleet), "-o", "json", CONVOY_TOKEN=TOKEN)
    markdown = convoy("plan", "--against", elsewhere.url, str(fleet), "-o", "markdown", "--exit-code", CONVOY_TOKEN=TOKEN)

    path, headers, body = elsewhere.asked[0]
    question = read_question(gzip.decompress(body))
    assert (path, headers["Authorization"]) == ("/convoy/v1/plan", f"Bearer {TOKEN}")
    assert dict(question.files) == {"host.yaml": DOCUMENT, "more/bad.yaml": b"\xff"}
    assert (question.message, question.root) == ("", "")
    assert (text.exit_code, data.exit_code, markdown.exit_code) == (0, 0, 2)
    when = f"as seen 4s ago at revision 0123456789ab by the Convoy at {elsewhere.url} (installation 6f1c0000)"
    assert text.stdout == f"plan: 1 to create\n\n{when}\n"
    said = json.loads(data.stdout)
    assert said["summary"] == {"create": 1}
    assert said["against"] == {"url": elsewhere.url, "installation": MOMENT.installation, "revision": MOMENT.revision} | {
        "secondsAgo": 4.2
    }
    assert markdown.stdout.startswith("**1 to create**\n\nas seen 4s ago at revision `0123456789ab`")


def test_a_branch_and_what_its_commit_says(convoy: Convoy, elsewhere: Elsewhere, tmp_path: Path) -> None:
    """The tip's message goes with it, for its trailers; so does one that is given, which is that of the merge to come."""
    elsewhere.answering = planned
    origin = repos.make_origin(tmp_path)
    origin.commit({"prod/host.yaml": DOCUMENT, "other/x.yaml": b"x"}, message="Words\n\nConvoy-Confirm: deletes\n")
    (tmp_path / "message").write_text("Merge\n\nConvoy-Confirm: Host/h\n")
    words = ("plan", "--against", elsewhere.url, "--source", str(origin.path), "--subdirectory", "prod")
    assert convoy(*words, CONVOY_TOKEN=TOKEN).exit_code == 0
    assert convoy(*words, "--message-file", str(tmp_path / "message"), CONVOY_TOKEN=TOKEN).exit_code == 0

    first, second = (read_question(gzip.decompress(body)) for _, _, body in elsewhere.asked)
    assert (dict(first.files), first.root, first.revision) == ({"prod/host.yaml": DOCUMENT}, "prod/", origin.tip())
    assert "Convoy-Confirm: deletes" in first.message
    assert "@" in first.author
    assert second.message == "Merge\n\nConvoy-Confirm: Host/h\n"


def test_the_token_comes_from_a_file(convoy: Convoy, elsewhere: Elsewhere, fleet: Path, tmp_path: Path) -> None:
    """With a line break at its end, as files have; and there is no option that would show it to everybody on the machine."""
    elsewhere.answering = planned
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    words = ("plan", "--against", elsewhere.url, str(fleet))
    assert convoy(*words, "--token-file", str(tmp_path / "token")).exit_code == 0
    assert elsewhere.asked[0][1]["Authorization"] == f"Bearer {TOKEN}"
    assert convoy(*words, "--token", TOKEN).exit_code == 2
    missing = convoy(*words)
    assert missing.exit_code == 1
    assert "convoy token create" in missing.stderr


def test_problems_are_shown_as_always(convoy: Convoy, elsewhere: Elsewhere, fleet: Path) -> None:
    """With the very line they are about, which never left this machine's files; exit code 1."""
    problem = Problem(Where("host.yaml", 2, 7), "no such kind", "write Host")
    elsewhere.answering = lambda question: Answer(question.revision, MOMENT, (problem,))
    shown = convoy("plan", "--against", elsewhere.url, str(fleet), CONVOY_TOKEN=TOKEN)

    assert shown.exit_code == 1
    assert "host.yaml:2:7: no such kind" in shown.stdout
    assert "kind: Host" in shown.stdout
    said = json.loads(convoy("plan", "--against", elsewhere.url, str(fleet), "-o", "json", CONVOY_TOKEN=TOKEN).stdout)
    assert said["problems"][0]["what"] == "no such kind"


def test_options_that_belong_together(convoy: Convoy, fleet: Path) -> None:
    """What is meant for another Convoy is not quietly left out of a plan that is made here."""
    assert convoy("plan", str(fleet), "--plaintext").exit_code == 2


EVIL = "\x1b]0;owned\x07"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": 401, "body": b"{}"}, "does not know this token"),
        ({"status": 503, "body": json.dumps({"error": {"code": "busy", "message": EVIL, "hint": "later"}}).encode()}, "later"),
        ({"status": 500, "body": b"<html>"}, "HTTP status 500"),
        ({"status": 404, "body": b"[" * 100_000}, "HTTP status 404"),
        ({"status": 302, "headers": {"Location": f"http://127.0.0.1:1/{EVIL}"}}, "sends us on"),
        ({"status": 307, "headers": {"Location": "http://127.0.0.1:1/"}}, "sends us on"),
        ({"body": b"<html>hello"}, "no answer of a Convoy"),
        ({"body": b"[" * 100_000}, "no answer of a Convoy"),
        ({"body": b"x" * 40, "headers": {"Content-Encoding": "gzip"}}, "not what it says"),
        ({"body": gzip.compress(b"0" * 2_000_000), "headers": {"Content-Encoding": "gzip"}}, "more than 1000000 bytes"),
        ({"body": b"0" * 2_000_000}, "more than 1000000 bytes"),
        ({"status": 204}, "no answer of a Convoy"),
    ],
    ids=range(12),
)
def test_whatever_answers_there(
    change: dict[str, Any],
    words: str,
    convoy: Convoy,
    elsewhere: Elsewhere,
    fleet: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is one error for a person; nothing it says reaches the terminal as it is, and it is asked once."""
    monkeypatch.setattr(remotes, "LARGEST_ANSWER", 1_000_000)
    for name, value in change.items():
        setattr(elsewhere, name, value)
    result = convoy("plan", "--against", elsewhere.url, str(fleet), CONVOY_TOKEN=TOKEN)

    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert "\x1b" not in result.stderr
    assert TOKEN not in result.output
    assert len(elsewhere.asked) == 1


class Quick(Seams):
    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_a_connection_that_is_lost_is_made_again(elsewhere: Elsewhere) -> None:
    """Twice, a little later each time; then that is told."""
    seams = Quick()
    elsewhere.hang_up, elsewhere.body = 2, b"fine"
    assert post(Remote(elsewhere.url, TOKEN), "/x", b"", seams) == b"fine"
    assert (len(elsewhere.asked), seams.slept) == (3, [0.5, 1.0])
    elsewhere.hang_up = 3
    with pytest.raises(RemoteError, match="cannot ask"):
        post(Remote(elsewhere.url, TOKEN), "/x", b"", Quick())
    assert len(elsewhere.asked) == 6


def test_what_is_too_much_is_not_sent(elsewhere: Elsewhere) -> None:
    """Who is hung up on in the middle of sending would not hear why."""
    with pytest.raises(RemoteError, match="split the fleet"):
        post(Remote(elsewhere.url, TOKEN), "/x", os.urandom(34_000_000), Quick())
    assert not elsewhere.asked


def test_nobody_is_there() -> None:
    """What to look at is told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError, match="see whether it runs with --http"):
            post(Remote(f"http://127.0.0.1:{free.getsockname()[1]}", TOKEN), "/x", b"", Quick())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("convoy.example", "URL of a Convoy is none"),
        ("file:///etc/passwd", "URL of a Convoy is none"),
        ("ftp://convoy.example", "URL of a Convoy is none"),
        ("https://", "URL of a Convoy is none"),
        ("https://a b", "is none|cannot ask"),
        ("https://x:99999", "URL of a Convoy is none"),
        ("https://[::1", "URL of a Convoy is none"),
        ("https://me:secret-word@convoy.example", "no user"),
        ("https://convoy.example/?a=b", "ends with its path"),
        ("http://convoy.example", "show the token"),
        ("https://convoy.example\n", "URL of a Convoy is none"),
    ],
)
def test_urls_that_are_not_asked(url: str, words: str) -> None:
    """Nobody is connected to; a password in one is not repeated."""
    with pytest.raises(RemoteError, match=words) as raised:
        post(Remote(url, TOKEN), "/x", b"", Quick())
    assert "secret-word" not in str(raised.value)


@pytest.mark.parametrize("token", ["", "a b", "a\nX-Evil: 1", "é", "x" * 5000])
def test_tokens_that_are_not_sent(token: str, elsewhere: Elsewhere) -> None:
    """A header holds one word of ASCII; what is in the token is not repeated."""
    with pytest.raises(RemoteError, match="token") as raised:
        post(Remote(elsewhere.url, token), "/x", b"", Quick())
    assert not elsewhere.asked
    assert "X-Evil" not in str(raised.value)


def test_a_proxy_of_the_environment_is_used(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """As other programs of a CI job use it."""
    elsewhere.body = b"through the proxy"
    monkeypatch.setenv("http_proxy", elsewhere.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    answer = post(Remote("http://convoy.example:8080/at", TOKEN, plaintext=True), "/x", b"", Quick())
    assert (answer, elsewhere.asked[0][0]) == (b"through the proxy", "http://convoy.example:8080/at/x")
