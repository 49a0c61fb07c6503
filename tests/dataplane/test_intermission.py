"""An administrator's pause: nothing is taken from any client, and nothing is lost."""

from __future__ import annotations

from rproxy.dataplane.intermission import answer
from tests.dataplane.kit import World, begun, command

SET, GET = command("SET", "k", "v"), command("GET", "k")


def test_what_comes_in_a_pause_is_kept_in_order_and_goes_on_behind_it() -> None:
    world = World()
    client = world.client()
    client.send(SET)
    leader = world.open(0)
    assert leader.take() == SET
    world.plane.intermission.begin(1.0)
    client.send(command("SET", "a", "1"))
    client.send(command("SET", "b", "2"))
    leader.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n" and leader.take() == b"", "what was sent before is answered, nothing new is sent"
    world.plane.intermission.end()
    world.turn()
    assert leader.take() == command("SET", "a", "1") + command("SET", "b", "2")


def test_clients_that_come_in_a_pause_are_held_too() -> None:
    world = World()
    world.plane.intermission.begin(1.0)
    client = world.client()
    client.send(GET)
    assert not world.dialled
    world.plane.intermission.end()
    world.turn()
    assert world.dialled


def test_it_ends_by_itself_and_a_later_one_counts() -> None:
    world = World()
    client = world.client()
    world.plane.intermission.begin(0.5)
    world.plane.intermission.begin(2.0)
    client.send(GET)
    world.wait(1.0)
    assert not world.dialled and world.plane.intermission.left() > 0.5
    world.wait(1.5)
    assert world.dialled and world.plane.intermission.left() == 0.0


def test_the_budget_counts_from_the_end_of_the_pause() -> None:
    world = World(budget=1.5)
    client = world.client()
    world.plane.intermission.begin(10.0)
    client.send(SET)
    world.wait(5.0)
    assert client.take() == b""
    world.plane.intermission.end()
    world.turn()
    world.open(0).send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"


def test_a_transaction_goes_on_until_its_end_and_nothing_behind_it() -> None:
    world = World()
    client, lease = begun(world, command("MULTI"))
    client.take()
    world.plane.intermission.begin(1.0)
    assert world.plane.intermission.under_way() == 1
    client.send(SET + command("EXEC") + SET)
    assert lease.take() == SET + command("EXEC")
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    assert world.plane.intermission.under_way() == 0 and not world.dialled
    world.plane.intermission.end()
    world.turn()
    world.open(0).send(b"+OK\r\n")
    assert client.take() == b"+QUEUED\r\n*1\r\n+OK\r\n+OK\r\n"


def test_who_asks_is_told_who_is_under_way() -> None:
    world = World()
    client, blocked = world.client(), world.client()
    client.send(SET)
    blocked.send(command("BLPOP", "q", "0"))
    assert answer(world.plane, [b"1000"]) == b"1" == answer(world.plane, [])
    world.open(0).send(b"+OK\r\n")
    assert answer(world.plane, []) == b"0" and world.plane.intermission.left() > 0
    answer(world.plane, [b"0"])
    assert world.plane.intermission.left() == 0


def test_what_is_held_when_rproxy_ends_is_not_run_and_what_is_under_way_is_answered() -> None:
    world = World()
    busy, held = world.client(), world.client()
    busy.send(SET)
    leader = world.open(0)
    assert leader.take() == SET
    world.plane.intermission.begin(60.0)
    for client in (busy, held):
        client.send(command("SET", "late", "v"))
    world.plane.intermission.turn_away()
    world.turn()
    assert busy.open and not held.open
    leader.send(b"+OK\r\n")
    assert busy.take() == b"+OK\r\n" and leader.take() == b""
