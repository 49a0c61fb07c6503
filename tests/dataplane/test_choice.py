"""Which replica answers, by the read policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from rproxy.dataplane.choice import POLICIES, Choice
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.pool import Pool
from rproxy.dataplane.topology import Server, Topology
from tests.dataplane.kit import World, command

DICE = 1200


def pools(*servers: tuple[int, str]) -> list[Pool]:
    """A pool for each (weight, zone)."""
    plane: Plane = World().plane
    return [
        Pool(plane, Server(index, "r", 1 + index, weight=weight, zone=zone), False)
        for index, (weight, zone) in enumerate(servers)
    ]


def dice() -> Iterator[float]:
    """Every number as often."""
    while True:
        yield from (number / DICE for number in range(DICE))


def counted(choice: Choice, among: list[Pool], times: int = DICE) -> list[int]:
    found = Counter(choice.of(among).index for _ in range(times))
    return [found[pool.index] for pool in among]


def choice(policy: str, zone: str = "") -> Choice:
    numbers = dice()
    return Choice(policy, zone, lambda: next(numbers))


def test_random_takes_each_as_often() -> None:
    assert counted(choice("random"), pools((1, ""), (1, ""), (1, ""))) == [400, 400, 400]


@pytest.mark.parametrize("policy", ["random", "round-robin"])
def test_weights_count(policy: str) -> None:
    assert counted(choice(policy), pools((1, ""), (2, ""), (3, ""))) == [200, 400, 600]


def test_round_robin_takes_turns() -> None:
    among = pools((1, ""), (1, ""))
    taken = choice("round-robin")
    assert [taken.of(among).index for _ in range(4)] == [0, 1, 0, 1]


def test_nearest_takes_the_shortest_latency_and_a_server_without_one_last() -> None:
    among = pools((1, ""), (1, ""), (1, ""))
    nearest = choice("nearest")
    nearest.follow(Topology(Server(9, "l", 1), latencies=((1, 0.002), (2, 0.001))))
    assert nearest.of(among).index == 2
    assert nearest.of(among[:2]).index == 1


def test_least_pending_takes_the_one_with_the_fewest_commands_under_way() -> None:
    world = World(read_policy="least-pending")
    first, second = world.client(), world.client()
    first.send(command("GET", "k"))
    world.open(1)
    second.send(command("GET", "k"))
    assert world.open(2).take()


@pytest.mark.parametrize("policy", POLICIES)
def test_the_own_zone_goes_before_all_others_and_others_are_better_than_none(policy: str) -> None:
    among = pools((1, "a"), (1, "b"), (1, "b"))
    own = choice(policy, "a")
    assert counted(own, among, 10) == [10, 0, 0]
    assert sum(counted(own, among[1:], 10)) == 10


@pytest.mark.parametrize("policy", POLICIES)
def test_a_server_that_was_not_given_is_never_chosen(policy: str) -> None:
    among = pools((1, ""), (5, ""), (1, ""))
    assert set(range(3)) >= {choice(policy).of(among).index}
    assert choice(policy).of([among[2]]) is among[2]


def test_all_replicas_out_the_leader_serves_its_share_and_the_rest_gets_an_error() -> None:
    world = World(leader_reads=25)
    world.follow(readers=())
    leaders = errors = 0
    for number in range(100):
        world.dice = number / 100
        client = world.client()
        client.send(command("GET", "k"))
        refused = client.take()
        errors += refused.startswith(b"-MASTERDOWN")
        leaders += not refused
    assert (leaders, errors) == (25, 75)


def test_a_sign_of_life_is_the_leaders_whatever_its_share() -> None:
    world = World(leader_reads=0, consistency="fresh")
    world.follow(readers=())
    world.client().send(command("PING"))
    assert world.open(0).take() == command("PING")


def test_without_replicas_the_leader_serves_all_whatever_its_share() -> None:
    world = World(replicas=0, leader_reads=0)
    world.client().send(command("GET", "k"))
    assert world.open(0).take() == command("GET", "k")
