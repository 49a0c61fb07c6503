"""What administrators and settings change in the judge's rules while it judges."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from rproxy.controlplane.fitness import Limits, Reason
from rproxy.dataplane.topology import Server, Topology
from rproxy.service.control import EJECTED_FOR
from tests.controlplane.judging import FIRST, LEADER, SECOND, TWO, Told, promoted, servers, silent, well


def test_a_drained_replica_is_not_read_until_it_is_let_and_then_at_once(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        told.judge.drain(frozenset({FIRST.name}))
        assert told.judge.topology.readers == (SECOND,)
        assert told.why(FIRST) == "is not read: an administrator has drained it"
        assert told.hear(well(FIRST), well(FIRST)).readers == (SECOND,), "however well it is"
        told.judge.drain(frozenset())
        assert told.hear(well(FIRST), well(FIRST)).readers == (FIRST, SECOND)
    assert [record.message for record in caplog.records] == [
        f"replica {FIRST.name} is not read: an administrator has drained it",
        f"replica {FIRST.name} is read again",
    ]


def test_a_drained_replica_is_not_read_for_want_of_others_and_may_lead(told: Told) -> None:
    told.judge.drain(frozenset({FIRST.name, SECOND.name}))
    assert told.judge.topology.readers == ()
    topology = told.hear(silent(LEADER), silent(LEADER), promoted(FIRST), promoted(FIRST))
    assert topology.leader == FIRST and topology.leader_up and topology.settled


NEW = Server(3, "10.0.0.9", 6379)


def change(told: Told, *servers: Server, limits: Limits | None = None) -> Topology:
    told.judge.change(servers, limits or Limits(), 1.5)
    return told.judge.topology


def test_who_is_named_no_more_is_gone_and_who_is_new_has_to_prove_well(told: Told) -> None:
    topology = change(told, LEADER, FIRST, NEW)
    assert (topology.leader, topology.replicas, topology.readers) == (LEADER, (FIRST, NEW), (FIRST,))
    assert topology.settled and topology.leader_up
    assert told.hear(well(NEW), well(NEW)).readers == (FIRST, NEW)


def test_the_log_says_again_only_of_a_replica_that_was_read_before(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rproxy.topology")
    change(told, LEADER, FIRST, NEW)
    told.hear(silent(NEW), silent(NEW), well(NEW), well(NEW), silent(NEW), silent(NEW), *[well(NEW)] * 3)
    assert [message for message in caplog.messages if "is read" in message] == [
        f"replica {NEW.name} is read",
        f"replica {NEW.name} is read again",
    ]


def test_the_same_server_with_another_password_stays_what_it_was(told: Told) -> None:
    leader, first = replace(LEADER, password="p"), replace(FIRST, weight=3)
    topology = change(told, leader, first, SECOND)
    assert (topology.leader, topology.readers) == (leader, (first, SECOND)) and topology.settled and topology.leader_up


def test_where_the_leader_is_named_no_more_who_leads_is_found_anew(told: Told) -> None:
    assert not change(told, FIRST, SECOND).settled
    follows = well(SECOND, replication_id=TWO)
    assert not told.hear(follows).settled
    topology = told.hear(promoted(FIRST), promoted(FIRST), follows, follows)
    assert topology.settled and (topology.leader, topology.readers) == (FIRST, (SECOND,))


def test_with_static_discovery_the_first_of_the_new_ones_leads() -> None:
    told = Told("static")
    told.hear(*map(well, servers))
    topology = change(told, SECOND, FIRST)
    assert topology.settled and topology.leader == SECOND and topology.replicas == (FIRST,)


def test_new_limits_count_at_once(told: Told) -> None:
    told.hear(well(LEADER, offset=10_000), well(LEADER, offset=20_000))
    assert told.hear(well(FIRST), well(SECOND, offset=20_000)).readers == (FIRST, SECOND)
    assert change(told, *servers, limits=Limits(lag_bytes=5_000)).readers == (SECOND,)


def test_a_word_for_each_reason_is_told_to_administrators() -> None:
    told = {reason.value for reason in Reason} - {Reason.NONE.value, Reason.UNRELATED.value}
    assert set(EJECTED_FOR) == told | {"failed", "unproven"}
