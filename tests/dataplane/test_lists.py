"""Lists that are filled and emptied again and again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.dataplane.kit import World, command


@given(st.lists(st.integers(min_value=1, max_value=40), max_size=30))
def test_replies_come_back_in_order_however_many_wait(depths: list[int]) -> None:
    """Sessions take from the front of such a list, and empty another, for every reply."""
    world = World(replicas=1, consistency="eventual")
    client = world.client()
    client.send(command("GET", "k") + command("SET", "k", "v"))
    replica, leader = world.open(1), world.open(0)
    replica.send(b"$-1\r\n")
    leader.send(b"+OK\r\n")
    client.take()
    for depth in depths:
        client.send(b"".join(command("SET", "k", "v") if at % 2 else command("GET", "k") for at in range(depth)))
        leader.send(b"+OK\r\n" * (depth // 2))
        replica.send(b"$1\r\nv\r\n" * (depth - depth // 2))
        assert client.take() == b"".join(b"+OK\r\n" if at % 2 else b"$1\r\nv\r\n" for at in range(depth))
        assert client.protocol.fifo == []
