"""What is held for all clients of a worker is bounded: who is closed, in which order, and what is said of it."""

from __future__ import annotations

from rproxy.dataplane.policies import Policy, adopt
from rproxy.dataplane.tallies import CLOSED_MEMORY, HELD_BYTES
from tests.dataplane.kit import End, World, command

KB = 1024


def holding(world: World, size: int) -> End:
    """A client that has sent the beginning of a command of 250 KB, of which so many bytes have come."""
    client = world.client()
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$250000\r\n" + b"x" * size)
    return client


def ticked(world: World) -> None:
    world.plane.start_ticking()
    world.wait(0.2)


def test_nobody_is_closed_below_the_limit_and_what_is_held_is_told() -> None:
    world = World(client_memory=1000 * KB)
    clients = [holding(world, 200 * KB) for _ in range(4)]
    ticked(world)
    assert all(client.open for client in clients)
    assert 800 * KB < world.plane.tallies.total(HELD_BYTES) < 801 * KB
    for client in clients:
        client.lose()
    ticked(world)
    assert world.plane.tallies.total(HELD_BYTES) == 0


def test_above_it_those_are_closed_for_whom_most_is_held_until_enough_is_free() -> None:
    world = World(client_memory=400 * KB)
    sizes = [50, 200, 100, 150]
    clients = [holding(world, size * KB) for size in sizes]
    ticked(world)
    assert [client.open for client in clients] == [True, False, True, True]
    assert world.plane.tallies.total(CLOSED_MEMORY) == 1
    assert [notice for notice in world.notices if "limits.memory" in notice] == [
        f"limits.memory: {sum(sizes) * KB + 4 * 29} bytes were held for clients in this process, {400 * KB} may be; 1 of them closed"
    ]


def test_those_that_have_to_authenticate_and_have_not_are_closed_first() -> None:
    world = World(client_memory=400 * KB)
    known = holding(world, 200 * KB)
    strangers = [holding(world, size * KB) for size in (80, 150)]
    for stranger in strangers:
        stranger.protocol.policy = Policy(auth=True)
        adopt(stranger.protocol)
    ticked(world)
    assert (known.open, [stranger.open for stranger in strangers]) == (True, [True, False])


def test_unread_replies_count_in_rproxy_and_in_the_transport() -> None:
    world = World(client_memory=500 * KB, replicas=0)
    client, other = world.client(), world.client()
    for each in (client, other):
        each.send(command("GET", "k"))
    lane = world.open(0)
    client.protocol.pause_writing()
    client.transport.buffered = 300 * KB
    lane.send(b"$250000\r\n" + b"x" * 250_000 + b"\r\n$-1\r\n")
    ticked(world)
    assert (client.open, other.open) == (False, True)


def test_each_worker_has_its_share() -> None:
    world = World(client_memory=400 * KB, workers=4)
    clients = [holding(world, 70 * KB), holding(world, 20 * KB), holding(world, 60 * KB)]
    ticked(world)
    assert [client.open for client in clients] == [False, True, True]


def test_no_limit_closes_nobody() -> None:
    world = World(client_memory=0)
    clients = [holding(world, 200 * KB) for _ in range(50)]
    ticked(world)
    assert all(client.open for client in clients)
