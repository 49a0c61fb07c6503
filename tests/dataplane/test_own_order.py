"""A session's own order where its commands have to be sent again, or elsewhere: it is answered as one server would have done it."""

from __future__ import annotations

import pytest

from rproxy.dataplane.pool import SILENCE
from tests.dataplane.kit import End, World, command

GET, SET, SECOND = command("GET", "k"), command("SET", "k", "v"), command("SET", "k", "2")
OTHER = command("SET", "other", "v")
READONLY = b"-READONLY You can't write against a read only replica.\r\n"


def led() -> tuple[World, End, End]:
    """A fresh client whose leader is connected; marks are older than its first write."""
    world = World(consistency="fresh", leaderless_reads="serve")
    client = world.client()
    client.send(OTHER)
    leader = world.open(0)
    leader.send(b"+OK\r\n")
    leader.take(), client.take()
    return world, client, leader


def changed(world: World) -> None:
    leader, one, *others = world.servers
    world.follow(leader=one, replicas=(leader, *others), readers=tuple(others), settled=True)


def dialled(world: World) -> set[int]:
    return {server.index for server, _ in world.dialled}


def test_a_write_that_waits_for_a_leader_is_an_unanswered_write() -> None:
    world, client, leader = led()
    world.follow(settled=False)
    client.send(SET)
    assert world.plane.oldest_write() > 0
    world.follow(settled=True)
    assert world.plane.oldest_write() > 0
    leader.send(b"+OK\r\n")
    assert world.plane.oldest_write() == 0


def test_a_transactions_write_that_waits_for_a_leader_is_an_unanswered_write() -> None:
    world, client, _ = led()
    world.follow(settled=False)
    client.send(command("WATCH", "k") + SET)
    changed(world)
    assert world.plane.oldest_write() > 0
    world.open(1).send(b"+OK\r\n+OK\r\n")
    assert world.plane.oldest_write() == 0


@pytest.mark.parametrize("behind", [GET, command("KEYS", "*")])
@pytest.mark.parametrize("doubted", [False, True])
@pytest.mark.parametrize("replies", [[READONLY + b"+old\r\n+old\r\n"], [READONLY, b"+old\r\n", b"+old\r\n"]])
def test_a_refused_write_is_sent_again_together_with_the_reads_behind_it(
    behind: bytes, doubted: bool, replies: list[bytes]
) -> None:
    """What the last leader says to them is not shown: it is what was there before the write."""
    world, client, leader = led()
    client.send(SET + behind)
    client.send(GET)
    assert leader.take() == SET + behind + GET
    if doubted:
        world.follow(settled=False)
    for reply in replies:
        leader.send(reply)
    assert client.take() == b""
    if doubted:
        changed(world)
        leader = world.open(1)
    assert leader.take() == SET + behind + GET
    leader.send(b"+OK\r\n+new\r\n+new\r\n")
    assert client.take() == b"+OK\r\n+new\r\n+new\r\n"


def test_a_read_that_has_not_left_yet_stays_behind_the_refused_write_before_it() -> None:
    world, client, leader = led()
    client.send(SET)
    world.follow(settled=False)
    client.send(GET)
    leader.send(READONLY)
    changed(world)
    assert world.open(1).take() == SET + GET


def test_a_refused_write_is_not_sent_again_when_a_replica_was_asked_behind_it_for_want_of_a_leader() -> None:
    world = World(consistency="leader")
    client = world.client()
    client.send(SET)
    leader = world.open(0)
    world.follow(leader_up=False)
    world.wait(SILENCE + 0.2)
    client.send(GET)
    replica = world.open(1)
    leader.send(READONLY)
    replica.send(b"+old\r\n")
    assert client.take() == READONLY + b"+old\r\n"


def test_a_refused_write_is_not_sent_again_when_a_step_of_an_iteration_behind_it_was_answered_without_it() -> None:
    world = World(consistency="leader")
    client = world.client()
    client.send(SET + command("SCAN", "0"))
    answer = READONLY + b"*2\r\n$1\r\n0\r\n*0\r\n"
    world.open(0).send(answer)
    assert client.take() == answer


def test_a_refused_write_is_sent_again_although_a_replica_is_asked_for_another_key_behind_it() -> None:
    world, client, leader = led()
    world.prove()
    client.send(SET + command("GET", "x"))
    replica = world.open(1)
    world.follow(settled=False)
    leader.send(READONLY)
    replica.send(b"+1\r\n")
    world.follow(settled=True)
    assert leader.take() == SET + SET
    leader.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n+1\r\n"


def test_a_write_waits_for_a_read_that_has_gone_from_the_leader_to_a_replica() -> None:
    world, client, leader = led()
    client.send(command("SET", "k", "0") + GET)
    leader.send(b"+OK\r\n")
    leader.take(), client.take()
    world.prove()
    leader.lose()
    replica = world.open(1)
    assert replica.take() == GET
    client.send(SET)
    assert 0 not in dialled(world)
    replica.send(b"+0\r\n")
    assert world.open(0).take() == SET


def test_a_read_is_not_sent_again_behind_a_write_that_may_have_been_executed() -> None:
    world, client, leader = led()
    client.send(command("GET", "other") + command("SET", "other", "2"))
    leader.lose()
    first, second = client.take().split(b"\r\n")[:2]
    assert first.startswith(b"-ERR") and b"may or may not" in second
    assert not world.dialled


def test_a_read_that_waits_for_the_leader_stays_before_a_write_that_would_change_it() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(GET + SET)
    world.prove()
    world.wait(0.3)
    assert dialled(world) == {0}
    assert world.open(0).take() == GET + SET


def test_a_read_of_the_last_leader_is_not_sent_again_behind_a_write_that_went_to_the_next_one() -> None:
    world, client, leader = led()
    client.send(command("GET", "other"))
    world.follow(settled=False)
    client.send(command("SET", "other", "2"))
    changed(world)
    world.wait(0.5)
    new = world.open(1)
    assert new.take() == command("SET", "other", "2")
    new.send(b"+OK\r\n")
    assert client.take().startswith(b"-ERR")


def test_without_a_leader_a_read_behind_the_sessions_own_write_waits_with_it() -> None:
    world, client, leader = led()
    leader.lose()
    world.refuse(0)
    world.follow(leader_up=False)
    world.wait(0.2)
    client.send(SET + GET)
    world.wait(0.3)
    world.follow(leader_up=True)
    while 0 not in dialled(world):
        world.wait(0.05)
    again = world.open(0)
    assert again.take() == SET + GET
