"""What all workers have counted together."""

from __future__ import annotations

from rproxy.dataplane.freshness import SERVERS
from rproxy.dataplane.tallies import ACCEPTED, CLIENTS, LANES, READS, Tallies, publish, size
from tests.dataplane.kit import World, command


def three() -> list[Tallies]:
    memory = bytearray(size(3))
    return [Tallies(memory, worker, 3) for worker in range(3)]


def test_any_worker_tells_the_sum_of_all() -> None:
    workers = three()
    for number, worker in enumerate(workers, 1):
        worker.put(CLIENTS, number)
        worker.put_server(7, (10 * number, 0, number, 0))
    assert {worker.total(CLIENTS) for worker in workers} == {6}
    assert {worker.total_of_server(7, READS) for worker in workers} == {60}
    assert [workers[0].of(worker, CLIENTS) for worker in range(3)] == [1, 2, 3]


def test_a_dead_workers_counts_are_kept_and_its_connections_are_not() -> None:
    workers = three()
    workers[1].put(ACCEPTED, 5)
    workers[1].put(CLIENTS, 4)
    workers[1].put_server(7, (10, 20, 3, 1))
    workers[0].bury(1)
    assert (workers[2].total(ACCEPTED), workers[2].total(CLIENTS)) == (5, 0)
    assert (workers[2].total_of_server(7, READS), workers[2].total_of_server(7, LANES)) == (10, 0)
    workers[1].put(ACCEPTED, 1)
    workers[0].bury(1)
    assert workers[2].total(ACCEPTED) == 6


def test_no_number_is_given_twice_whatever_worker_gives_it_and_whoever_has_died() -> None:
    workers = three()
    given = [workers[turn % 2].next_id() for turn in range(10)]
    workers[2].bury(0)
    given += [workers[turn % 3].next_id() for turn in range(10)]
    assert len(set(given)) == 20 and min(given) == 1


def test_one_worker_numbers_without_gaps() -> None:
    tallies = Tallies()
    assert [tallies.next_id() for _ in range(3)] == [1, 2, 3]


def test_a_server_that_no_table_has_room_for_is_not_counted() -> None:
    tallies = Tallies()
    tallies.put_server(SERVERS, (1, 1, 1, 1))
    assert tallies.total_of_server(SERVERS, READS) == 0


def test_a_plane_writes_what_it_has_counted() -> None:
    world = World()
    client = world.client()
    client.send(command("GET", "k"))
    publish(world.plane)
    tallies = world.plane.tallies
    assert (tallies.total(CLIENTS), tallies.total(ACCEPTED)) == (1, 1)
    assert sum(tallies.total_of_server(server, READS) for server in (1, 2)) == 1


def test_a_plane_that_has_something_to_do_writes_it_now_and_then() -> None:
    world = World()
    world.client().send(command("GET", "k"))
    world.wait(world.plane.TICK * 2)
    assert sum(world.plane.tallies.total_of_server(server, READS) for server in (1, 2)) == 1
