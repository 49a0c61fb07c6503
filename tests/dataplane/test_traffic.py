"""How many bytes have come and gone, on both sides."""

from __future__ import annotations

from rproxy.dataplane.traffic import Traffic
from tests.dataplane.kit import World, command

GET = command("GET", "k")
REPLY = b"$5\r\nvalue\r\n"


def test_nothing_has_passed_at_first() -> None:
    traffic = Traffic()
    assert [traffic.from_clients, traffic.to_clients, traffic.from_servers, traffic.to_servers] == [0] * 4


def test_a_command_and_its_reply_are_counted_once_on_each_side() -> None:
    world = World(replicas=1)
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(REPLY)
    traffic = world.plane.traffic
    to_servers, from_servers = traffic.to_servers, traffic.from_servers  # with the handshake
    client.send(GET * 3)
    replica.send(REPLY * 3)
    assert client.take() == REPLY * 4
    assert (traffic.from_clients, traffic.to_clients) == (4 * len(GET), 4 * len(REPLY))
    assert (traffic.to_servers - to_servers, traffic.from_servers - from_servers) == (3 * len(GET), 3 * len(REPLY))


def test_a_value_that_is_uploaded_is_counted_as_it_passes() -> None:
    world = World(replicas=0)
    client = world.client()
    value = b"x" * 300_000
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300000\r\n" + value)
    world.open(0)
    before = world.plane.traffic.to_servers
    client.send(b"\r\n")
    assert world.plane.traffic.to_servers == before + 2 and before > len(value)
