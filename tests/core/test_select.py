"""What a person types after `--only` selects what they mean, and says what is wrong where it can mean nothing."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.kinds import KINDS
from reconciler.core.model import Ref
from reconciler.core.select import EVERYTHING, Selection, Selector, SelectorError, kind_named

WEB, SHOP = Ref("Application", "web"), Ref("Application", "web", "shop")
REPLICA = Ref("Container", "web-1")
EDGE, EDGE_2, FAR = Ref("Proxy", "edge-1"), Ref("Proxy", "edge-2"), Ref("Proxy", "far", "shop")


def selected(*texts: str) -> set[str]:
    labels = {WEB: {"team": "shop", "tier": "front"}, EDGE: {"team": "net"}}
    selection = Selection(Selector.parse(texts, KINDS), labels, {REPLICA: WEB})
    return {str(ref) for ref in (WEB, SHOP, REPLICA, EDGE, EDGE_2, FAR) if ref in selection}


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["Application/web"], {"Application/web", "Container/web-1"}),
        (["app/web"], {"Application/web", "Container/web-1"}),
        (["Container/web-1"], {"Container/web-1"}),
        (["Application/shop/web"], {"Application/shop/web"}),
        (["Application/*/web"], {"Application/web", "Application/shop/web", "Container/web-1"}),
        (["proxies"], {"Proxy/edge-1", "Proxy/edge-2", "Proxy/shop/far"}),
        (["PROXY/edge-?"], {"Proxy/edge-1", "Proxy/edge-2"}),
        (["proxy/*"], {"Proxy/edge-1", "Proxy/edge-2"}),
        (["team=shop"], {"Application/web", "Container/web-1"}),
        (["team=*"], {"Application/web", "Container/web-1", "Proxy/edge-1"}),
        (["proxies, team != net"], {"Proxy/edge-2", "Proxy/shop/far"}),
        (["app,team=shop,tier=front"], {"Application/web", "Container/web-1"}),
        (["app,team=net"], set()),
        (["proxy/edge-1", "app/shop/web"], {"Proxy/edge-1", "Application/shop/web"}),
    ],
)
def test_words_select(texts: list[str], found: set[str]) -> None:
    """A comma means "and", several texts mean "or", and a workload comes along with what it belongs to."""
    assert selected(*texts) == found


def test_nothing_said_is_everything() -> None:
    """Without a selector nothing is left out."""
    assert len(selected()) == 6
    assert not EVERYTHING
    assert EVERYTHING.covers(WEB)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a selector is empty: write KIND"),
        ("app/web,,x=y", "in 'app/web,,x=y' a selector is empty"),
        ("aplication/web", "there is no kind 'aplication': did you mean Application?"),
        ("c", "there is no kind 'c': did you mean Certificate or Cluster or Configuration or Container?"),
        ("web", "there is no kind 'web': the kinds are Application"),
        ("app/Web", "did you mean 'web'?"),
        ("app/a/b/c", "selects nothing"),
        ("app/", "'' in 'app/' is no name"),
        ("/web", "there is no kind ''"),
        ("=x", "selects nothing"),
        ("app/" + "*a" * 9, "more than 8 `*`"),
        ("x" * 401, "longer than 400"),
        (",".join(["app"] * 21), "more than 20"),
        ("app/\x1b[31m", "'\\x1b[31m'"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    """An error names the word, why it selects nothing, and what is near."""
    with pytest.raises(SelectorError) as raised:
        Selector.parse([text], KINDS)
    assert words in str(raised.value)


def test_a_name_nobody_bears_is_said_with_the_nearest() -> None:
    """A typing error must not look like "nothing to do"; a pattern that finds nothing is no error."""
    refs = [WEB, SHOP, REPLICA, EDGE, FAR]

    def unknown(text: str) -> str:
        return Selector.parse([text], KINDS).unknown(refs)

    assert unknown("app/wbe") == "there is no Application/wbe: did you mean 'web'?"
    assert unknown("proxy/far") == "there is no Proxy/far: there is edge-1"
    assert unknown("app/other/web") == "there is no Application/other/web: did you mean Application/web?"
    assert unknown("host/a") == "there is no Host/a, and no other Host either"
    assert unknown("app/web") == unknown("app/x*") == unknown("proxies") == unknown("team=none") == ""


def test_the_worst_pattern_costs_little() -> None:
    """A pattern made to be tried again and again is answered at once."""
    selector = Selector.parse(["app/" + "*a" * 8 + "b"], KINDS)
    begun = time.process_time()
    for _ in range(100):
        assert not selector.covers(Ref("Application", "a" * 63))
    assert time.process_time() - begun < 1


def test_kinds_as_people_type_them() -> None:
    """Singular, plural, any case, or the beginning where it is one kind's alone."""
    assert {kind_named(word, KINDS) for word in ("proxy", "Proxies", "PROXY", "proxys")} == {"Proxy"}
    assert kind_named("app", KINDS) == "Application"
    assert kind_named("settings", KINDS) == "Settings"


@given(st.text(max_size=60))
def test_any_text_is_a_selector_or_an_error(text: str) -> None:
    """Whatever is typed, there is a selector that prints and reads as itself, or an error in words."""
    selector = EVERYTHING
    with contextlib.suppress(SelectorError):
        selector = Selector.parse([text], KINDS)
    assert Selector.parse([str(selector)] if selector else [], KINDS) == selector
