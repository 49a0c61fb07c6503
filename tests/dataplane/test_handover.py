"""From one leader to the next: writes wait in order, go on once, and only when the last leader's connections are closed."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane.handover import PATIENCE
from tests.dataplane.kit import HELLO, End, World, begun, command

SET, LATER, GET = command("SET", "k", "v"), command("SET", "k", "w"), command("GET", "k")
READONLY = b"-READONLY You can't write against a read only replica.\r\n"


def change(world: World) -> None:
    """The control plane finds that the first replica leads."""
    leader, one, *others = world.servers
    world.follow(leader=one, replicas=(leader, *others), readers=tuple(others), settled=True)


def led(world: World) -> tuple[End, End]:
    """A client and the leader, connected."""
    client = world.client()
    client.send(SET)
    leader = world.open(0)
    leader.take()
    leader.send(b"+OK\r\n")
    client.take()
    return client, leader


def test_while_nobody_knows_who_leads_writes_wait_and_then_go_on_in_order() -> None:
    world = World()
    client, leader = led(world)
    world.follow(settled=False)
    client.send(SET)
    client.send(LATER)
    assert leader.take() == b""
    world.follow(settled=True)
    assert leader.take() == SET + LATER


def test_what_waits_longer_than_the_budget_was_not_executed() -> None:
    world = World()
    client, _ = led(world)
    world.follow(settled=False)
    client.send(SET)
    world.wait(world.plane.options.budget + 0.1)
    assert client.take() == errors.NO_LEADER


def test_what_waits_while_several_lead_is_told_so() -> None:
    world = World()
    client, _ = led(world)
    world.follow(settled=False, contested=True)
    client.send(SET)
    world.wait(world.plane.options.budget + 0.1)
    assert client.take() == errors.SEVERAL_LEADERS


def test_waiting_writes_go_to_the_new_leader_in_order() -> None:
    world = World()
    client, leader = led(world)
    world.follow(settled=False)
    client.send(SET + LATER)
    change(world)
    assert not leader.open
    assert world.open(1).take() == SET + LATER


def test_the_last_leaders_connections_are_closed_before_the_new_one_gets_a_write() -> None:
    world = World()
    client, leader = led(world)
    client.send(SET)
    change(world)
    client.send(LATER)
    assert leader.open
    assert not [attempt for attempt in world.dialled if attempt[0] == world.servers[1]]
    leader.send(b"+OK\r\n")
    world.wait(0.06)
    assert not leader.open
    assert world.open(1).take() == LATER
    assert client.take() == b"+OK\r\n"


def test_a_last_leader_that_does_not_answer_is_left_after_a_moment() -> None:
    world = World()
    client, leader = led(world)
    client.send(SET)
    change(world)
    client.send(LATER)
    world.wait(0.4)
    assert not leader.open
    assert world.open(1).take() == LATER
    assert b"may or may not" in client.take()


def test_a_transaction_under_way_is_aborted_and_never_goes_to_the_new_leader() -> None:
    world = World()
    client, lease = begun(world, command("MULTI"))
    client.send(SET)
    lease.send(b"+QUEUED\r\n")
    client.take()
    change(world)
    assert not lease.open
    client.send(command("EXEC"))
    assert client.take().startswith(b"-EXECABORT")
    assert not [attempt for attempt in world.dialled if attempt[0] == world.servers[1]]


def test_a_transaction_that_begins_while_nobody_leads_runs_on_the_new_leader() -> None:
    world = World()
    world.follow(settled=False)
    client = world.client()
    client.send(command("MULTI") + SET)
    change(world)
    assert world.open(1).take() == command("MULTI") + SET


def test_selecting_a_database_while_nobody_leads_works_as_soon_as_somebody_does() -> None:
    world = World(replicas=0)
    world.follow(settled=False)
    client = world.client()
    client.send(command("SELECT", "1") + GET)
    world.follow(settled=True)
    leader = world.open(0)
    assert client.take() == b"+OK\r\n"
    assert leader.take() == GET


def test_a_write_that_a_demoted_leader_refuses_goes_to_the_next_one_once() -> None:
    world = World()
    client, leader = led(world)
    client.send(SET)
    world.follow(settled=False)
    leader.send(READONLY)
    assert client.take() == b"" and world.demotions
    change(world)
    new = world.open(1)
    assert new.take() == SET
    new.send(READONLY)
    assert client.take() == READONLY


def test_a_refused_write_for_which_no_leader_comes_gets_its_own_error() -> None:
    world = World()
    client, leader = led(world)
    client.send(SET)
    world.follow(settled=False)
    leader.send(READONLY)
    world.wait(world.plane.options.budget + 0.1)
    assert client.take() == READONLY


def test_a_refused_write_is_not_sent_again_behind_a_later_one() -> None:
    world = World()
    client, leader = led(world)
    client.send(SET)
    client.send(LATER)
    world.follow(settled=False)
    leader.send(READONLY + READONLY)
    assert client.take() == READONLY
    change(world)
    assert world.open(1).take() == LATER


def test_a_run_of_refused_writes_answers_each_in_its_place_and_sends_the_last_again() -> None:
    world = World()
    client, leader = led(world)
    client.send(SET + SET + LATER)
    world.follow(settled=False)
    leader.send(b"+OK\r\n" + READONLY + READONLY)
    assert client.take() == b"+OK\r\n" + READONLY
    change(world)
    new = world.open(1)
    assert new.take() == LATER
    new.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"


@pytest.mark.parametrize("name", ["EVAL", "EVALSHA", "FCALL"])
def test_a_script_that_ends_in_readonly_may_have_acted_and_is_not_sent_again(name: str) -> None:
    world = World()
    client, leader = led(world)
    client.send(command(name, "x", "0"))
    world.open(0).send(READONLY)
    assert client.take() == READONLY


@pytest.mark.parametrize(
    "before", [(), (command("MULTI"),), (command("CLIENT", "NO-EVICT", "ON"),)], ids=["", "MULTI", "attached"]
)
@pytest.mark.parametrize("words", [command("SET", "k", "v"), command("BLPOP", "l", "0")], ids=["SET", "BLPOP"])
def test_a_leader_that_refuses_a_write_of_any_connection_is_asked_whether_it_still_leads(
    before: tuple[bytes, ...], words: bytes
) -> None:
    world = World()
    client, leader = begun(world, *before) if before else (world.client(), None)
    client.send(words)
    leader = leader or world.open(0)
    assert not world.demotions
    leader.send(READONLY)
    assert client.take() == (READONLY if before else b"") and world.demotions


@pytest.mark.parametrize(
    "before", [(), (command("WATCH", "k"),), (command("CLIENT", "NO-EVICT", "ON"),)], ids=["", "WATCH", "attached"]
)
@pytest.mark.parametrize("name", ["EVAL", "EVALSHA", "FCALL", "EVALSHA_RO", "FCALL_RO", "UNHEARD.OF"])
def test_the_words_of_a_script_or_of_a_command_that_nobody_knows_are_no_reason_to_doubt_the_leader(
    name: str, before: tuple[bytes, ...]
) -> None:
    world = World(consistency="leader")
    client, leader = begun(world, *before) if before else (world.client(), None)
    client.send(command(name, "x", "0"))
    leader = leader or world.open(0)
    leader.send(READONLY)
    assert client.take() == READONLY and not world.demotions


def test_a_script_of_over_256_kb_that_speaks_of_an_unblocked_client_is_no_reason_to_doubt_the_leader() -> None:
    world = World()
    client = world.client()
    client.send(command("EVAL", "x" * 300_000, "0"))
    world.open(0).send(b"-UNBLOCKED force unblock from blocking operation, instance state changed\r\n")
    assert client.take().startswith(b"-UNBLOCKED") and not world.demotions


@pytest.mark.parametrize("name", ["EVAL_RO", "EVALSHA_RO", "FCALL_RO"])
def test_a_script_that_says_it_is_loading_is_asked_of_the_leader_and_its_replica_is_read_on(name: str) -> None:
    world = World()
    client = world.client()
    client.send(command(name, "x", "0"))
    if name == "EVAL_RO":
        world.open(0).send(b"+known from now on\r\n")
        client.take()
        client.send(command(name, "x", "0"))
    world.open(1).send(b"-LOADING says the script\r\n")
    leader = world.plane.leader.lanes
    assert leader and not world.suspects


def test_a_refusal_that_comes_in_pieces_is_understood() -> None:
    world = World()
    client, leader = led(world)
    client.send(SET)
    world.follow(settled=False)
    leader.send(READONLY[:5], READONLY[5:20], READONLY[20:])
    assert client.take() == b""
    change(world)
    assert world.open(1).take() == SET


def test_an_error_that_is_no_refusal_goes_to_the_client_as_it_came() -> None:
    world = World()
    client, leader = led(world)
    client.send(SET)
    leader.send(b"-OOM command not", b" allowed\r\n")
    assert client.take() == b"-OOM command not allowed\r\n"


def test_servers_that_leave_the_topology_lose_their_connections() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(b"+1\r\n")
    leader, one, two = world.servers
    world.follow(replicas=(two,), readers=(two,))
    assert not replica.open
    assert one not in world.plane.pools


def test_reads_go_on_while_nobody_leads() -> None:
    world = World()
    world.follow(settled=False)
    world.client().send(GET)
    assert world.open(1, hello=HELLO).take() == GET


def test_who_is_told_to_leave_says_so_when_the_last_leader_has_answered_and_sends_to_nobody() -> None:
    world = World()
    client, leader = led(world)
    left: list[bool] = []
    client.send(SET)
    leader.take()
    world.plane.handover.leave(lambda: left.append(True))
    client.send(LATER)
    world.wait(0.05)
    assert not left and leader.open
    leader.send(b"+OK\r\n")
    world.wait(0.1)
    assert left == [True] and not leader.open and leader.take() == b""
    change(world)
    assert world.open(1).take() == LATER


def test_who_is_told_to_leave_does_not_wait_for_a_leader_that_is_silent() -> None:
    world = World()
    client, leader = led(world)
    left: list[bool] = []
    client.send(SET)
    world.plane.handover.leave(lambda: left.append(True))
    world.wait(PATIENCE + 0.1)
    assert left == [True] and not leader.open


def test_who_has_no_leader_has_left_at_once() -> None:
    world = World()
    left: list[bool] = []
    world.plane.handover.leave(lambda: None)
    world.plane.handover.leave(lambda: left.append(True))
    assert left == [True]


def test_who_is_told_that_the_last_leader_leads_after_all_need_not_leave() -> None:
    world = World()
    client, leader = led(world)
    left: list[bool] = []
    client.send(SET)
    leader.take()
    world.plane.handover.leave(lambda: left.append(True))
    world.follow(settled=True)
    client.send(LATER)
    assert leader.take() == LATER
    leader.send(b"+OK\r\n+OK\r\n")
    world.wait(PATIENCE + 0.1)
    assert not left and leader.open


def test_what_else_becomes_known_does_not_keep_anybody_from_leaving() -> None:
    world = World()
    client, leader = led(world)
    left: list[bool] = []
    client.send(SET)
    world.plane.handover.leave(lambda: left.append(True))
    for _ in range(10):
        world.follow(settled=False)
        world.wait(PATIENCE / 8)
    assert left == [True] and not leader.open
