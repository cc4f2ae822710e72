"""What goes over the wire to a forge and comes back: patience, bounds, and where the token goes."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler import tls
from reconciler.core.show_comment import Mark, comment
from reconciler.forge import FORGES, Forge, ForgeError, State, Wire
from reconciler.forge.posting import Posted, post
from reconciler.forge.wire import checked_token, next_page, origin
from reconciler.seams import Seams
from tests.forge.conftest import BOT, TOKEN, Quick, stand_in
from tests.forge.gitea import Gitea
from tests.forge.stand_in import Account, Reply, Request, StandIn, Vice, serving

Client = Callable[..., Forge]
FIRST = Mark("fleet", "a" * 40, (1, 1))


def body(mark: Mark, text: str = "**1 to create**") -> str:
    return comment(text, mark, 65_536)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, {"message": "slow down"}, {"Retry-After": "7"}),
        Reply(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "7"}),
        Reply(502, {"message": "Bad Gateway"}),
        Reply(503, "<html>maintenance</html>"),
    ],
    ids=["limited", "limited-by-403", "502", "503"],
)
def test_an_overloaded_forge_is_asked_again(forge: StandIn, client: Client, quick: Quick, kind: str, reply: Reply) -> None:
    """As long as it asks to wait; and a request that was done though it failed leaves no second comment."""

    def done_and_failed(request: Request) -> Reply | None:
        if request.method != "POST" or request.path == "/graphql":
            return None
        forge.answer(request)
        return Reply(502, {"message": "Bad Gateway"})

    forge.vices += [lambda _: reply, done_and_failed]

    post(client(), 7, FIRST, body(FIRST))

    assert len(forge.of(BOT[kind])) == 1
    assert quick.slept[0] == (7.0 if "Retry-After" in reply.headers else 1.0)


def test_patience_has_an_end(forge: StandIn, client: Client, quick: Quick) -> None:
    """Nobody waits an hour in a job; what is said holds no token."""
    forge.vices += [lambda _: Reply(429, {"message": f"bad {TOKEN}"}, {"Retry-After": "3600"})]
    with pytest.raises(ForgeError, match="asks to wait 3600 s"):
        post(client(), 7, FIRST, body(FIRST))
    assert quick.slept == []

    forge.vices += [lambda _: Reply(502)] * 50
    with pytest.raises(ForgeError, match="502"):
        post(client(), 7, FIRST, body(FIRST))
    assert len(quick.slept) < 10


def test_a_slow_forge_is_not_waited_for_for_ever(forge: StandIn, kind: str) -> None:
    """Neither one slow answer nor many of them take longer than our patience."""
    wire = Wire(forge.api, TOKEN, FORGES[kind].headers(TOKEN), Seams(), patience_s=0.5)
    forge.vices += [lambda _: Reply(200, [], after_s=30.0)]
    began = time.monotonic()
    with pytest.raises(ForgeError, match=r"timed out|too slow"):
        list(FORGES[kind].client(wire, forge.repository).comments(7))
    assert time.monotonic() - began < 20

    wire = Wire(forge.api, TOKEN, FORGES[kind].headers(TOKEN), Seams(), patience_s=0.5)
    dripping = Reply(200, [], {"Link": f'<{forge.api}/more>; rel="next"'}, after_s=0.1)
    forge.vices += [lambda _: dripping for _ in range(20)]
    with pytest.raises(ForgeError, match=r"timed out|too slow"):
        list(FORGES[kind].client(wire, forge.repository).comments(7))


def test_a_proxy_does_not_read_what_stays_on_this_machine(
    forge: StandIn, kind: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says."""
    with stand_in(kind) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert post(client(), 7, FIRST, body(FIRST)).done == "created"
        assert proxy.heard == []


def test_the_token_goes_to_no_other_host(forge: StandIn, client: Client, kind: str) -> None:
    """Neither by a redirect nor by a page's link; a redirect on the same host is followed."""

    def to_a_list(reply: Reply) -> Vice:
        return lambda request: reply if request.method == "GET" and not request.path.endswith("/user") else None

    with stand_in(kind) as other:
        for reply in (
            Reply(307, None, {"Location": other.api + "/repos/us/fleet/issues/7/comments"}),
            Reply(302, None, {"Location": "//" + other.address.removeprefix("http://") + "/"}),
            Reply(200, [], {"Link": f'<{other.api}/next?page=2>; rel="next"'}),
        ):
            forge.vices = [to_a_list(reply)]
            with pytest.raises(ForgeError, match="the token is not sent there"):
                post(client(), 7, FIRST, body(FIRST))
        assert other.heard == []

    def moved(request: Request) -> Reply | None:
        return Reply(301, None, {"Location": request.path + "?moved=1"}) if request.method == "GET" else None

    forge.vices = [moved]
    assert post(client(), 7, FIRST, body(FIRST)).done == "created"


def test_what_is_said_holds_no_token_and_drives_no_terminal(forge: StandIn, client: Client) -> None:
    """A forge's words are shown, cut and harmless; one that repeats the token is not repeated."""
    forge.vices += [lambda _: Reply(400, {"message": f"\x1b[31mno {TOKEN} " + "x" * 5_000})]
    with pytest.raises(ForgeError) as raised:
        list(client().comments(7))
    said = str(raised.value)
    assert TOKEN not in said
    assert "\x1b" not in said
    assert len(said) < 600


def test_answers_are_bounded(forge: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """In size, and in pages."""
    monkeypatch.setattr("reconciler.forge.wire.MOST_BYTES", 1 << 20)
    forge.vices += [lambda _: Reply(200, ["x" * (2 << 20)])]
    with pytest.raises(ForgeError, match="more than 1 MiB"):
        list(client().comments(7))

    endless = Reply(200, [], {"Link": f'<{forge.api}/more>; rel="next"'})
    forge.vices = [lambda _: endless for _ in range(200)]
    with pytest.raises(ForgeError, match="pages"):
        list(client().comments(7))
    forge.vices = [lambda _: Reply(200, {"not": "a list"})]
    with pytest.raises(ForgeError, match="not a list"):
        list(client().comments(7))
    forge.vices = [lambda _: Reply(200, [{"body": "no id"}])]
    with pytest.raises(ForgeError, match="lacks its id"):
        list(client().comments(7))


def test_a_commit_gets_a_status(forge: StandIn, client: Client) -> None:
    """In the words of each forge, and a description no longer than it takes."""
    states: tuple[State, ...] = ("pending", "success", "failure", "error")
    for state in states:
        client().set_status("a" * 40, state, "x" * 500, "https://ci.example/1")

    assert [revision for revision, _ in forge.statuses] == ["a" * 40] * len(states)
    assert all(said["target_url"] == "https://ci.example/1" for _, said in forge.statuses)


def test_without_tls_only_this_machine_is_told_the_token(quick: Quick) -> None:
    """Unless a person says so."""
    for api in ("http://git.example/api/v1", "http://10.0.0.1"):
        with pytest.raises(ForgeError, match="without TLS"):
            Wire(api, TOKEN, {}, quick)
        Wire(api, TOKEN, {}, quick, plain=True)
    for api in (
        "ftp://git.example",
        "git.example",
        "https://user:pw@git.example",
        "http://[::1",
        "https://x:99999/",
        "https://a b/",
    ):
        with pytest.raises(ForgeError) as raised:
            Wire(api, TOKEN, {}, quick)
        assert "pw" not in str(raised.value)


def test_a_certificate_that_nobody_vouches_for_ends_it_at_once(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is not sent; whose certificates are to be believed can be said."""
    pair = tls.self_signed(["127.0.0.1"], 1, 1, time.time())
    (tmp_path / "cert.pem").write_bytes(pair.chain_pem)
    (tmp_path / "key.pem").write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with serving(Gitea(accounts={TOKEN: Account("gitea-actions", 1)}), context) as forge:

        def post_one() -> Posted:
            wire = Wire(forge.api, TOKEN, FORGES["gitea"].headers(TOKEN), quick)
            return post(FORGES["gitea"].client(wire, forge.repository), 7, FIRST, body(FIRST))

        with pytest.raises(ForgeError, match="its certificate is not trusted"):
            post_one()
        assert (quick.slept, forge.heard) == ([], [])
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert post_one().done == "created"


def test_small_readings() -> None:
    """Links of pages, origins, tokens."""
    assert next_page('<https://a/?page=1>; rel="prev", <https://a/?page=3>; rel="next"') == "https://a/?page=3"
    assert next_page('<https://a/?page=9>; rel="last"') == ""
    assert origin("https://a.example/x") == ("https", "a.example", 443)
    assert checked_token(" abc\n") == "abc"
    with pytest.raises(ForgeError) as raised:
        checked_token("abc\r\nX-Evil: 1")
    assert "abc" not in str(raised.value)
