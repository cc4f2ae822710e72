"""Inbound webhooks, on each database: found by their whole address alone, part of a backup, and bounded in all they keep."""

import base64
from collections.abc import Iterator
from contextlib import closing

import pytest

from reconciler.seams import Seams
from reconciler.store import PROVIDERS, Heard, HookError, Store
from reconciler.store import backup as backups
from reconciler.store.examine import examine
from reconciler.store.hooks import LAST, LONGEST_PLACE, MOST
from tests.postgres import Place


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with closing(Store(place.url, Seams())) as opened:
        yield opened


def test_found_by_its_address(store: Store) -> None:
    """With its secret; nothing is found by half of it, another's key, or under another provider."""
    hook, place, secret = store.hooks.create("fleet", "github", "https://git.example/a/b")
    other, elsewhere, _ = store.hooks.create("other", "github")
    assert len(place) == LONGEST_PLACE
    assert store.hooks.at("github", place) == (hook, secret.encode())
    id, _, key = place.partition("-")
    for wrong in (
        "",
        place[:-1],
        f"{place}0",
        f"{other.id}-{key}",
        f"{id}-{elsewhere[13:]}",
        place.upper(),
        "\0" * 61,
        "é" * 61,
    ):
        assert store.hooks.at("github", wrong) is None
    assert store.hooks.at("gitlab", place) is None
    assert store.hooks.every() == (hook, other)


def test_only_what_has_to_be_is_kept(store: Store) -> None:
    """The secret in one table that nothing lists; of the address a hash; no event holds either."""
    _, place, secret = store.hooks.create("fleet", "gitea")
    rows = store.backup({}).rows
    assert secret.encode() in {row["secret"] for row in rows["hook_secrets"]}
    shown = repr({name: found for name, found in rows.items() if name != "hook_secrets"})
    assert secret not in shown
    assert place[13:] not in shown
    assert [(one.kind, one.ref, one.message) for one in store.events()] == [
        ("hook.created", "Hook/fleet", "for deliveries by gitea")
    ]


def test_secrets_have_the_form_their_forge_wants(store: Store) -> None:
    """32 random bytes each; GitLab takes them in base64 behind a prefix; one that is brought is kept as it is."""
    made = {provider: store.hooks.create(f"h-{provider}", provider)[2] for provider in PROVIDERS}
    assert len(set(made.values())) == len(PROVIDERS)
    assert len(base64.b64decode(made["gitlab"].removeprefix("whsec_"), validate=True)) == 32
    assert all(len(bytes.fromhex(secret)) == 32 for provider, secret in made.items() if provider != "gitlab")
    _, place, shown = store.hooks.create("brought", "gitlab", secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = store.hooks.at("gitlab", place)
    assert found is not None
    assert found[1].decode() == shown == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_there_can_be_no_such_hook(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name twice, a name that is none, a secret that is none, more than anybody needs."""
    store.hooks.create("fleet", "github")
    with pytest.raises(HookError, match="already"):
        store.hooks.create("fleet", "gitlab")
    for name in ("", "-", "a/b", "A", "x" * 64, "a\nb"):
        with pytest.raises(HookError, match="no name"):
            store.hooks.create(name, "github")
    for secret in ("short", "x" * 2000, "with\nline and more of it", "é" * 20):
        with pytest.raises(HookError, match="printable"):
            store.hooks.create("other", "github", secret=secret)
    monkeypatch.setattr("reconciler.store.hooks.MOST", 1)
    assert MOST == 100
    with pytest.raises(HookError, match="revoke"):
        store.hooks.create("other", "github")


def test_revoked(store: Store) -> None:
    """At once, with all that was kept of it; deliveries that are told afterwards leave nothing behind."""
    hook, place, _ = store.hooks.create("fleet", "github")
    store.hooks.put_heard({hook.id: [Heard(1.0, "push", "woken")]})
    assert (store.hooks.revoke("fleet"), store.hooks.revoke("fleet")) == (True, False)
    store.hooks.put_heard({hook.id: [Heard(2.0, "push", "woken")]})
    assert (store.hooks.at("github", place), store.hooks.every(), store.hooks.heard()) == (None, (), {})
    assert store.backup({}).rows["hook_secrets"] == []


def test_deliveries_are_counted_and_the_last_kept(store: Store, place: Place) -> None:
    """A row for each hook, however much comes; what is in it may be anything; the doctor's look sees the same."""
    hook, _, _ = store.hooks.create("fleet", "github")
    for number in range(5):
        store.hooks.put_heard(
            {hook.id: [Heard(float(number), "push\0\ud800", "woken"), Heard(number + 0.5, "", "refused", "why")]}
        )
    kept = store.hooks.heard()[hook.id]
    assert kept.counts == {"woken": 5, "refused": 5}
    assert len(kept.last) == LAST == 10
    assert kept.last[-1] == Heard(4.5, "", "refused", "why")
    store.hooks.put_heard({hook.id: [Heard(9.0, "ping", "ping")] * 300})
    assert store.hooks.counts() == {"fleet": {"woken": 5, "refused": 5, "ping": 300}}
    seen = examine(place.url)
    assert (seen.hooks, seen.heard[hook.id].counts["ping"]) == ((hook,), 300)


def test_hooks_come_back_from_a_backup(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Forges deliver to the Convoy that was restored as they did before."""
    hook, last, secret = store.hooks.create("fleet", "github")
    kept = backups.read(backups.written(store.backup({})))
    other = tmp_path_factory.mktemp("other") / "convoy.db"
    with closing(Store(f"sqlite:///{other}", Seams())) as restored:
        restored.restore(kept, force=False)
        assert restored.hooks.at("github", last) == (hook, secret.encode())
