"""Transactions, blocking commands, large commands and attached clients, each as a transcript."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane.states import State
from tests.dataplane.kit import End, World, command

GET = command("GET", "k")
SET = command("SET", "k", "v")
MULTI, EXEC, DISCARD, UNWATCH = (command(name) for name in ("MULTI", "EXEC", "DISCARD", "UNWATCH"))
WATCH = command("WATCH", "k")
LARGE = 300 * 1024


def begun(world: World, *commands: bytes) -> tuple[End, End]:
    """A client that has sent `commands`, and the lease that they arrived on, each answered with +OK."""
    client = world.client()
    client.send(b"".join(commands))
    lease = world.open(0)
    assert lease.take() == b"".join(commands)
    lease.send(b"+OK\r\n" * len(commands))
    client.take()
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


@pytest.mark.parametrize("words", [("AUTH", "x"), ("HELLO", "3"), ("SUBSCRIBE", "c"), ("SHUTDOWN",)])
def test_what_is_not_possible_inside_multi_aborts_it(words: tuple[str, ...]) -> None:
    client, lease = begun(World(), MULTI)
    client.send(command(*words) + EXEC)
    reply = client.take()
    assert reply.startswith(b"-ERR rproxy: ") and b"not executed" in reply and reply.endswith(errors.EXEC_LOST)
    assert not lease.open


def test_what_is_refused_in_one_packet_with_multi_is_refused_all_the_same() -> None:
    world = World()
    client = world.client()
    client.send(MULTI + command("HELLO", "3") + EXEC)
    world.open(0).send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n" + errors.NOT_IN_TRANSACTION + errors.EXEC_LOST


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


def test_local_commands_are_answered_while_watching_and_queued_in_multi() -> None:
    world = World()
    client, lease = begun(world, WATCH)
    client.send(command("CLIENT", "ID"))
    assert client.take() == b":%d\r\n" % client.protocol.id
    client.send(MULTI + command("CLIENT", "ID"))
    assert lease.take() == MULTI + command("CLIENT", "ID")


def test_a_lease_to_which_a_client_gave_a_name_is_not_lent_again() -> None:
    client, lease = begun(World(), MULTI)
    client.send(command("CLIENT", "SETNAME", "x") + EXEC)
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    assert client.protocol.state is State.SHARED
    assert not lease.open


def test_a_client_that_leaves_in_a_transaction_ends_its_lease() -> None:
    client, lease = begun(World(), MULTI)
    client.lose()
    assert not lease.open


def test_a_blocking_command_waits_on_a_lease_and_later_commands_wait_for_it() -> None:
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "0") + GET)
    lease = world.open(0)
    assert lease.take() == command("BLPOP", "l", "0")
    assert not world.dialled
    lease.send(b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n")
    assert world.open(1).take() == GET
    assert client.take() == b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n"
    assert lease.open


def test_a_client_that_leaves_while_blocked_ends_its_lease() -> None:
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "0"))
    lease = world.open(0)
    client.lose()
    assert not lease.open


@pytest.mark.parametrize("sent", [command("BLPOP", "l", "0"), command("MONITOR"), command("SET", "k", b"x" * LARGE)[:1000]])
def test_a_client_that_sends_no_more_and_waits_for_what_may_never_come_is_closed_with_its_lease(sent: bytes) -> None:
    world = World()
    client = world.client()
    client.send(sent)
    lease = world.open(0)
    assert client.protocol.eof_received()
    world.turn()
    assert (client.open, lease.open) == (False, False)


def test_a_blocked_command_that_is_lost_may_have_been_executed() -> None:
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "0"))
    world.open(0).lose()
    assert client.take() == errors.LEADER_LOST
    assert client.protocol.state is State.SHARED


def test_an_attached_client_has_its_bytes_passed_through_both_ways() -> None:
    world = World()
    client = world.client()
    client.send(command("SUBSCRIBE", "c") + command("PING"))
    lease = world.open(0)
    assert lease.take() == command("SUBSCRIBE", "c") + command("PING")
    lease.send(b"*3\r\n$9\r\nsub")
    assert client.take() == b"*3\r\n$9\r\nsub"
    client.send(b"*2\r\n$11\r\nUNSUB")
    assert lease.take() == b"*2\r\n$11\r\nUNSUB"


def test_an_attached_client_is_closed_when_its_server_is_lost() -> None:
    world = World()
    client = world.client()
    client.send(command("MONITOR"))
    world.open(0).lose()
    assert not client.open


def test_a_large_command_is_streamed_on_a_lease_and_never_holds_a_lane() -> None:
    world = World()
    client = world.client()
    large = command("SET", "k", b"x" * LARGE)
    client.send(large[: LARGE // 2])
    lease = world.open(0)
    assert lease.take() == large[: LARGE // 2]
    client.send(large[LARGE // 2 :] + GET)
    assert lease.take() == large[LARGE // 2 :]
    lease.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    assert world.open(1).take() == GET
    assert client.protocol.state is State.SHARED


def test_a_large_read_is_streamed_to_a_replica() -> None:
    world = World()
    client = world.client()
    client.send(command("MGET", b"x" * LARGE)[:100_000])
    assert [server.index for server, _ in world.dialled] == [1]


def test_a_large_command_waits_for_what_is_in_flight_and_holds_little_meanwhile() -> None:
    world = World()
    client = world.client()
    large = command("SET", "k", b"x" * LARGE)
    client.send(SET + large[:1000])
    lane = world.open(0)
    for at in range(1000, LARGE, 65536):
        if client.transport.reading:
            client.send(large[at : at + 65536])
    assert not client.transport.reading
    lane.send(b"+OK\r\n")
    assert world.open(0).take().startswith(large[:100])


def test_a_large_command_goes_no_faster_than_its_server_takes_it() -> None:
    world = World()
    client = world.client()
    large = command("SET", "k", b"x" * (4 * LARGE))
    client.send(large[:1000])
    lease = world.open(0)
    lease.protocol.pause_writing()
    for at in range(1000, len(large), 65536):
        if client.transport.reading:
            client.send(large[at : at + 65536])
    assert not client.transport.reading
    lease.protocol.resume_writing()
    world.turn()
    assert client.transport.reading


def test_a_large_command_whose_server_is_lost_on_the_way_was_not_executed_and_the_rest_is_skipped() -> None:
    world = World()
    client = world.client()
    large = command("SET", "k", b"x" * LARGE)
    client.send(large[:1000])
    world.open(0).lose()
    assert client.take() == errors.UPLOAD_LOST
    client.send(large[1000:] + GET)
    assert world.open(1).take() == GET


def test_a_large_command_that_is_lost_whole_may_have_been_executed() -> None:
    world = World()
    client = world.client()
    large = command("SET", "k", b"x" * LARGE)
    client.send(large[:1000])
    lease = world.open(0)
    client.send(large[1000:])
    lease.lose()
    assert client.take() == errors.LEADER_LOST


def test_a_large_command_inside_a_transaction_goes_on_its_lease() -> None:
    world = World()
    client, lease = begun(world, MULTI)
    large = command("SET", "k", b"x" * LARGE)
    client.send(large[:1000])
    client.send(large[1000:] + EXEC)
    assert lease.take() == large + EXEC
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    assert client.take() == b"+QUEUED\r\n*1\r\n+OK\r\n"
    assert client.protocol.state is State.SHARED


def test_a_large_command_in_a_lost_transaction_is_skipped_and_answered() -> None:
    client, lease = begun(World(), MULTI)
    lease.lose()
    large = command("SET", "k", b"x" * LARGE)
    client.send(large[:1000])
    client.send(large[1000:] + EXEC)
    assert client.take() == errors.TRANSACTION_LOST + errors.EXEC_LOST


def test_a_protocol_error_within_a_large_command_ends_client_and_lease() -> None:
    world = World()
    client = world.client()
    client.send(command("SET", "k", b"x" * LARGE)[:-2])
    lease = world.open(0)
    client.send(b"zz")
    assert b"invalid CRLF" in client.take() or not client.open
    assert not lease.open


def test_what_cannot_be_streamed_is_refused() -> None:
    world = World()
    client = world.client()
    client.send(command("AUTH", b"x" * LARGE)[:-5])
    assert (client.take(), client.open) == (errors.TOO_LARGE, False)


def test_a_large_command_whose_transaction_is_lost_on_its_way_is_answered_once() -> None:
    client, lease = begun(World(), MULTI)
    large = command("SET", "k", b"x" * LARGE)
    client.send(large[:200_000])
    lease.lose()
    client.send(large[200_000:])
    assert client.take().count(b"\r\n") == 1


def test_reset_forgets_a_queued_select() -> None:
    world = World()
    client, lease = begun(world, MULTI)
    client.send(command("SELECT", "3"))
    world.open(0)
    lease.send(b"+QUEUED\r\n")
    client.send(command("RESET") + MULTI + EXEC)
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


def test_an_early_answer_to_a_large_command_leaves_no_half_written_lease_behind() -> None:
    world = World(replicas=0)
    client, other = world.client(), world.client()
    client.send(command("SET", "k", b"x" * LARGE)[:200_000])
    lease = world.open(0)
    lease.take()
    lease.send(b"-ERR Protocol error: invalid bulk length\r\n")
    other.send(MULTI)
    assert lease.take() == b""


def test_attaching_without_a_leader_is_answered_and_closed() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(command("SUBSCRIBE", "c"))
    for _ in range(16):
        world.refuse(0)
        world.wait(0.1)
    assert (client.take(), client.open) == (errors.NO_LEADER, False)


def test_attaching_that_the_server_refuses_is_answered_in_its_words() -> None:
    client = (world := World(replicas=0)).client()
    client.send(command("SUBSCRIBE", "c"))
    world.accept(0).send(b"-ERR no\r\n")
    assert (client.take(), client.open) == (b"-ERR no\r\n", False)


def test_a_lease_is_not_read_for_a_client_that_did_not_take_its_replies_when_it_attached() -> None:
    world = World(replicas=0)
    client = world.client()
    client.protocol.data_received(command("CLIENT", "ID") + command("SUBSCRIBE", "c"))
    client.protocol.pause_writing()
    world.turn()
    assert not world.open(0).transport.reading


def test_a_large_blocking_command_of_a_client_that_sends_no_more_ends_with_it() -> None:
    world = World(replicas=0)
    client = world.client()
    blocking = command("BLPOP", *[b"k" * 1000] * 300, "0")
    client.send(blocking[:280_000])
    lease = world.open(0)
    client.send(blocking[280_000:])
    client.protocol.eof_received()
    world.turn()
    assert not lease.open


def test_what_is_in_flight_in_a_transaction_is_limited_too() -> None:
    client, lease = begun(World(), MULTI)
    for _ in range(100):
        if client.transport.reading:
            client.send(command("SET", "k", b"x" * 100_000))
    assert len(lease.take()) < 1_200_000
