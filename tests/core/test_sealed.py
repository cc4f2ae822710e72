"""Secrets in documents: where they may stand, what stands for them in digests, and what is said of one that is wrong."""

import pytest

from reconciler.core.hiding import HIDDEN, hide_secrets
from reconciler.core.kinds.recipient import LENGTH, recipient
from tests.core.checked import document, problems
from tests.fleets import load_text

# As age prints one.
RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


def sealed(age: str = "a", hash: str = "0" * 64) -> str:
    return f'{{age: "-----BEGIN AGE ENCRYPTED FILE-----\\n{age}\\n-----END AGE ENCRYPTED FILE-----\\n", hash: "{hash}"}}'


def fleet(token: str, file: str = "plain", other: str = "plain") -> dict[str, str]:
    """Workload ⇒ instance, of a fleet with these values."""
    text = (
        f"apiVersion: convoy/v1\nkind: Application\nmetadata: {{name: web}}\nspec: {{command: [run], replicas: 2, "
        f"environment: {{TOKEN: {token}, MODE: fast}}, files: {{etc/key: {file}}}}}\n"
        f"---\napiVersion: convoy/v1\nkind: Container\nmetadata: {{name: other}}\n"
        f"spec: {{command: [run], environment: {{TOKEN: {other}}}}}\n"
    )
    return {ref.name: want.instance for ref, want in load_text(text).workloads.items()}


def test_sealing_again_is_no_change() -> None:
    """Only the hash counts: another ciphertext of the same secret makes no other instance of anything."""
    assert fleet(sealed("one"), sealed("two")) == fleet(sealed("ONE"), sealed("TWO"))


def test_another_secret_changes_what_it_concerns() -> None:
    """A new hash makes new instances of its own workload's replicas, and of nothing else."""
    before = fleet(sealed(hash="0" * 64), other=sealed(hash="0" * 64))
    for after in (fleet(sealed(hash="1" * 64), other=sealed()), fleet(sealed(), sealed(hash="unkeyed-" + "2" * 32), sealed())):
        assert before["other"] == after["other"]
        assert {before["web-1"], before["web-2"]}.isdisjoint({after["web-1"], after["web-2"]})


def test_a_hash_that_stands_openly_is_not_the_secret_of_it() -> None:
    """Text that looks like what stands for a secret in a digest is another value."""
    hash = "0" * 64
    assert fleet(sealed(hash=hash)) != fleet(f'"{hash}"')


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("{command: [x], environment: {A: {age: canary, hash: canary}}}", "`age` does not fit"),
        ("{command: [x], environment: {A: {age: canary, hash: canary}}}", "`hash` does not fit"),
        ("{command: [x], environment: {A: {canary: canary}}}", "unknown field `canary`"),
        ("{command: [x], environment: {A: [canary]}}", "`A` must be text, not a list"),
        ("{command: [x], files: {A: {age: canary}}}", "`hash` is missing"),
        ("{command: [x], files: {../A: " + sealed() + "}}", "leads out of the instance's directory"),
        ("{command: [" + sealed() + "]}", "`command[0]` must be text, not a mapping"),
    ],
)
def test_what_is_wrong_with_a_sealed_value(spec: str, found: str) -> None:
    """It is found at its own place, and no value that may be a secret is repeated."""
    told = problems(document("Container", "x", spec))
    assert any(found in one for one in told), told
    assert not any("'canary'" in one for one in told)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (f"{{recipients: [{RECIPIENT}]}}", ""),
        (f"{{recipients: [{RECIPIENT}, {RECIPIENT}]}}", "this recipient is there twice"),
        ("{recipients: [age1canary]}", "4:21: this is no age recipient"),
        (f"{{recipients: [{RECIPIENT[:20]}q{RECIPIENT[21:]}]}}", "4:21: this age recipient has a typing error in it"),
        (f"{{recipients: [{RECIPIENT.upper()}]}}", "this is no age recipient"),
        ("{recipients: [AGE-SECRET-KEY-1CANARY]}", "4:21: an age identity stands openly where its recipient belongs"),
        ("{hashKey: {age: canary}}", "`age` does not fit"),
        ("{hashKey: canary}", "`hashKey` must be a mapping"),
    ],
)
def test_what_is_wrong_with_recipients(spec: str, found: str) -> None:
    """A recipient is checked down to its checksum, at its line and column, and never repeated: it may be an identity."""
    told = problems(document("Settings", "x", spec))
    assert any(found in one for one in told) if found else not told
    assert not any("canary" in one.lower() for one in told)


def test_every_typing_error_in_a_recipient_is_found() -> None:
    """Bech32 finds each single wrong letter."""
    assert (len(RECIPIENT), recipient(RECIPIENT)) == (LENGTH, RECIPIENT)
    for at in range(4, LENGTH):
        wrong = RECIPIENT[:at] + ("q" if RECIPIENT[at] != "q" else "p") + RECIPIENT[at + 1 :]
        with pytest.raises(ValueError, match="typing error"):
            recipient(wrong)


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("login canary-4711 failed", ["canary-4711\n"], f"login {HIDDEN} failed"),
        ("pin 421, port 4217, x421", ["421"], f"pin {HIDDEN}, port 4217, x421"),
        ("both canary-4711-long and canary-4711", ["canary-4711", "canary-4711-long"], f"both {HIDDEN} and {HIDDEN}"),
        (
            "a line 0123456789abcdef of a key",
            ["-----BEGIN-----\n0123456789abcdef\n-----END-----\n"],
            f"a line {HIDDEN} of a key",
        ),
        ("nothing", ["", " ", "\n"], "nothing"),
        ("[x] a.b", ["a.b", "[x]"], f"[x] {HIDDEN}"),
    ],
)
def test_secrets_are_taken_out_of_a_text(text: str, secrets: list[str], shown: str) -> None:
    """Whole and by the line; very short ones only as words of their own; a secret is no pattern."""
    assert hide_secrets(text, secrets) == shown.replace("[x]", HIDDEN if "[x]" in secrets else "[x]")


def test_an_address_that_is_none_is_not_repeated() -> None:
    """Of a webhook, and of Slack where it stands in the clear: Problems are shown to many."""
    for way in (
        "webhook: {url: hooks.example/canary}",
        'webhook: {url: "https://a:canary@b/"}',
        'slack: {url: "https://a/canary"}',
    ):
        told = problems(document("Notification", "x", f"{{on: [status], to: {{{way}}}}}"))
        assert any("`url`" in one for one in told)
        assert not any("canary" in one for one in told)
