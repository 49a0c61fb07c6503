"""Iterations stay on the server that began them; the client's cursor says which it is."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane import cursors, resp
from rproxy.dataplane.topology import Topology
from tests.dataplane.kit import HELLO, End, World, begun, command

RUNS = [b"a" * 40, b"b" * 40, b"c" * 40]


def scanned(cursor: bytes | int, *elements: bytes) -> bytes:
    """A reply to SCAN."""
    text = b"%d" % cursor if isinstance(cursor, int) else cursor
    return b"*2\r\n$%d\r\n%b\r\n" % (len(text), text) + resp.encode(list(elements))


def ours(index: int, cursor: int, run: bytes | None = None) -> int:
    """The client's cursor for that server's."""
    return cursors.encode(index, cursors.tag_of(RUNS[index] if run is None else run), cursor)


def tell(world: World, index: int, run: bytes | None = None, error: bytes = b"") -> None:
    """Server `index` is asked which process it is, and answers."""
    question = world.accept(index)
    assert b"INFO" in question.take()
    text = b"# Server\r\nrun_id:%b\r\n" % (RUNS[index] if run is None else run)
    question.send(HELLO + (error or b"$%d\r\n%b\r\n" % (len(text), text)))
    assert not question.open
    world.wait(cursors.PAUSE)


def connected(world: World, index: int, run: bytes | None = None) -> End:
    """The lane to server `index`, which is asked for a step and says who it is."""
    lane = world.open(index)
    world.wait(cursors.PAUSE)
    tell(world, index, run)
    return lane


@pytest.mark.parametrize("cursor", [1, 17, (1 << 28) - 1])
@pytest.mark.parametrize("index", [0, 1, 255])
def test_a_cursor_says_whose_it_is_and_stays_whole_in_a_double(index: int, cursor: int) -> None:
    tag = cursors.tag_of(b"some run")
    encoded = cursors.encode(index, tag, cursor)
    assert cursors.OURS <= encoded < 1 << 53 and int(float(encoded)) == encoded
    assert cursors.decode(encoded) == (index, tag, cursor)


def test_an_iteration_goes_on_where_it_began_whoever_goes_on_with_it() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", "0", "COUNT", "5"))
    one = connected(world, 1)
    assert one.take() == command("SCAN", "0", "COUNT", "5")
    one.send(scanned(7, b"k"))
    assert client.take() == scanned(ours(1, 7), b"k")
    world.dice = 0.99  # other reads go to the other replica
    another = world.client()
    another.send(command("SCAN", str(ours(1, 7)), "COUNT", "5"))
    assert one.take() == command("SCAN", "7", "COUNT", "5")
    one.send(scanned(0, b"k2"))
    assert another.take() == scanned(0, b"k2")


@pytest.mark.parametrize("name", ["HSCAN", "SSCAN", "ZSCAN"])
def test_the_cursor_of_a_key_stands_behind_it(name: str) -> None:
    world = World()
    client = world.client()
    client.send(command(name.lower(), "k", str(ours(2, 7)), "MATCH", "0"))
    assert connected(world, 2).take() == command(name.lower(), "k", "7", "MATCH", "0")


def test_a_cursor_that_comes_in_pieces_is_put_together_and_the_rest_goes_on_as_it_comes() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", "0"))
    one = connected(world, 1)
    reply = scanned(123, b"key")
    for at in range(len(reply) - 4):
        one.send(reply[at : at + 1])
    assert client.take() == scanned(ours(1, 123), b"key")[:-4]
    one.send(reply[-4:])
    assert client.take() == reply[-4:]


def test_errors_pass_as_they_are() -> None:
    world = World()
    client = world.client()
    client.send(command("HSCAN", "k", "0", "COUNT", "x") + command("HSCAN", "k", "0"))
    one = connected(world, 1)
    one.send(b"-ERR value is not an integer or out of range\r\n-WRONGTYPE Operation\r\n")
    assert client.take() == b"-ERR value is not an integer or out of range\r\n-WRONGTYPE Operation\r\n"


def test_replies_keep_their_order_in_a_pipeline() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", "0") + command("GET", "k") + command("SCAN", str(ours(2, 9))))
    one = world.open(1)
    one.take()
    one.send(b"+get\r\n")
    assert client.take() == b""
    two = world.open(2)
    world.wait(cursors.PAUSE)
    tell(world, 1)
    tell(world, 2)
    two.send(scanned(0, b"two"))
    one.send(scanned(5, b"one"))
    assert client.take() == scanned(ours(1, 5), b"one") + b"+get\r\n" + scanned(0, b"two")


@pytest.mark.parametrize("word", ["abc", "", "-1", "+0", "99999999999999999999999", "5", str(1 << 62)])
def test_what_is_no_cursor_of_ours_is_the_leaders(word: str) -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", word))
    leader = world.open(0)
    assert leader.take() == command("SCAN", word)
    leader.send(scanned(1 << 40))
    assert client.take() == scanned(1 << 40)


@pytest.mark.parametrize("options", [{"consistency": "leader"}, {"replicas": 0}])
def test_without_replicas_to_read_cursors_are_the_leaders_own(options: dict[str, object]) -> None:
    world = World(**options)  # type: ignore[arg-type]
    client = world.client()
    client.send(command("SCAN", "0"))
    leader = world.open(0)
    assert leader.take() == command("SCAN", "0")
    leader.send(scanned(3))
    assert client.take() == scanned(3)


def test_in_a_transaction_cursors_are_the_leaders_own() -> None:
    world = World()
    client = world.client()
    client.send(command("MULTI") + command("SCAN", "0"))
    assert world.open(0).take() == command("MULTI") + command("SCAN", "0")


def test_an_iteration_of_another_connection_cannot_go_on_in_a_transaction() -> None:
    world = World()
    client, lease = begun(world, command("MULTI"))
    client.send(command("HSCAN", "k", str(ours(1, 7))) + command("EXEC"))
    lease.send(b"-ERR unknown command\r\n-EXECABORT no\r\n")
    assert client.take() == errors.CURSOR_ELSEWHERE + b"-EXECABORT no\r\n"


def test_an_iteration_of_another_connection_cannot_go_on_behind_a_subscription() -> None:
    world = World()
    client, lease = begun(world, command("CLIENT", "NO-EVICT", "ON"))
    client.send(command("SCAN", str(ours(1, 7))) + command("SCAN", "5"))
    assert (client.take(), lease.take()) == (errors.CURSOR_ELSEWHERE, command("SCAN", "5"))


def test_a_restarted_server_does_not_get_the_cursor_of_its_earlier_life() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", str(ours(1, 7))))
    one = connected(world, 1, run=b"another")
    assert (one.take(), client.take()) == (b"", errors.CURSOR_LOST)


def test_a_connection_that_was_lost_is_asked_anew_which_process_it_leads_to() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", str(ours(1, 7))))
    one = connected(world, 1)
    one.send(scanned(8))
    client.take()
    one.lose()
    client.send(command("SCAN", str(ours(1, 8))))
    one = connected(world, 1, run=b"another")
    assert (one.take(), client.take()) == (b"", errors.CURSOR_LOST)


def test_a_step_that_was_on_its_way_to_the_last_leader_never_goes_to_the_next_one() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", str(ours(0, 7))))
    leader = connected(world, 0)
    leader.send(scanned(8))
    client.take()
    first, second, third = world.servers
    client.protocol.data_received(command("SCAN", str(ours(0, 8))))
    world.plane.follow(Topology(second, (first, third), (third,)))
    leader.lose()
    world.wait(1.0)
    assert client.take() == errors.READER_LOST
    assert not [server for server, _ in world.dialled if server.index == 1]


def test_a_server_that_is_not_in_the_settings_is_gone() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", str(cursors.encode(77, 5, 1))))
    assert client.take() == errors.CURSOR_LOST


def test_a_server_that_cannot_be_connected_is_gone_within_the_budget() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", str(ours(1, 7))))
    for _ in range(40):
        world.refuse(1)
        world.wait(0.05)
    assert client.take() == errors.CURSOR_LOST


def test_a_server_that_does_not_tell_who_it_is_begins_nothing() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", "0"))
    one = world.open(1)
    world.wait(cursors.PAUSE)
    tell(world, 1, error=b"-NOPERM no\r\n")
    leader = connected(world, 0)
    assert (one.take(), leader.take()) == (b"", command("SCAN", "0"))
    leader.send(scanned(3))
    assert client.take() == scanned(ours(0, 3))


def test_a_leader_that_does_not_tell_who_it_is_gives_its_own_cursors() -> None:
    world = World()
    world.follow(readers=())
    client = world.client()
    client.send(command("SCAN", "0"))
    leader = world.open(0)
    world.wait(cursors.PAUSE)
    tell(world, 0, error=b"-NOPERM no\r\n")
    leader.send(scanned(3))
    assert client.take() == scanned(3)


def test_a_replica_whose_cursors_are_too_large_to_encode_leaves_the_iteration_to_the_leader() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", "0"))
    one = connected(world, 1)
    reply = scanned(1 << 60, b"key")
    one.send(reply[:25])
    one.send(reply[25:])
    leader = connected(world, 0)
    assert (leader.take(), client.take()) == (command("SCAN", "0"), b"")
    leader.send(scanned(1 << 60, b"key"))
    assert client.take() == reply


def test_a_beginning_that_a_replica_refuses_goes_to_the_leader() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", "0"))
    connected(world, 1).send(b"-NOPERM no\r\n")
    leader = connected(world, 0)
    leader.send(b"-NOPERM really\r\n")
    assert client.take() == b"-NOPERM really\r\n"


def test_a_continuation_that_its_replica_refuses_goes_nowhere_else() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", str(ours(1, 7))))
    connected(world, 1).send(b"-NOPERM no\r\n")
    assert client.take() == errors.CURSOR_LOST
    assert not world.dialled


def test_a_beginning_that_is_lost_is_begun_elsewhere() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", "0"))
    connected(world, 1).lose()
    two = connected(world, 2)
    two.send(scanned(5))
    assert client.take() == scanned(ours(2, 5))


def test_a_continuation_that_is_lost_says_so_and_may_be_tried_again() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", str(ours(1, 7))))
    connected(world, 1).lose()
    assert client.take() == errors.READER_LOST
    client.send(command("SCAN", str(ours(1, 7))))
    assert connected(world, 1).take() == command("SCAN", "7")


def test_a_continuation_waits_until_its_server_has_what_was_written() -> None:
    world = World(consistency="fresh")
    world.prove()
    reader, writer = world.client(), world.client()
    reader.send(command("HSCAN", "k", "0"))
    one = connected(world, 1)
    one.take()
    one.send(scanned(7))
    assert reader.take() == scanned(ours(1, 7))
    writer.send(command("HSET", "k", "f", "v"))
    leader = world.open(0)
    leader.take()
    leader.send(b":1\r\n")
    reader.send(command("HSCAN", "k", str(ours(1, 7))))
    world.wait(0.5)
    assert (one.take(), leader.take()) == (b"", b"")
    world.prove(1)
    world.wait(cursors.PAUSE)
    assert one.take() == command("HSCAN", "k", "7")


def test_a_continuation_whose_server_never_catches_up_is_an_error_within_the_budget() -> None:
    world = World(consistency="fresh")
    world.prove()
    client = world.client()
    client.send(command("SCAN", "0"))
    one = connected(world, 1)
    one.take()
    one.send(scanned(7))
    client.take()
    client.send(command("SET", "k", "v"))
    world.open(0).send(b"+OK\r\n")
    client.take()
    client.send(command("SCAN", str(ours(1, 7))))
    world.wait(1.6)
    assert (one.take(), client.take()) == (b"", errors.CURSOR_BEHIND)


def test_a_beginning_that_no_replica_is_fresh_for_is_the_leaders_behind_the_sessions_own_write() -> None:
    world = World(consistency="fresh")
    world.prove()
    client = world.client()
    client.send(command("SET", "k", "v") + command("SCAN", "0"))
    leader = connected(world, 0)
    assert leader.take() == command("SET", "k", "v") + command("SCAN", "0")
    leader.send(b"+OK\r\n" + scanned(6))
    assert client.take() == b"+OK\r\n" + scanned(ours(0, 6))
    client.send(command("SCAN", str(ours(0, 6))))
    assert leader.take() == command("SCAN", "6")


def test_a_write_waits_for_the_step_of_its_session_that_would_show_it() -> None:
    world = World(consistency="fresh")
    world.prove()
    client = world.client()
    client.send(command("SCAN", "0") + command("SET", "k", "v"))
    one = connected(world, 1)
    assert not [server for server, _ in world.dialled if server.index == 0]
    one.send(scanned(0))
    assert world.open(0).take() == command("SET", "k", "v")


def test_after_a_change_of_leader_the_last_ones_iterations_wait_for_it_as_a_replica() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(command("SCAN", "0"))
    leader = connected(world, 0)
    leader.send(scanned(6))
    client.take()
    first, second, third = world.servers
    world.follow(leader=second, replicas=(first, third), readers=(first, third))
    client.send(command("SCAN", str(ours(0, 6))))
    again = connected(world, 0)
    world.prove(0)
    world.wait(0.1)
    assert again.take() == command("SCAN", "6")


def test_rproxy_explains_where_an_iteration_goes_on() -> None:
    world = World()
    client = world.client()
    client.send(command("RPROXY", "EXPLAIN", "SCAN", str(ours(2, 7))))
    world.open(0)
    assert b'"servers": ["server:7002"]' in client.take()


def test_without_a_leader_an_iteration_begins_and_goes_on_with_what_the_furthest_replica_has() -> None:
    world = World(consistency="fresh")
    world.follow(leader_up=False, offsets=((1, 5), (2, 9)))
    client = world.client()
    client.send(command("SCAN", "0"))
    world.wait(0.2)
    two = connected(world, 2)
    two.take()
    two.send(scanned(7))
    assert client.take() == scanned(ours(2, 7))
    client.send(command("SCAN", str(ours(2, 7))))
    assert two.take() == command("SCAN", "7")
    assert world.plane.leaderless_reads == 2


def test_a_client_that_leaves_ends_what_its_step_waits_for() -> None:
    world = World()
    client = world.client()
    client.send(command("SCAN", "0"))
    client.lose()
    one = world.open(1)
    world.wait(1.0)
    assert one.take() == b""


def test_a_continuation_goes_on_while_somebody_is_blocked() -> None:
    world = World(consistency="fresh")
    world.prove()
    client, worker = world.client(), world.client()
    client.send(command("SCAN", "0"))
    one = connected(world, 1)
    one.take()
    one.send(scanned(7))
    client.take()
    worker.send(command("BLPOP", "queue", "0"))
    world.open(0)
    world.prove()
    client.send(command("SCAN", str(ours(1, 7))))
    assert one.take() == command("SCAN", "7")
