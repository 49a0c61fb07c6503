"""Whether the end of a connection tells anything of its server: not where rproxy itself ends it because of one client, or because of an own fault."""

from __future__ import annotations

import socket

import pytest

from rproxy.dataplane.upstream import Upstream
from tests.dataplane.kit import End, FakeTransport, World, command

GET = command("GET", "k")
SET = command("SET", "k", "v")


class Faulty:
    """What an attached client has on its lease, with a mistake in it."""

    def came(self, lease: Upstream, data: bytes) -> None:
        raise ValueError("a fault")


class Wired(World):
    """A world in which what is dialled has a real socket."""

    def __init__(self) -> None:
        self.descriptors: dict[FakeTransport, int] = {}
        outside = {
            "watch": lambda descriptor, ready: lambda: None,
            "descriptor": lambda transport: self.descriptors.get(transport, -1),
        }
        super().__init__(consistency="fresh", outside=outside)

    def fault(self, end: End) -> None:
        """What comes over this connection now makes rproxy fail."""
        upstream = end.protocol
        near, far = socket.socketpair()
        with near, far:
            far.send(b"+OK\r\n")
            upstream.attachment = Faulty()
            self.descriptors[end.transport] = near.fileno()
            upstream.transport = self.plane.outlet(end.transport, upstream)
            self.turn()
            self.plane.inlets.ready()
            self.turn()


@pytest.mark.parametrize(("index", "text"), [(0, SET), (1, GET)], ids=["leader", "replica"])
def test_a_fault_of_rproxy_proves_nothing_against_the_server_but_its_mark_goes(index: int, text: bytes) -> None:
    world = Wired()
    world.prove()
    client = world.client()
    client.send(text)
    end = world.open(index)
    world.fault(end)
    assert not end.open and "internal error" in world.notices[0]
    assert not world.suspects
    if index:
        assert world.plane.freshness.mark(index) == 0


def test_after_a_fault_the_next_commands_have_another_connection_and_its_loss_counts() -> None:
    world = Wired()
    client = world.client()
    client.send(SET)
    leader = world.open(0)
    world.fault(leader)
    assert b"may or may not have been executed" in client.take()
    client.send(SET)
    leader = world.open(0)
    assert leader.take() == SET
    leader.lose()
    assert world.suspects == [world.servers[0]]


def test_odd_bytes_on_one_clients_connection_are_held_against_nobody() -> None:
    world = World()
    client = world.client()
    client.send(command("SUBSCRIBE", "c"))
    lease = world.open(0)
    lease.send(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", b"+what\r\n")
    assert (client.open, lease.open) == (False, False)
    assert not world.suspects


def test_odd_bytes_on_a_shared_connection_make_the_server_suspect() -> None:
    world = World()
    world.client().send(SET)
    world.open(0).send(b"@\r\n")
    assert world.suspects == [world.servers[0]]
