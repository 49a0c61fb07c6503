"""The monitor's rules of who serves what, without a loop. With real servers: test_monitor_live.py."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from rproxy.controlplane.monitor import FIRST_BACKOFF, PROOF_DISTANCE, Judge
from rproxy.controlplane.probe import NEVER_SYNCED, Health
from rproxy.dataplane.topology import Server, Topology

LEADER, FIRST, SECOND = servers = tuple(Server(index, "10.0.0.1", 6379 + index) for index in range(3))
INTERVAL = 1.0


def well(server: Server, **more: object) -> Health:
    role = "master" if server is LEADER else "slave"
    return replace(Health(server, role=role, link_up=role == "slave", offset=100), **more)  # type: ignore[arg-type]


def silent(server: Server) -> Health:
    return Health(server, error="connection refused", answered=False)


def refusing(server: Server) -> Health:
    return Health(server, error="it refuses: NOAUTH", refused=True)


class Told:
    """A judge that is told one thing after the other."""

    def __init__(self) -> None:
        self.judge = Judge(servers)

    def hear(self, *healths: Health) -> Topology:
        for health in healths:
            self.judge.observe(health, self.judge.suspicions(health.server))
        return self.judge.topology


@pytest.fixture
def told() -> Told:
    return Told()


def test_before_the_first_probe_all_serve(told: Told) -> None:
    assert told.judge.topology == Topology(LEADER, (FIRST, SECOND), (FIRST, SECOND))


def test_well_servers_serve_and_their_offsets_are_known(told: Told) -> None:
    topology = told.hear(well(LEADER, offset=120), well(FIRST), well(SECOND, offset=110))
    assert topology.readers == (FIRST, SECOND) and topology.leader_up
    assert dict(topology.offsets) == {0: 120, 1: 100, 2: 110}
    assert topology.freshest_reader() is SECOND


def test_one_failed_probe_is_forgiven_and_two_are_not(told: Told) -> None:
    assert told.hear(silent(FIRST)).readers == (FIRST, SECOND)
    assert told.hear(silent(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_failures_only_count_in_a_row(told: Told) -> None:
    assert told.hear(silent(FIRST), well(FIRST), silent(FIRST)).readers == (FIRST, SECOND)


@pytest.mark.parametrize("trouble", [{"role": "master"}, {"link_up": False}, {"syncing": True}, {"loading": True}])
def test_a_replica_that_says_that_it_is_unfit_is_out_until_it_says_otherwise(told: Told, trouble: dict[str, object]) -> None:
    assert told.hear(well(LEADER), well(FIRST, **trouble)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_a_suspect_is_out_at_once_and_back_after_two_good_probes(told: Told) -> None:
    assert told.judge.suspect(FIRST, "connection lost")
    assert told.judge.topology.readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (SECOND,)
    assert told.judge.pause(FIRST, INTERVAL) == PROOF_DISTANCE
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)
    assert told.judge.pause(FIRST, INTERVAL) == INTERVAL


def test_a_suspect_that_fails_owes_two_good_probes_again(told: Told) -> None:
    told.judge.suspect(FIRST, "connection lost")
    assert told.hear(well(FIRST), silent(FIRST), well(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_an_answer_to_an_older_question_proves_nothing(told: Told) -> None:
    before = told.judge.suspicions(FIRST)
    told.judge.suspect(FIRST, "connection lost")
    told.hear(well(FIRST))
    told.judge.observe(well(FIRST), before)
    assert told.judge.topology.readers == (SECOND,)


def test_a_suspect_is_probed_at_once_only_the_first_time(told: Told) -> None:
    assert told.judge.suspect(FIRST, "connection lost")
    assert not told.judge.suspect(FIRST, "connection lost")


def test_the_leader_is_away_after_a_suspicion_and_back_after_one_good_probe(told: Told) -> None:
    told.judge.suspect(LEADER, "connection lost")
    assert not told.judge.topology.leader_up
    assert told.hear(well(LEADER)).leader_up


def test_the_leader_is_away_after_two_failed_probes_or_while_it_loads(told: Told) -> None:
    assert told.hear(silent(LEADER)).leader_up
    assert not told.hear(silent(LEADER)).leader_up
    assert not told.hear(well(LEADER, loading=True)).leader_up
    assert told.hear(well(LEADER)).leader_up


def test_replicas_without_link_are_read_while_the_leader_is_away(told: Told) -> None:
    told.hear(well(LEADER), well(FIRST, link_up=False), well(SECOND, link_up=False, offset=NEVER_SYNCED))
    assert told.judge.topology.readers == ()
    assert told.hear(silent(LEADER), silent(LEADER)).readers == (FIRST,), "the second one never had any data"
    assert told.hear(well(LEADER)).readers == ()


def test_a_lost_link_makes_the_leader_be_looked_at(told: Told) -> None:
    told.hear(well(FIRST))
    assert told.judge.observe(well(FIRST, link_up=False), 0)
    assert not told.judge.observe(well(FIRST, link_up=False), 0), "that is known already"


def test_servers_that_refuse_to_tell_are_taken_as_well(told: Told) -> None:
    topology = told.hear(*map(refusing, servers), *map(refusing, servers))
    assert topology.readers == (FIRST, SECOND) and topology.leader_up and topology.offsets == ()


def test_a_busy_leader_is_up_and_a_busy_replica_is_not_read(told: Told) -> None:
    busy = "it refuses: BUSY Redis is busy running a script"
    topology = told.hear(*(Health(server, error=busy) for server in (LEADER, FIRST) * 2))
    assert topology.leader_up and topology.readers == (SECOND,)


def test_unfit_servers_are_probed_soon_and_then_ever_more_seldom(told: Told) -> None:
    pauses = []
    for _ in range(8):
        told.hear(silent(FIRST))
        pauses.append(told.judge.pause(FIRST, INTERVAL))
    assert pauses[:4] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF, 8 * FIRST_BACKOFF]
    assert pauses[-1] == INTERVAL


def test_one_server_alone_serves_all() -> None:
    judge = Judge((LEADER,))
    assert judge.topology == Topology(LEADER)
    judge.suspect(LEADER, "connection lost")
    assert judge.topology == Topology(LEADER, leader_up=False)


def test_the_log_has_one_line_per_change(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rproxy.topology")
    for _ in range(3):
        told.hear(well(LEADER), well(FIRST))
    assert caplog.messages == []
    for _ in range(5):
        told.hear(silent(FIRST))
    for _ in range(3):
        told.hear(well(FIRST))
    assert caplog.messages == [
        "replica 10.0.0.1:6380 is not read: no answer: connection refused",
        "replica 10.0.0.1:6380 is read again",
    ]


def test_wrong_roles_are_warned_about_once(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        told.hear(well(LEADER, role="slave"), well(FIRST, role="master"))
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "10.0.0.1:6379: the settings call it the leader, but it is a replica" in caplog.messages[0]
    assert "10.0.0.1:6380 is not read: the settings call it a replica of 10.0.0.1:6379" in caplog.messages[1]
