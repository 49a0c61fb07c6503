"""How long servers take, as all workers count it together."""

from __future__ import annotations

from typing import Any

from rproxy.dataplane.histograms import BOUNDS_MS, BUCKETS, Times
from rproxy.dataplane.introspect import facts_of
from rproxy.dataplane.tallies import Tallies, size
from tests.dataplane.kit import World, command


def test_a_command_is_counted_in_the_bucket_of_its_time() -> None:
    world = World()
    client = world.client()
    client.send(command("SET", "k", "v"))
    leader = world.open(0)
    world.now += 0.003
    leader.send(b"+OK\r\n")
    latency: Any = facts_of(world.plane)["latency"]
    (series,) = latency["series"]
    at = next(index for index, bound in enumerate(latency["bounds_ms"]) if bound >= 3)
    assert (series["kind"], series["server"], series["count"], series["counts"][at]) == ("write", "server:7000", 1, 1)
    assert len(series["counts"]) == len(BOUNDS_MS) + 1 and round(series["sum_ms"]) == 3


def test_workers_count_together_and_what_takes_longest_is_above_all_bounds() -> None:
    memory = bytearray(size(2))
    workers = [Tallies(memory, number, 2) for number in range(2)]
    for worker in workers:
        Times(worker.times_of(3)).add(False, 10**13, 4)
    workers[0].bury(1)
    counts = workers[0].times(3, write=False)
    assert counts[BUCKETS - 1] == 8 and counts[BUCKETS] == 8 * 10**13
    assert not any(workers[0].times(3, write=True)) and not any(workers[0].times(2, write=False))
