"""Time-outs of clients: who is closed, and who is not."""

from __future__ import annotations

from dataclasses import replace

from rproxy.dataplane.policies import LOCKED
from rproxy.dataplane.renewal import renew
from rproxy.dataplane.session import Session
from rproxy.dataplane.tallies import TIMED_OUT_IDLE, TIMED_OUT_LOGIN, TIMED_OUT_TRANSACTION
from tests.dataplane.kit import End, World, begun, command

PING = command("PING")


def counted(world: World) -> tuple[int, int, int]:
    """Clients closed for having been idle, for not having logged in, for a transaction."""
    idle, login, transaction = (
        world.plane.tallies.total(field) for field in (TIMED_OUT_IDLE, TIMED_OUT_LOGIN, TIMED_OUT_TRANSACTION)
    )
    return idle, login, transaction


def test_without_time_outs_nothing_is_looked_at() -> None:
    world = World()
    world.client()
    assert not world.timers


def test_an_idle_client_is_closed_after_its_time_and_not_before() -> None:
    world = World(idle=10.0)
    client = world.client()
    world.wait(9.5)
    assert client.open
    world.wait(2.0)
    assert not client.open and counted(world) == (1, 0, 0)


def test_whoever_says_something_is_not_idle() -> None:
    world = World(idle=10.0)
    client = world.client()
    for _ in range(5):
        world.wait(8.0)
        client.send(PING)
    assert client.open


def test_who_waits_for_a_reply_is_not_idle() -> None:
    world = World(idle=1.0)
    client = world.client()
    client.send(command("BLPOP", "q", "0"))
    lease = world.open()
    world.wait(5.0)
    assert client.open
    lease.send(b"*-1\r\n")
    world.wait(0.9)
    assert client.open, "its time begins when it is answered"
    world.wait(0.5)
    assert not client.open


def test_a_subscriber_is_not_idle() -> None:
    world = World(idle=1.0)
    client = world.client()
    client.send(command("SUBSCRIBE", "c"))
    world.open().send(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
    world.wait(5.0)
    assert client.open


def test_an_administrators_pause_is_nobodys_idleness() -> None:
    world = World(idle=1.0)
    client = world.client()
    world.plane.intermission.begin(5.0)
    world.wait(4.5)
    assert client.open


def test_an_abandoned_transaction_is_closed_and_another_client_is_not() -> None:
    world = World(transaction=5.0)
    client, _ = begun(world, command("MULTI"))
    other = world.client()
    world.wait(6.0)
    assert not client.open and other.open and counted(world) == (0, 0, 1)


def test_who_does_not_say_who_it_is_is_closed_however_much_it_says() -> None:
    world = World(login=10.0)
    client = End(world, Session(world.plane, LOCKED))
    for _ in range(9):
        world.wait(1.0)
        client.send(PING)
    assert client.open
    world.wait(2.1)
    assert not client.open and counted(world) == (0, 1, 0)


def test_the_time_for_a_login_is_for_listeners_that_want_one() -> None:
    world = World(login=1.0)
    client = world.client()
    world.wait(3.0)
    assert client.open


def test_a_time_out_that_is_set_later_counts_for_clients_that_are_there() -> None:
    world = World()
    client = world.client()
    renew(world.plane, replace(world.plane.options, idle=2.0), {}, True)
    world.wait(4.5)
    assert not client.open


def test_all_of_many_clients_are_looked_at() -> None:
    world = World(idle=1.0)
    clients = [world.client() for _ in range(1200)]
    world.wait(1.5)
    assert not any(client.open for client in clients) and counted(world) == (1200, 0, 0)
    world.wait(1.0)
    assert not world.timers, "nobody is there to be looked at"
