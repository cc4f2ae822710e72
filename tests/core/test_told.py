"""What commits say in their trailers becomes orders; what makes no sense is told and stops nothing."""

import pytest

from reconciler.core.facts import Order
from reconciler.core.told import MOST_HOLDS, MOST_TRAILERS, Said, heard
from reconciler.core.trailers import LONGEST_MESSAGE

DIGEST, OTHER = "0123456789abcdef", "fedcba9876543210"
HELD = f"Configuration/edge@{DIGEST}"


def said(*trailers: str, number: int = 1) -> Said:
    return Said(f"{number:040x}", "Eve <eve@example.org>", "Mend it\n\n" + "\n".join(trailers) + "\n")


def hold(subject: str, at: float = 1.0) -> Order:
    return Order("hold", subject, "why", "who", at)


def test_orders_say_who_why_and_where() -> None:
    """An order carries the commit's title, its first digits and its author."""
    told = heard([said("Convoy-Confirm: Container/web-1", "convoy-confirm: deletes", f"CONVOY-HOLD: {HELD}")], (), 5.0)

    assert [(one.verb, one.subject) for one in told.put] == [
        ("confirm", "Container/web-1"),
        ("confirm", "deletes"),
        ("hold", HELD),
    ]
    assert told.put[0] == Order("confirm", "Container/web-1", "Mend it (000000000000)", "Eve <eve@example.org>", 5.0)
    assert (told.drop, told.words) == ((), ())
    assert told.tells("confirm", "deletes")
    assert list(told.holds()) == [HELD]


def test_a_release_takes_back_every_hold_of_a_resource() -> None:
    """Those that were kept and those just told; a digest behind the name means that one alone."""
    two = f"Configuration/edge@{OTHER}"
    kept = (hold(HELD), hold("Configuration/edges@" + DIGEST), hold("Configuration/t/edge@" + DIGEST))
    told = heard([said(f"Convoy-Hold: {two}"), said("Convoy-Release: Configuration/edge", number=2)], kept, 5.0)
    assert (told.put, told.drop, told.words) == ((), (("hold", HELD),), ())
    assert set(told.holds()) == {kept[1].subject, kept[2].subject}
    one = heard([said(f"Convoy-Release: {HELD}")], (hold(HELD), hold(two)), 5.0)
    assert one.drop == (("hold", HELD),)


def test_the_order_of_commits_counts() -> None:
    """Held after it was released is held; told again is told anew."""
    told = heard([said("Convoy-Release: Configuration/edge"), said(f"Convoy-Hold: {HELD}")], (hold(HELD),), 9.0)
    assert [one.at for one in told.put] == [9.0]
    assert told.drop == ()


@pytest.mark.parametrize(
    ("trailer", "words"),
    [
        ("Convoy-Confirm: everything", "names no resource"),
        ("Convoy-Confirm: Contaner/web", "names no resource"),
        ("Convoy-Confirm: Container/web@" + DIGEST, "does not name a resource"),
        ("Convoy-Confirm:", "names no resource"),
        ("Convoy-Confirm: Container/default/web", "names no resource"),
        ("Convoy-Hold: Configuration/edge", "has no digest"),
        ("Convoy-Hold: Configuration/edge@xyz", "has no digest of 16"),
        ("Convoy-Hold: edge@" + DIGEST, "names no resource"),
        ("Convoy-Release: Configuration/edge", "releases nothing"),
        ("Convoy-Confrim: deletes", "is no trailer that Convoy knows"),
        ("Convoy-Hold: " + "x" * 10_000, "…` names no resource"),
        ("Convoy-Confirm: Container/" + "x" * 10_000, "…` names no resource"),
    ],
    ids=lambda value: value[:30],
)
def test_what_makes_no_sense_is_said(trailer: str, words: str) -> None:
    """In words that name the commit; the trailers around it count."""
    told = heard([said("Convoy-Confirm: Container/a", trailer, "Convoy-Confirm: Container/b")], (), 1.0)

    assert [one.subject for one in told.put] == ["Container/a", "Container/b"]
    assert len(told.words) == 1
    assert told.words[0].startswith("commit 000000000000: `")
    assert words in told.words[0]
    assert len(told.words[0]) < 400


def test_what_a_rollback_says_of_itself_is_no_order() -> None:
    """Nor are other people's trailers anything to speak of."""
    told = heard([said("Convoy-Rollback: Configuration/edge 1234", "Signed-off-by: Eve <eve@example.org>")], (), 1.0)
    assert told == heard([], (), 1.0)


def test_bounds() -> None:
    """A hostile message costs nothing and says so; holds end somewhere, the oldest first."""
    many = said(*(f"Convoy-Confirm: Container/c{n}" for n in range(MOST_TRAILERS + 5)))
    told = heard([many], (), 1.0)
    assert len(told.put) == MOST_TRAILERS
    assert f"only the first {MOST_TRAILERS} of its {MOST_TRAILERS + 5}" in told.words[0]
    long = Said("1" * 40, "E", "x\n\n" + "y" * LONGEST_MESSAGE + "\n\nConvoy-Confirm: deletes\n")
    assert heard([long], (), 1.0).put == ()
    kept = tuple(hold(f"Container/c{n}@{DIGEST}", float(n)) for n in range(MOST_HOLDS))
    told = heard([said(f"Convoy-Hold: {HELD}")], kept, 1e9)
    assert told.drop == (("hold", kept[0].subject),)
    assert f"the hold on {kept[0].subject} is given up" in told.words[0]
    assert len(told.holds()) == MOST_HOLDS
