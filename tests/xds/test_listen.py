"""Where the server listens: on this machine, for its own user, and never beside another."""

import socket
from pathlib import Path

import pytest

from reconciler.xds.listen import ListenError

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


def test_a_socket_in_use_is_not_taken_over(world: World, sockets: Path) -> None:
    """Neither from another server of ours nor from anything else that answers."""
    address = f"unix:{sockets / 'xds.sock'}"
    world.server(address)
    with pytest.raises(ListenError, match="another server"):
        world.server(address)
