"""Which process a server is: connections to another one are neither used nor believed."""

from __future__ import annotations

from typing import Any

from rproxy.dataplane.handover import PATIENCE
from rproxy.dataplane.pool import LONGEST_BACKOFF, MOST_WRONG_PROCESSES
from rproxy.dataplane.processes import tag_of
from rproxy.dataplane.topology import Server
from tests.dataplane.kit import HELLO, World, command, process

ONE, TWO = b"1" * 40, b"2" * 40
GET, SET = command("GET", "k"), command("SET", "k", "v")
OK = b"+OK\r\n"


def bound(index: int, run_id: bytes = ONE, **options: Any) -> World:
    """A world whose server `index` is known to be the process `run_id`."""
    world = World(**options)
    world.follow(processes=((index, run_id),))
    return world


def only_replica(world: World) -> None:
    """Reads go to server 1 alone."""
    world.follow(readers=(world.servers[1],))
    world.prove(1)


def test_a_connection_asks_which_process_the_server_is() -> None:
    world = bound(0)
    world.client().send(SET)
    assert world.accept(0).take() == command("HELLO", "2") + command("INFO", "server")


def test_nothing_is_asked_while_there_is_nothing_to_compare_with() -> None:
    world = World()
    world.client().send(SET)
    assert world.accept(0).take() == command("HELLO", "2")


def test_a_connection_to_the_process_is_used() -> None:
    world = bound(0)
    world.client().send(SET)
    assert world.open(0, info=process(ONE)).take() == SET


def test_a_connection_is_used_whose_server_does_not_tell_its_process() -> None:
    for info in (b"-NOPERM no\r\n", b"-ERR unknown command 'INFO'\r\n", b"$-1\r\n"):
        world = bound(0)
        world.client().send(SET)
        assert world.open(0, info=info).take() == SET


def test_a_user_without_the_right_to_info_is_asked_once() -> None:
    world = bound(0)
    client = world.client()
    client.send(SET)
    world.open(0, info=b"-NOPERM no\r\n").send(OK)
    client.send(command("MULTI"))
    assert world.accept(0).take() == command("HELLO", "2")


def test_a_read_goes_elsewhere_when_its_connection_is_to_another_process_and_the_replica_is_not_doubted() -> None:
    world = bound(1)
    only_replica(world)
    client = world.client()
    client.send(GET)
    stray = world.open(1, info=process(TWO))
    assert not stray.open and stray.take() == b""
    leader = world.open(0)
    assert leader.take() == GET
    leader.send(b"$1\r\nv\r\n")
    assert client.take() == b"$1\r\nv\r\n"
    assert world.suspects == []


def test_the_next_connection_is_by_another_address_of_the_name() -> None:
    wrong: list[Server] = []
    world = bound(1, outside={"wrong_process": wrong.append})
    only_replica(world)
    world.client().send(GET)
    world.open(1, info=process(TWO))
    assert wrong == [world.servers[1]]


def test_a_replica_is_doubted_when_many_connections_in_a_row_meet_another_process() -> None:
    world = bound(1)
    only_replica(world)
    client = world.client()
    for stray in range(MOST_WRONG_PROCESSES):
        assert (len(world.suspects) > 0) == (stray >= MOST_WRONG_PROCESSES)
        client.send(GET)
        world.wait(LONGEST_BACKOFF)
        world.open(1, info=process(TWO))
    assert world.suspects == [world.servers[1]]


def test_the_leader_is_doubted_at_once_when_another_process_answers_at_its_address() -> None:
    world = bound(0)
    client = world.client()
    client.send(SET)
    stray = world.open(0, info=process(TWO))
    assert not stray.open and client.take() == b""
    assert world.suspects == [world.servers[0]]


def test_what_waits_goes_on_when_the_server_is_found_to_be_the_other_process() -> None:
    world = bound(0)
    client = world.client()
    client.send(SET)
    world.open(0, info=process(TWO))
    world.follow(processes=((0, TWO),))
    leader = world.open(0, info=process(TWO))
    assert leader.take() == SET
    leader.send(OK)
    assert client.take() == OK


def test_connections_of_a_replica_that_is_another_process_now_are_closed_and_their_reads_asked_again() -> None:
    world = bound(1)
    only_replica(world)
    client = world.client()
    client.send(GET)
    replica = world.open(1, info=process(ONE))
    assert replica.take() == GET
    world.follow(processes=((1, TWO),))
    assert not replica.open
    assert world.open(0).take() == GET
    assert world.suspects == []


def test_connections_to_the_process_that_a_server_turns_out_to_be_stay() -> None:
    world = bound(1)
    only_replica(world)
    client = world.client()
    client.send(GET)
    replica = world.open(1, info=process(ONE))
    replica.send(b"$1\r\nv\r\n")
    world.follow(processes=())
    world.follow(processes=((1, ONE),))
    assert replica.open


def test_a_mark_of_the_process_that_a_replica_was_does_not_count() -> None:
    world = bound(1)
    only_replica(world)
    assert world.plane.freshness.mark(1) > 0
    world.follow(processes=((1, TWO),))
    assert world.plane.freshness.mark(1) == 0


def test_a_worker_tells_from_which_process_it_reads() -> None:
    world = bound(1)
    assert world.plane.freshness.all_bound(1, tag_of(ONE))
    assert not world.plane.freshness.all_bound(1, tag_of(TWO))
    assert world.plane.freshness.all_bound(2, tag_of(TWO))  # of which nothing is known


def test_the_last_leaders_connections_are_closed_before_another_process_at_its_address_gets_a_write() -> None:
    world = bound(0)
    client = world.client()
    client.send(SET)
    before = world.open(0, info=process(ONE))
    assert before.take() == SET
    world.follow(processes=((0, TWO),))
    client.send(SET)
    assert before.open and before.take() == b""
    before.send(OK)
    world.wait(0.06)
    assert not before.open
    after = world.open(0, info=process(TWO))
    assert after.take() == SET
    after.send(OK)
    assert client.take() == OK + OK


def test_a_demoted_process_is_left_and_what_waits_goes_on_when_its_address_leads_to_the_next_leader() -> None:
    world = bound(0)
    client = world.client()
    client.send(SET)
    before = world.open(0, info=process(ONE))
    before.send(OK)
    world.follow(settled=False)
    client.send(SET)
    world.follow(processes=((0, TWO),))
    world.wait(PATIENCE + 0.1)
    assert not before.open
    world.follow(settled=True)
    assert world.open(0, info=process(TWO)).take() == SET


def test_a_leader_that_is_restarted_keeps_its_new_connections() -> None:
    world = bound(0)
    client = world.client()
    client.send(SET)
    before = world.open(0, info=process(ONE))
    before.send(OK)
    before.lose()
    client.send(SET)
    world.open(0, info=process(TWO))
    world.follow(processes=((0, TWO),))
    leader = world.open(0, info=process(TWO))
    assert leader.take() == SET
    world.follow(latencies=((0, 0.1),))
    assert leader.open


def test_a_client_on_a_connection_of_its_own_is_closed_when_the_leader_is_another_process() -> None:
    world = bound(0)
    client = world.client()
    client.send(command("SUBSCRIBE", "c"))
    lease = world.open(0, info=process(ONE))
    lease.send(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
    world.follow(processes=((0, TWO),))
    world.wait(PATIENCE + 0.1)
    assert not lease.open and not client.open


def test_a_hello_that_is_refused_says_nothing_of_the_process() -> None:
    world = bound(0)
    world.client().send(SET)
    assert world.open(0, hello=b"-ERR unknown command 'HELLO'\r\n", info=process(ONE)).take() == SET


def test_the_handshake_is_read_in_pieces() -> None:
    world = bound(0)
    world.client().send(SET)
    end = world.accept(0)
    end.take()
    for byte in HELLO + process(ONE):
        end.send(bytes([byte]))
    assert end.take() == SET


def test_connections_to_another_process_now_and_then_are_no_reason_to_doubt_a_replica() -> None:
    world = bound(1)
    only_replica(world)
    client = world.client()
    for _ in range(MOST_WRONG_PROCESSES + 1):
        for run_id in (TWO, ONE):
            client.send(GET)
            world.wait(LONGEST_BACKOFF)
            end = world.open(1, info=process(run_id))
        end.send(b"$1\r\nv\r\n")
        world.plane.pools[world.servers[1]].close()
        world.turn()
    assert world.suspects == []
