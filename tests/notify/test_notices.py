"""Which events are news to somebody, how a message is signed and worded, and that nothing in it does anything."""

import json
from email.message import EmailMessage
from email.policy import SMTP

from reconciler.core.notices import MOST_ITEMS, Told, backoff_s, message, news, signature
from reconciler.core.show_events import Happened
from reconciler.core.show_notice import SECTION, SECTIONS, lines, slack, statuses, title


def event(kind: str, ref: str = "Container/a", at: float = 1.0, words: str = "", number: int = 1) -> Happened:
    return Happened(at, kind, ref, words, number)


def kinds(*events: Happened, told: dict[tuple[str, str], Told] | None = None, repeat_after_s: float = 3600.0) -> list[str]:
    return [one.kind for one in news(events, ["*.failed", "status.held"], lambda _: True, told or {}, repeat_after_s).items]


def test_the_same_is_told_once() -> None:
    """Until it was good in between, became something else, or happens again long after."""
    failed, held, pending, synced = (event(f"status.{word}") for word in ("failed", "held", "pending", "synced"))
    assert kinds(failed, failed) == ["status.failed"]
    assert kinds(failed, pending, failed) == ["status.failed"]
    assert kinds(failed, synced, failed) == ["status.failed", "status.failed"]
    assert kinds(failed, held, failed) == ["status.failed", "status.held", "status.failed"]
    assert kinds(failed, event("status.failed", at=4000.0)) == ["status.failed", "status.failed"]
    assert kinds(failed, failed, repeat_after_s=0) == ["status.failed", "status.failed"]
    assert kinds(failed, event("status.failed", "Container/b"), event("action.failed")) == [
        "status.failed",
        "status.failed",
        "action.failed",
    ]


def test_what_was_told_is_remembered() -> None:
    """Over messages and over restarts; only what is new is given back to be remembered."""
    key = ("Container/a", "status")
    before = {key: Told("status.failed", 1.0)}
    assert kinds(event("status.failed", at=2.0), told=before) == []
    assert news([event("status.synced")], ["*.failed"], lambda _: True, before, 0).told == {key: None}
    assert news([event("status.pending")], ["*.failed"], lambda _: True, before, 0).told == {}
    assert news([event("status.failed")], ["*.failed"], lambda _: False, {}, 0).items == ()


def test_nobody_is_told_about_the_telling() -> None:
    """A message that did not arrive, or a secret that was opened for one, is no reason for another."""
    events = [event("notification.failed", "Notification/a"), event("secret.opened", "Notification/a")]
    assert news(events, ["*"], lambda _: True, {}, 0).items == ()


def test_a_burst_is_one_bounded_message() -> None:
    """What is listed is bounded, what is not is counted, and the same events make the same id."""
    burst = [event("status.failed", f"Container/c-{n}", words="x" * 10_000, number=n) for n in range(1000)]
    found = news(burst, ["status"], lambda _: True, {}, 0)
    assert (len(found.items), found.more, len(found.told)) == (MOST_ITEMS, 1000 - MOST_ITEMS, 1000)
    made = message("Notification/a", "us", found, 7, 1.0)
    assert len(json.dumps(made)) < 100_000
    assert made["id"] == message("Notification/a", "us", found, 7, 99.0)["id"]
    assert made["id"] != message("Notification/b", "us", found, 7, 1.0)["id"]
    assert list(lines(made))[-1] == "… and 950 more: `convoy events` lists them"


def test_signatures_are_those_of_standard_webhooks() -> None:
    """The example of its specification."""
    secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(b"whsec_not base64!", "a", 1, b"") == signature(b"whsec_not base64!", "a", 1, b"")


def test_nothing_in_a_message_does_anything() -> None:
    """No mention, no link, no header, no escape: what people and programs wrote is words."""
    hostile = "<!channel> <http://evil|ok> @here & :bomb:\r\nBcc: all@example.com\x1b[2J\u202e"
    made = message(
        "Notification/a", "us", news([event("status.failed", hostile, 1.0, hostile)], ["*"], lambda _: True, {}, 0), 1, 1
    )
    answer = slack(made)
    assert "<!" not in answer["text"]
    assert {block["text"]["type"] for block in answer["blocks"]} == {"plain_text"}
    assert not any(block["text"]["emoji"] for block in answer["blocks"])
    for text in (title(made), *lines(made)):
        assert not {"\n", "\r", "\x1b", "\u202e"} & {*text}
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = title(made)
    assert mail.as_string().count("\n") <= 4
    assert "Bcc" not in mail


def test_slack_takes_it() -> None:
    """Within the bounds that its documentation names, however much there is."""
    burst = [event("status.failed", f"Container/c-{n}", words="x" * 10_000, number=n) for n in range(100)]
    blocks = slack(message("Notification/a", "us", news(burst, ["*"], lambda _: True, {}, 0), 1, 1.0))["blocks"]
    assert 1 < len(blocks) <= SECTIONS
    assert all(0 < len(block["text"]["text"]) <= SECTION for block in blocks)


def test_commits_get_the_last_that_is_known() -> None:
    """Refused, accepted, converged; a folder has no commits."""
    good, bad = "a" * 40, "b" * 40
    events = [
        event("revision.accepted", good),
        event("revision.refused", bad, words="e.yaml:3: bad"),
        event("fleet.converged", good),
        event("revision.accepted", "folder-1"),
        event("status.failed"),
    ]
    found = statuses(message("Notification/a", "us", news(events, ["*"], lambda _: True, {}, 0), 1, 1.0))
    assert found == {good: ("success", "the fleet is as declared"), bad: ("failure", "e.yaml:3: bad")}


def test_trying_again_grows_rarer() -> None:
    """From seconds to a quarter of an hour."""
    assert [backoff_s(tries) for tries in (1, 2, 3, 50)] == [5.0, 10.0, 20.0, 900.0]
