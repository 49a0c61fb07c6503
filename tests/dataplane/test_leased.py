"""Transactions, each as a transcript. Blocking, large and attaching commands: test_leased_connections.py."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane.freshness import slot_of
from rproxy.dataplane.states import State
from tests.dataplane.kit import End, World, begun, command

GET = command("GET", "k")
SET = command("SET", "k", "v")
MULTI, EXEC, DISCARD, UNWATCH = (command(name) for name in ("MULTI", "EXEC", "DISCARD", "UNWATCH"))
WATCH = command("WATCH", "k")
LARGE = 300 * 1024


def refused_multi(end: bytes) -> tuple[End, End]:
    """A client whose MULTI, SET and EXEC came in one packet, of which the server refused the first, and the last with `end`."""
    world = World()
    client = world.client()
    client.send(MULTI + SET + EXEC)
    lease = world.open(0)
    lease.send(b"-NOPERM no\r\n+OK\r\n" + end)
    return client, lease


def test_a_transaction_goes_to_the_leader_in_one_packet_and_its_lease_comes_back() -> None:
    world = World()
    client = world.client()
    client.send(MULTI + SET + GET + EXEC)
    lease = world.open(0)
    assert lease.take() == MULTI + SET + GET + EXEC
    lease.send(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\nv\r\n")
    assert client.take() == b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\nv\r\n"
    assert client.protocol.state is State.SHARED
    client.send(GET)
    assert world.open(1).take() == GET


def test_reads_between_watch_and_exec_go_to_the_leader() -> None:
    world = World()
    client, lease = begun(world, WATCH)
    client.send(GET)
    assert lease.take() == GET


def test_entering_waits_until_what_is_in_flight_is_answered() -> None:
    world = World()
    client = world.client()
    client.send(SET + MULTI)
    lane = world.open(0)
    assert not world.dialled
    lane.send(b"+OK\r\n")
    assert world.open(0).take() == MULTI


def test_leaving_waits_until_the_transaction_is_answered() -> None:
    world = World()
    client, lease = begun(world, MULTI)
    client.send(EXEC + GET)
    assert not world.dialled
    lease.send(b"*0\r\n")
    assert world.open(1).take() == GET


@pytest.mark.parametrize(
    ("first", "last", "reply"),
    [
        (MULTI, EXEC, b"*0\r\n"),
        (MULTI, EXEC, b"*-1\r\n"),
        (MULTI, EXEC, b"_\r\n"),
        (MULTI, EXEC, b"-EXECABORT Transaction discarded because of previous errors.\r\n"),
        (MULTI, EXEC, b"-ERR EXEC without MULTI\r\n"),
        (MULTI, DISCARD, b"+OK\r\n"),
        (WATCH, UNWATCH, b"+OK\r\n"),
    ],
)
def test_a_transaction_ends_by_what_the_reply_proves(first: bytes, last: bytes, reply: bytes) -> None:
    client, lease = begun(World(), first)
    client.send(last)
    for at in range(len(reply)):
        lease.send(reply[at : at + 1])
    assert client.take() == reply
    assert client.protocol.state is State.SHARED
    assert lease.open


@pytest.mark.parametrize("last", [EXEC, DISCARD])
def test_a_refused_end_proves_nothing_and_the_lease_stays(last: bytes) -> None:
    client, lease = begun(World(), MULTI)
    client.send(last)
    lease.send(b"-NOPERM this user has no permissions\r\n")
    assert client.protocol.state is State.TRANSACTION
    client.send(SET)
    assert lease.take() == last + SET


def test_exec_without_multi_leaves_the_watch_in_place() -> None:
    client, lease = begun(World(), WATCH)
    client.send(EXEC)
    lease.send(b"-ERR EXEC without MULTI\r\n")
    assert client.protocol.state is State.TRANSACTION


@pytest.mark.parametrize("refused", [b"-NOPERM no\r\n", b"-ERR EXEC without MULTI\r\n"])
def test_what_follows_a_refused_multi_in_its_packet_is_a_command_like_others(refused: bytes) -> None:
    client, lease = refused_multi(refused)
    assert client.take() == b"-NOPERM no\r\n+OK\r\n" + refused
    assert (client.protocol.state, lease.open) == (State.SHARED, True)


def test_a_write_behind_a_refused_multi_is_stamped() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(MULTI + SET)
    lease = world.open(0)
    world.now += 5
    lease.send(b"-NOPERM no\r\n+OK\r\n")
    assert client.take() == b"-NOPERM no\r\n+OK\r\n"
    assert world.plane.freshness.need(slot_of(b"k", 0, 1)) >= int(world.now * 1e9)


@pytest.mark.parametrize("refused", [MULTI, WATCH])
def test_a_transaction_that_the_server_refuses_to_begin_has_not_begun(refused: bytes) -> None:
    world = World()
    client = world.client()
    client.send(refused)
    world.open(0).send(b"-NOPERM no\r\n")
    assert client.protocol.state is State.SHARED


def test_exec_and_discard_outside_a_transaction_are_the_leaders_to_answer() -> None:
    world = World()
    client = world.client()
    client.send(EXEC + DISCARD + UNWATCH)
    assert world.open(0).take() == EXEC + DISCARD + UNWATCH
    assert client.protocol.state is State.SHARED


def test_multi_with_an_argument_is_an_error_of_the_servers_and_no_transaction() -> None:
    world = World()
    client = world.client()
    client.send(command("MULTI", "x") + SET)
    assert world.open(0).take() == command("MULTI", "x") + SET


def test_nothing_of_a_transaction_that_lost_its_lease_runs_outside_it() -> None:
    world = World()
    client, lease = begun(world, MULTI, SET)
    lease.lose()
    client.send(SET + GET + EXEC + GET)
    assert client.take() == errors.TRANSACTION_LOST * 2 + errors.EXEC_LOST
    assert world.open(1).take() == GET


def test_commands_in_flight_on_a_lost_lease_were_not_executed() -> None:
    world = World()
    client, lease = begun(world, MULTI)
    client.send(SET + SET)
    lease.lose()
    assert client.take() == errors.TRANSACTION_LOST * 2
    client.send(EXEC)
    assert client.take() == errors.EXEC_LOST


def test_with_exec_on_its_way_the_queued_commands_may_have_been_executed_too() -> None:
    client, lease = begun(World(), MULTI)
    client.send(SET + EXEC)
    lease.lose()
    assert client.take() == errors.LEADER_LOST + errors.EXEC_UNKNOWN


@pytest.mark.parametrize(("first", "last"), [(MULTI, DISCARD), (WATCH, UNWATCH)])
def test_what_ends_a_transaction_without_running_it_has_done_so_when_the_lease_is_lost(first: bytes, last: bytes) -> None:
    client, lease = begun(World(), first)
    client.send(last)
    lease.lose()
    assert client.take() == b"+OK\r\n"
    assert client.protocol.state is State.SHARED


def test_a_sent_exec_that_is_lost_may_have_been_executed() -> None:
    world = World()
    client, lease = begun(world, MULTI, SET)
    client.send(EXEC + GET)
    lease.lose()
    assert client.take() == errors.EXEC_UNKNOWN
    assert world.open(1).take() == GET


def test_a_write_sent_while_watching_that_is_lost_may_have_been_executed() -> None:
    client, lease = begun(World(), WATCH)
    client.send(SET)
    lease.lose()
    assert client.take() == errors.LEADER_LOST


def test_a_watch_that_is_lost_never_lets_the_transaction_run() -> None:
    world = World()
    client, lease = begun(world, WATCH)
    lease.lose()
    client.send(MULTI + SET + EXEC)
    assert client.take() == errors.TRANSACTION_LOST * 2 + errors.EXEC_LOST
    assert client.protocol.state is State.SHARED
    assert not world.dialled


@pytest.mark.parametrize(("last", "reply"), [(DISCARD, b"+OK\r\n"), (UNWATCH, b"+OK\r\n"), (command("RESET"), b"+RESET\r\n")])
def test_a_lost_watch_ends_as_the_client_ends_it(last: bytes, reply: bytes) -> None:
    client, lease = begun(World(), WATCH)
    lease.lose()
    client.send(last)
    assert client.take() == reply
    assert client.protocol.state is State.SHARED


def test_unwatch_inside_a_lost_multi_does_not_end_it() -> None:
    client, lease = begun(World(), MULTI)
    lease.lose()
    client.send(UNWATCH)
    assert client.take() == errors.TRANSACTION_LOST
    assert client.protocol.state is State.BROKEN


def test_a_lease_that_cannot_be_had_fails_the_transaction_within_the_budget() -> None:
    world = World(budget=1.5)
    client = world.client()
    client.send(MULTI + SET + EXEC)
    for _ in range(16):
        world.refuse(0)
        world.wait(0.1)
    assert client.take() == errors.NO_LEADER + errors.TRANSACTION_LOST + errors.EXEC_LOST
    assert client.protocol.state is State.SHARED


def test_select_while_watching_changes_the_database() -> None:
    world = World()
    client, lease = begun(world, WATCH)
    client.send(command("SELECT", "3"))
    lease.send(b"+OK\r\n")
    client.send(UNWATCH)
    lease.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n+OK\r\n"
    assert not lease.open
    client.send(GET)
    replica = world.accept(1)
    assert replica.take() == command("HELLO", "2") + command("SELECT", "3")


def test_select_inside_multi_changes_the_database_when_exec_runs_it() -> None:
    world = World()
    client, lease = begun(world, MULTI)
    client.send(command("SELECT", "3") + EXEC + SET)
    world.open(0)
    assert lease.take() == command("SELECT", "3") + EXEC
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    assert not lease.open
    assert client.protocol.key.database == 3


@pytest.mark.parametrize(("end", "reply"), [(DISCARD, b"+OK\r\n"), (EXEC, b"*-1\r\n"), (EXEC, b"-EXECABORT no\r\n")])
def test_select_inside_multi_changes_nothing_when_it_does_not_run(end: bytes, reply: bytes) -> None:
    world = World()
    client, lease = begun(world, MULTI)
    client.send(command("SELECT", "3") + end)
    world.open(0)
    lease.send(b"+QUEUED\r\n" + reply)
    assert client.protocol.key.database == 0
    assert client.protocol.state is State.SHARED


def test_a_client_that_leaves_in_a_transaction_ends_its_lease() -> None:
    client, lease = begun(World(), MULTI)
    client.lose()
    assert not lease.open


def test_reset_forgets_a_queued_select() -> None:
    world = World()
    client, lease = begun(world, MULTI)
    client.send(command("SELECT", "3"))
    world.open(0)
    lease.send(b"+QUEUED\r\n")
    client.send(command("RESET") + MULTI + EXEC)
    lease.send(b"+RESET\r\n")
    second = world.open(0)
    second.send(b"+OK\r\n*0\r\n")
    assert client.protocol.key.database == 0


def test_where_no_lane_for_a_database_can_be_had_select_in_multi_ends_the_transaction() -> None:
    world = World(replicas=0)
    client, lease = begun(world, MULTI)
    client.send(command("SELECT", "5") + EXEC)
    for _ in range(16):
        world.refuse(0)
        world.wait(0.1)
    assert client.take() == errors.TRANSACTION_LOST + errors.EXEC_LOST


def test_what_is_in_flight_in_a_transaction_is_limited_too() -> None:
    client, lease = begun(World(), MULTI)
    for _ in range(100):
        if client.transport.reading:
            client.send(command("SET", "k", b"x" * 100_000))
    assert len(lease.take()) < 1_200_000


ABORTED = b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"


def test_a_malformed_exec_by_which_the_server_ends_the_transaction_ends_it_here_too() -> None:
    client, lease = begun(World(), MULTI)
    client.send(command("EXEC", "x"))
    lease.send(ABORTED)
    assert client.take() == ABORTED
    assert (client.protocol.state, client.protocol.multi) == (State.SHARED, False)


def test_a_malformed_exec_by_which_the_server_does_not_end_the_transaction_leaves_it() -> None:
    client, lease = begun(World(), MULTI)
    client.send(command("EXEC", "x"))
    lease.send(b"-ERR wrong number of arguments for 'exec' command\r\n")
    assert (client.protocol.state, client.protocol.multi) == (State.TRANSACTION, True)


@pytest.mark.parametrize(
    "words", [("RESET", "x"), ("CLIENT", "ID", "x"), ("SELECT",), ("AUTH",), ("DISCARD", "x"), ("UNWATCH", "x"), ("MULTI", "x")]
)
def test_a_malformed_command_inside_multi_is_the_servers_to_refuse(words: tuple[str, ...]) -> None:
    client, lease = begun(World(), MULTI)
    client.send(command(*words))
    assert lease.take() == command(*words)
    lease.send(b"-ERR wrong number of arguments\r\n")
    client.send(EXEC)
    assert lease.take() == EXEC
    lease.send(b"-EXECABORT Transaction discarded because of previous errors.\r\n")
    assert client.protocol.state is State.SHARED


@pytest.mark.parametrize("first", [MULTI, WATCH])
def test_a_transaction_that_could_not_begin_leaves_nothing_behind(first: bytes) -> None:
    world = World(budget=1.5)
    client = world.client()
    client.send(first)
    for _ in range(16):
        world.refuse(0)
        world.wait(0.1)
    assert client.take() == errors.NO_LEADER
    client.send(SET)
    world.wait(0.6)
    world.open(0).send(b"+OK\r\n")
    assert (client.take(), client.protocol.state) == (b"+OK\r\n", State.SHARED)


@pytest.mark.parametrize("first", [MULTI, WATCH])
def test_a_transaction_whose_beginning_is_lost_on_its_way_leaves_nothing_behind(first: bytes) -> None:
    world = World()
    client = world.client()
    client.send(first)
    world.open(0).lose()
    assert client.take() == errors.TRANSACTION_LOST
    client.send(GET)
    assert world.open(1).take() == GET


@pytest.mark.parametrize("first", [MULTI, WATCH])
def test_a_full_server_leaves_nothing_behind_of_a_transaction(first: bytes) -> None:
    world = World()
    client = world.client()
    client.send(first)
    world.accept(0).send(errors.TOO_MANY_CLIENTS)
    assert client.take() == errors.TOO_MANY_CLIENTS
    assert client.protocol.state is State.SHARED


def test_of_a_pipelined_transaction_that_could_not_begin_nothing_runs() -> None:
    world = World()
    client = world.client()
    client.send(MULTI + SET)
    world.accept(0).send(errors.TOO_MANY_CLIENTS)
    client.take()
    client.send(SET + EXEC)
    assert client.take() == errors.TRANSACTION_LOST + errors.EXEC_LOST
    assert client.protocol.state is State.SHARED


def test_other_commands_go_on_when_what_was_watched_is_lost() -> None:
    world = World()
    client, lease = begun(world, WATCH)
    lease.lose()
    client.send(GET)
    assert world.open(1).take() == GET


@pytest.mark.parametrize(
    ("told", "reply"),
    [(WATCH, errors.TRANSACTION_LOST), (UNWATCH, b"+OK\r\n"), (MULTI + EXEC, errors.TRANSACTION_LOST + errors.EXEC_LOST)],
)
def test_who_has_been_told_that_what_he_watched_is_lost_may_begin_again(told: bytes, reply: bytes) -> None:
    world = World()
    client, lease = begun(world, WATCH)
    lease.lose()
    client.send(told)
    assert client.take() == reply
    client.send(MULTI + EXEC)
    world.open(0).send(b"+OK\r\n*0\r\n")
    assert client.take() == b"+OK\r\n*0\r\n"
