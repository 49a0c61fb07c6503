"""Stamps and marks: which replica may answer for which keys."""

from __future__ import annotations

import math
import mmap
import multiprocessing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane.freshness import HELD, KEYSPACE, LEADERS, NEVER, SERVERS, SLOTS, Freshness, bit, bury, size, slot_of

SLOT_LISTS = st.lists(st.integers(0, SLOTS), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("key", "slot"), [(b"", 0), (b"a", 163091), (b"user:1", 941813), (b"\x00\xff" * 50, 713909), (b"key:000000000001", 186796)]
)
def test_a_key_has_the_same_slot_in_every_process_and_build(key: bytes, slot: int) -> None:
    assert slot_of(key, 0, len(key)) == slot


@pytest.mark.parametrize("name", ["%d", "key:%012d", "user:%d:name", ":1:session%08x"])
def test_keys_that_are_alike_are_spread_over_the_slots_as_if_by_chance(name: str) -> None:
    count = 100_000
    keys = [(name % number).encode() for number in range(count)]
    by_chance = SLOTS * (1 - math.exp(-count / SLOTS))
    assert abs(len({slot_of(key, 0, len(key)) for key in keys}) - by_chance) < by_chance / 200


@given(st.binary(max_size=50), st.binary(max_size=9), st.binary(max_size=9))
def test_a_slot_is_that_of_the_key_alone_wherever_it_stands(key: bytes, before: bytes, after: bytes) -> None:
    assert slot_of(before + key + after, len(before), len(before) + len(key)) == slot_of(key, 0, len(key))
    assert 0 <= slot_of(key, 0, len(key)) < SLOTS


@given(st.lists(st.tuples(SLOT_LISTS, st.integers(1, 2**62)), max_size=20))
def test_a_read_needs_the_newest_stamp_of_its_slot_and_of_the_keyspace(writes: list[tuple[list[int], int]]) -> None:
    table = Freshness()
    for slots, now in writes:
        table.stamp(slots, now)
    for slot in {slot for slots, _ in writes for slot in slots} - {KEYSPACE}:
        assert table.need(slot) == max(now for slots, now in writes if slot in slots or KEYSPACE in slots)
    newest = max((now for _, now in writes), default=0)
    assert table.need(KEYSPACE) == table.newest() == newest


def test_a_mark_rises_and_sinks_only_to_nothing() -> None:
    table = Freshness()
    assert table.mark(3) == 0
    table.set_mark(3, 100)
    table.set_mark(3, 50)
    assert table.mark(3) == 100
    table.set_mark(3, 0)
    assert table.mark(3) == 0
    assert table.mark(4) == 0


def test_a_mark_counts_only_if_it_is_later_than_its_last_drop() -> None:
    table = Freshness()
    table.set_mark(3, 100)
    table.drop(3, 100)
    assert table.mark(3) == 0
    table.set_mark(3, 101)
    assert (table.mark(3), table.dropped(3)) == (101, 100)


def test_the_last_server_has_a_mark_of_its_own() -> None:
    table = Freshness()
    table.set_mark(SERVERS - 1, 7)
    assert [table.mark(server) for server in (0, SERVERS - 2, SERVERS - 1)] == [0, 0, 7]


def test_a_server_beyond_the_last_never_has_a_mark() -> None:
    table = Freshness()
    table.set_mark(SERVERS, 7)
    table.drop(SERVERS, 8)
    assert (table.mark(SERVERS), table.dropped(SERVERS), table.need(0)) == (0, 0, 0)


def test_while_another_rproxy_writes_beside_this_one_every_slot_is_later_than_any_mark() -> None:
    memory = bytearray(size(2))
    clock, workers = Freshness(memory, 2, 2), [Freshness(memory, number, 2) for number in range(2)]
    workers[0].stamp([5], 10)
    clock.beside(HELD)
    assert [table.need(slot) for table in workers for slot in (5, 6, KEYSPACE)] == [HELD] * 6
    assert clock.newest() == 10, "the clock has nothing to find meanwhile"
    clock.beside(20)
    assert [table.need(slot) for table in workers for slot in (5, 6, KEYSPACE)] == [20] * 6
    assert clock.newest() == 20, "the clock goes on until the replicas have that"


def test_all_processes_know_when_the_clock_heard_the_leader_last() -> None:
    memory = bytearray(size(2))
    clock, workers = Freshness(memory, 2, 2), [Freshness(memory, number, 2) for number in range(2)]
    assert [table.leader_heard() for table in workers] == [0, 0]
    clock.hear_leader(7)
    assert [table.leader_heard() for table in workers] == [7, 7]


def test_a_held_slot_is_later_than_any_mark_until_its_last_hold_ends() -> None:
    table = Freshness()
    table.hold([5, 6])
    table.hold([5])
    table.stamp([5], 10)
    table.release([5, 6], 20)
    assert (table.need(5), table.need(6)) == (HELD, 20)
    table.release([5], 30)
    assert (table.need(5), table.need(6)) == (30, 20)


def test_a_hold_counts_for_reads_of_all_keys_and_not_as_a_stamp() -> None:
    table = Freshness()
    table.stamp([1], 10)
    table.hold([5])
    assert (table.need(KEYSPACE), table.newest(), table.need(1)) == (HELD, 10, 10)
    table.release([5], 20)
    assert (table.need(KEYSPACE), table.newest()) == (20, 20)


def test_workers_see_each_others_stamps_and_drops() -> None:
    memory = bytearray(size(3))
    workers = [Freshness(memory, worker, 3) for worker in range(3)]
    workers[0].stamp([5], 10)
    workers[2].stamp([5], 30)
    workers[1].stamp([5], 20)
    workers[1].stamp([KEYSPACE], 15)
    assert {worker.need(5) for worker in workers} == {30}
    assert {worker.need(6) for worker in workers} == {15}
    workers[0].set_mark(1, 50)
    assert {worker.mark(1) for worker in workers} == {50}
    workers[2].drop(1, 60)
    assert {worker.mark(1) for worker in workers} == {0}


def test_the_oldest_write_is_that_of_all_workers() -> None:
    memory = bytearray(size(3))
    workers = [Freshness(memory, worker, 3) for worker in range(3)]
    clock = Freshness(memory, 3, 3)
    assert clock.oldest() == 0
    workers[1].publish_oldest(20)
    workers[2].publish_oldest(30)
    assert clock.oldest() == 20
    workers[1].publish_oldest(0)
    assert clock.oldest() == 30


def test_a_write_that_is_about_to_be_stamped_is_older_than_any_time() -> None:
    table = Freshness()
    table.about_to_write()
    assert table.oldest() == 1


def test_workers_count_their_misses_together() -> None:
    memory = bytearray(size(2))
    workers = [Freshness(memory, worker, 2) for worker in range(2)]
    for worker in (*workers, *workers, workers[0]):
        worker.miss()
    assert {worker.misses() for worker in workers} == {5}


def test_every_worker_sees_that_the_clock_rests() -> None:
    memory = bytearray(size(2))
    worker, clock = Freshness(memory, 1, 2), Freshness(memory, 2, 2)
    clock.rest(True)
    assert worker.rests()
    worker.rest(False)
    assert not clock.rests()


def test_what_a_dead_worker_held_or_had_under_way_may_still_be_written_for_a_while() -> None:
    memory = bytearray(size(2))
    dead, other = (Freshness(memory, worker, 2) for worker in range(2))
    other.stamp([6], 10)
    dead.hold([5])
    dead.publish_oldest(20)
    dead.drop(1, 25)
    bury(memory, 0, 30)
    assert [other.need(slot) for slot in (5, 6, 7, KEYSPACE)] == [30] * 4
    assert (other.newest(), other.oldest(), other.dropped(1)) == (30, 0, 25)


def test_no_replica_is_fresh_for_what_is_asked_about_the_leader_while_any_worker_has_one() -> None:
    memory = bytearray(size(2))
    first, second, clock = (Freshness(memory, worker, 2) for worker in range(3))
    before = bytes(memory)
    clock.led(True)
    assert bytes(memory) == before
    for worker in (first, second):
        worker.led(True)
    first.led(False)
    assert first.need(LEADERS) == NEVER
    bury(memory, 1, 30)
    assert first.need(LEADERS) == 30


ROUNDS = 20_000
HAMMERED = (1, 77, SLOTS - 1)


def _stamp(memory: mmap.mmap, worker: int) -> None:
    """Stamp the same slots again and again with times whose two halves are equal: a torn one would show."""
    table = Freshness(memory, worker, 2)
    for turn in range(1, ROUNDS + 1):
        table.stamp(list(HAMMERED), turn << 32 | turn)


def test_two_processes_that_hammer_the_same_slots_never_show_a_torn_or_sinking_stamp() -> None:
    memory = mmap.mmap(-1, size(2))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_stamp, args=(memory, worker)) for worker in range(2)]
    table = Freshness(memory, 0, 2)
    seen = dict.fromkeys(HAMMERED, 0)
    for process in processes:
        process.start()
    reads = 0
    while any(process.is_alive() for process in processes) or not reads:
        for slot in HAMMERED:
            need = table.need(slot)
            assert need >> 32 == need & 0xFFFFFFFF, "torn"
            assert need >= seen[slot], "sunk"
            seen[slot] = need
            reads += 1
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert {table.need(slot) for slot in HAMMERED} == {ROUNDS << 32 | ROUNDS}


def test_the_table_of_one_worker_takes_eight_megabytes_and_a_little() -> None:
    assert 8 * SLOTS < size(1) < 8 * SLOTS + 8192


def test_a_slot_shares_a_bit_with_itself_and_with_all_keys_and_with_few_others() -> None:
    bits = [bit(slot) for slot in range(1000)]
    assert all(one & bit(KEYSPACE) for one in bits)
    assert all(bit(slot) == one for slot, one in enumerate(bits))
    assert sum(1 for one in bits if one & bits[0]) < 20
