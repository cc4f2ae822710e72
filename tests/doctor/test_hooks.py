"""Inbound webhooks that do not arrive, or do not count."""

from reconciler.store import Heard, Store

from .room import Room


def test_webhooks(room: Room, opened: Store) -> None:
    """One that has never been delivered, one that is refused, one about something else; each with what to do."""
    assert room.one("webhooks") == ("ok", "there are none", "")
    hook, _, secret = opened.hooks.create("fleet", "github")
    assert room.one("webhooks") == ("ok", "1 hook", "")
    with opened._database.writing("hooks") as connection:
        connection.exec_driver_sql("UPDATE hooks SET at = at - 3600")
    verdict, what, hint = room.one("webhooks")
    assert (verdict, what) == ("warn", "nothing has ever been delivered to hook fleet (github)")
    assert "convoy hook revoke fleet" in hint
    opened.hooks.put_heard({hook.id: [Heard(hook.at, "push", "elsewhere")]})
    assert "about what is followed here" in room.one("webhooks")[1]
    opened.hooks.put_heard({hook.id: [Heard(hook.at, "", "refused", "the signature is not this hook's")]})
    verdict, what, hint = room.one("webhooks")
    assert (verdict, "was refused: the signature is not this hook's" in what) == ("warn", True)
    opened.hooks.put_heard({hook.id: [Heard(hook.at, "push", "woken")]})
    assert room.one("webhooks") == ("ok", "1 hook", "")
    assert secret not in repr(room.says("webhooks"))
