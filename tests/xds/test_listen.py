"""Where the server listens: on this machine, for its own user, and never beside another."""

import socket
import threading
from pathlib import Path

import pytest

from reconciler.log import Log
from reconciler.seams import Seams
from reconciler.xds.listen import ListenError, later, once_left

from .conftest import World
from .snapshot import raw, snapshot

WORLD = snapshot([raw("cds", "a", "1")])


def test_the_unix_socket_is_ours_alone_and_a_stale_one_is_no_obstacle(world: World, sockets: Path) -> None:
    """What a killed server left behind does not stop the next; nobody else may connect."""
    path = sockets / "xds.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    server = world.server(f"unix:{path}")
    assert path.stat().st_mode & 0o777 == 0o600
    server.publish("n", WORLD)
    client = world.client_at(f"unix:{path}")
    client.send("cds")
    assert len(client.read().resources) == 1


@pytest.mark.parametrize(
    "address", ["0.0.0.0:0", "192.0.2.1:80", "[::]:0", "example.org:1", "here", "unix:relative", "127.0.0.1:99999"]
)
def test_plaintext_is_for_this_machine(world: World, address: str) -> None:
    """No address that another machine could reach is listened on."""
    with pytest.raises(ListenError):
        world.server(address)


def test_a_taken_port_is_said(world: World) -> None:
    """Two servers never share a port: each would get half of the proxies."""
    server = world.server()
    (port,) = server.ports.values()
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ListenError, match=f"{host}:{port}: another Convoy.* choose another port"):
            world.server(f"{host}:{port}")


class Leaving(Seams):
    """Whoever listens leaves when he has been waited for twice; each wait is a second."""

    def __init__(self, held: socket.socket, leaves: bool = True) -> None:
        self.held, self.leaves, self.waits = held, leaves, 0

    def monotonic(self) -> float:
        return float(self.waits)

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        self.waits += 1
        if self.waits == 2 and self.leaves:
            self.held.close()
        return event.is_set()


def test_who_takes_over_waits_until_the_other_has_left(sockets: Path) -> None:
    """So long and no longer; and for nobody at an address that can be had, or never can."""
    log, stopped = Log(level="error"), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as held:
        addresses = (f"127.0.0.1:{held.getsockname()[1]}", f"unix:{sockets / 'xds.sock'}", "127.0.0.1:0")
        later(addresses, log)
        stays = Leaving(held, leaves=False)
        with pytest.raises(ListenError, match="another Convoy"):
            once_left(addresses, 5.0, stopped, log, stays)
        assert stays.waits == 5
        leaves = Leaving(held)
        assert once_left(addresses, 5.0, stopped, log, leaves)
        assert leaves.waits == 2
    with socket.create_server(("127.0.0.1", 0)) as held:
        stopped.set()
        assert not once_left((f"127.0.0.1:{held.getsockname()[1]}",), 5.0, stopped, log, Leaving(held))
    for address in ("0.0.0.0:1", "here"):
        with pytest.raises(ListenError):
            later((address,), log)


def test_a_socket_in_use_is_not_taken_over(world: World, sockets: Path) -> None:
    """Neither from another server of ours nor from anything else that answers."""
    address = f"unix:{sockets / 'xds.sock'}"
    world.server(address)
    with pytest.raises(ListenError, match="another server"):
        world.server(address)
