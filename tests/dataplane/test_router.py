"""Which servers may answer a command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rproxy.dataplane.commands import Kind
from rproxy.dataplane.router import readers, servers
from rproxy.dataplane.topology import Server, Topology

LEADER, ONE, TWO = (Server(index, "server", 7000 + index) for index in range(3))
ALL = Topology(LEADER, (ONE, TWO), (ONE, TWO), ((1, 100), (2, 200)))


def without(*readers: Server, leader_up: bool = True) -> Topology:
    return Topology(LEADER, (ONE, TWO), readers, ALL.offsets, leader_up)


def test_reads_may_go_to_any_replica_that_is_in_no_trouble() -> None:
    assert readers(ALL) == (ONE, TWO)
    assert readers(without(TWO)) == (TWO,)


def test_there_is_no_reader_when_every_replica_is_out() -> None:
    assert readers(without()) == ()


def test_silent_replicas_are_left_out_unless_nobody_else_answers() -> None:
    assert readers(ALL, {ONE}) == (TWO,)
    assert readers(ALL, {ONE, TWO}) == (), "the leader does"
    assert readers(without(ONE, TWO, leader_up=False), {ONE, TWO}) == (ONE, TWO)
    assert readers(replace(ALL, settled=False), {ONE, TWO}) == (ONE, TWO)


@pytest.mark.parametrize("kind", [Kind.WRITE, Kind.LEASED])
def test_everything_but_reads_goes_to_the_leader(kind: Kind) -> None:
    assert servers(kind, ALL, "eventual", "serve") == (LEADER,)


@pytest.mark.parametrize("kind", [Kind.LOCAL, Kind.DENIED])
def test_what_rproxy_answers_or_refuses_goes_to_nobody(kind: Kind) -> None:
    assert servers(kind, ALL, "eventual", "serve") == ()


def test_without_readers_the_leader_is_read() -> None:
    assert servers(Kind.READ, without(), "eventual", "serve") == (LEADER,)


@pytest.mark.parametrize(
    ("leader_up", "leaderless", "expected"),
    [(True, "serve", LEADER), (False, "serve", TWO), (False, "error", LEADER)],
)
def test_strict_reads_go_to_the_leader_and_while_it_is_away_to_the_furthest_replica(
    leader_up: bool, leaderless: str, expected: Server
) -> None:
    assert servers(Kind.READ, without(ONE, TWO, leader_up=leader_up), "leader", leaderless) == (expected,)
