"""Sealed environments and files: opened at the last hop, kept where nobody else reads, and left out of what is shown."""

import os
import stat

import psutil
import pytest

from reconciler.core.kinds.sealed import Sealed
from reconciler.core.model import Ref
from reconciler.drivers import DriverError
from reconciler.drivers.process.instance import read_json

from .contract import act, eventually, healthy, seen, want
from .world import ProcessWorld, failing, script, soon

pytestmark = pytest.mark.slow

ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----\n"


def sealed(name: str) -> Sealed:
    return Sealed(age=ARMOR.format(name), hash="0" * 64)


class Keys:
    """Opens what is sealed under a name, and remembers what for."""

    def __init__(self, **known: bytes) -> None:
        self.known, self.opened = known, list[tuple[str, str]]()

    def __call__(self, ref: Ref, value: Sealed, purpose: str) -> bytes:
        name = value.age.splitlines()[1]
        if name not in self.known:
            raise DriverError(f"cannot open the secret of {ref}: it is sealed for others")
        self.opened.append((str(ref), purpose))
        return self.known[name]


def test_secrets_reach_the_workload_and_nobody_else(world: ProcessWorld) -> None:
    """The workload has them as they are, with no word filled; on disk they are the owner's alone; `ps` shows none."""
    run = script(
        'echo "$TOKEN|$PLAIN"; head -n 1 "$CONVOY_HOME/etc/key"; exec sleep 1000',
        environment={"TOKEN": sealed("token"), "PLAIN": "${ADDRESS}", "CONVOY_HOME": "${DIR}"},
        files={"etc/key": sealed("key"), "etc/plain": "${ADDRESS}"},
    )
    keys = Keys(token=b"canary-${ADDRESS}", key=b"canary-file\n\xff\n")
    driver, app = world.driver(open_secret=keys), want("app", run=run)
    act(driver, "create", app)
    pid = eventually(driver, app, healthy).fields["pid"]
    soon(lambda: "canary-file" in world.log("app"))

    home = world.directory("app") / "home"
    assert world.log("app").splitlines()[0] == "canary-${ADDRESS}|127.0.0.1"
    assert (home / "etc/key").read_bytes() == b"canary-file\n\xff\n"
    assert (home / "etc/plain").read_text() == "127.0.0.1"
    assert sorted(keys.opened) == [(str(app.owner), "run: environment TOKEN"), (str(app.owner), "run: files etc/key")]
    for path in (world.directory("app") / "want.json", home / "etc/key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    family = [psutil.Process(pid), *psutil.Process(pid).parents()]
    assert not any("canary" in word for process in family if process.pid != os.getpid() for word in process.cmdline())

    act(driver, "delete", app)
    assert not world.directory("app").exists()
    assert b"canary" not in b"".join(path.read_bytes() for path in world.root.rglob("*") if path.is_file())


@pytest.mark.parametrize("field", ["environment", "files"])
def test_what_cannot_be_opened_fails_alone_and_leaves_nothing(world: ProcessWorld, field: str) -> None:
    """The action fails in words, nothing of the instance is there afterwards, and other instances are made as ever."""
    driver = world.driver(open_secret=Keys())
    app = want("app", run=script("exec sleep 1000", **{field: {"TOKEN": sealed("token")}}))
    with pytest.raises(DriverError, match="sealed for others"):
        act(driver, "create", app)
    assert seen(driver) == {}
    assert not list(world.host.glob("**/want.json"))
    other = want("other", run=script("exec sleep 1000"))
    act(driver, "create", other)
    eventually(driver, other, healthy)


@pytest.mark.parametrize(("plaintext", "words"), [(b"a\0b", "no text for a variable"), (b"canary\xff", "not UTF-8")])
def test_what_no_environment_can_hold_is_refused(world: ProcessWorld, plaintext: bytes, words: str) -> None:
    """It is told what is wrong with the secret, and nothing of the secret."""
    app = want("app", run=script("exec sleep 1000", environment={"TOKEN": sealed("token")}))
    with pytest.raises(DriverError, match=words) as raised:
        act(world.driver(open_secret=Keys(token=plaintext)), "create", app)
    assert "canary" not in str(raised.value)


def test_a_workload_that_prints_its_secrets_is_not_quoted_with_them(world: ProcessWorld) -> None:
    """What it says before it dies stands in its health; its secrets do not, whole or by the line, also for a later Convoy."""
    pem = b"-----BEGIN PRIVATE KEY-----\ncanaryMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n"
    run = script(
        'echo "cannot log in with $TOKEN, pin $PIN, 4217"; sed -n 2p "$CONVOY_HOME/key"; exit 3',
        environment={"TOKEN": sealed("token"), "PIN": sealed("pin"), "CONVOY_HOME": "${DIR}"},
        files={"key": sealed("key")},
        restart="never",
    )
    app = want("app", run=run)
    act(world.driver(open_secret=Keys(token=b"canary-token\n", pin=b"421", key=pem)), "create", app)
    health = eventually(world.driver(), app, failing).health
    assert "cannot log in with [hidden], pin [hidden], 4217 | [hidden]" in health.message
    assert "canary" not in health.message


def test_a_file_that_became_something_else_delays_nobody(world: ProcessWorld) -> None:
    """A workload that puts a pipe in place of its secret file is looked at as ever."""
    run = script('rm "$D/key"; mkfifo "$D/key"; echo gone; exit 3', environment={"D": "${DIR}"}, files={"key": sealed("key")})
    app = want("app", run=run.model_copy(update={"restart": "never"}))
    act(world.driver(open_secret=Keys(key=b"canary-key")), "create", app)
    assert "last output: gone" in eventually(world.driver(), app, failing).health.message


def test_nothing_new_stands_in_an_instance_without_secrets(world: ProcessWorld) -> None:
    """What earlier releases have written is still what is written: an upgrade changes no file."""
    driver, app = world.driver(), want("app", run=script("exec sleep 1000"))
    act(driver, "create", app)
    assert "sealed" not in (read_json(world.directory("app") / "want.json") or {})
