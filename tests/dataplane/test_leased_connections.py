"""Blocking commands, large commands and attached clients, each as a transcript."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane.states import State
from tests.dataplane.kit import End, World, begun, command

GET = command("GET", "k")
SET = command("SET", "k", "v")
MULTI, EXEC = command("MULTI"), command("EXEC")
LARGE = 300 * 1024


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


@pytest.mark.parametrize("words", [("PSYNC", "?", "-1"), ("CLIENT", "CAPA", "redirect"), ("SCRIPT", "DEBUG", "YES")])
def test_what_would_change_a_shared_connection_has_one_of_its_own_where_settings_allow_it(words: tuple[str, ...]) -> None:
    world = World(overrides={"PSYNC": "leader", "CLIENT|CAPA": "leader", "SCRIPT|DEBUG": "leader"})
    client = world.client()
    client.send(SET)
    lane = world.open(0)
    lane.send(b"+OK\r\n")
    client.send(command(*words) + SET)
    lease = world.open(0)
    assert lease.take() == command(*words)
    lease.send(b"+DONE\r\n")
    assert client.take() == b"+OK\r\n+DONE\r\n"
    assert not lease.open
    assert lane.take() == SET + SET


def test_it_is_not_lent_again_either_where_a_transaction_queued_it() -> None:
    world = World(overrides={"REPLCONF": "leader"})
    client, lease = begun(world, MULTI)
    client.send(command("REPLCONF", "GETACK", "*") + EXEC)
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    assert (client.protocol.state, lease.open) == (State.SHARED, False)


def test_a_client_that_leaves_while_blocked_ends_its_lease() -> None:
    world = World()
    client = world.client()
    client.send(command("BLPOP", "l", "0"))
    lease = world.open(0)
    client.lose()
    assert not lease.open


@pytest.mark.parametrize("sent", [command("BLPOP", "l", "0"), command("SET", "k", b"x" * LARGE)[:1000]])
def test_a_client_that_sends_no_more_and_waits_for_what_may_never_come_is_closed_with_its_lease(sent: bytes) -> None:
    world = World()
    client = world.client()
    client.send(sent)
    lease = world.open(0)
    client.protocol.eof_received()
    world.turn()
    assert (client.open, lease.open) == (False, False)


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


def test_an_early_answer_to_a_large_command_leaves_no_half_written_lease_behind() -> None:
    world = World(replicas=0)
    client, other = world.client(), world.client()
    client.send(command("SET", "k", b"x" * LARGE)[:200_000])
    lease = world.open(0)
    lease.take()
    lease.send(b"-ERR Protocol error: invalid bulk length\r\n")
    other.send(MULTI)
    assert lease.take() == b""


def test_attaching_without_a_leader_is_answered() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(command("SUBSCRIBE", "c"))
    for _ in range(16):
        world.refuse(0)
        world.wait(0.1)
    assert (client.take(), client.open) == (errors.NO_LEADER, True)


def test_attaching_that_the_server_refuses_is_answered_in_its_words() -> None:
    client = (world := World(replicas=0)).client()
    client.send(command("SUBSCRIBE", "c", "d"))
    world.accept(0).send(b"-ERR no\r\n")
    assert (client.take(), client.open) == (b"-ERR no\r\n", True)


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


def kept(world: World) -> End:
    """A leased connection that its session has given back."""
    client, lease = begun(world, MULTI)
    client.send(EXEC)
    lease.send(b"*0\r\n")
    assert lease.take() == EXEC and client.take() == b"*0\r\n"
    return lease


@pytest.mark.parametrize(
    "words", [MULTI + SET + EXEC, command("BLPOP", "l", "0"), command("SUBSCRIBE", "c"), command("WATCH", "k")]
)
def test_a_kept_connection_that_ends_before_anything_is_sent_over_it_is_opened_anew(words: bytes) -> None:
    world = World()
    lease = kept(world)
    client = world.client()
    client.protocol.data_received(words)  # it leaves at the end of the loop pass
    lease.lose()
    assert client.take() == b""
    assert world.open(0).take() == words
    assert client.open


def test_a_leader_that_closes_a_kept_connection_and_takes_no_other_is_away_and_says_so() -> None:
    world = World()
    lease = kept(world)
    client = world.client()
    client.protocol.data_received(MULTI)
    lease.lose()
    world.wait(world.plane.options.budget + 0.2)
    assert client.take() == errors.NO_LEADER


def test_a_transaction_whose_connection_ends_is_lost_though_more_of_it_was_about_to_be_sent() -> None:
    world = World()
    client, lease = begun(world, MULTI)
    client.protocol.data_received(SET + EXEC)
    lease.lose()
    assert client.take() == errors.TRANSACTION_LOST + errors.EXEC_LOST
    assert not world.dialled
