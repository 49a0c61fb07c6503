"""The judge's rules of who serves what, without a loop. With real servers: test_monitor_live.py, test_failover_live.py."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from rproxy.controlplane.fitness import MOST_RUN_IDS, RUN_IDS_SPAN, Limits
from rproxy.controlplane.judge import FIRST_BACKOFF, HURRY, HURRY_SPAN, LATER, PROOF_DISTANCE, Judge
from rproxy.controlplane.probe import NEVER_SYNCED, Health
from rproxy.dataplane.topology import IDLE_CLOSED, Topology
from tests.controlplane.judging import FIRST, INTERVAL, LEADER, ONE, SECOND, TWO, Told, promoted, refusing, servers, silent, well


def test_before_the_first_probe_all_serve_and_nobody_knows_who_leads() -> None:
    topology = Told().judge.topology
    assert replace(topology, why=()) == Topology(LEADER, (FIRST, SECOND), (FIRST, SECOND), settled=False, asked=False)
    assert Told("static").judge.topology.settled


def test_how_many_clients_a_server_takes_is_known_and_not_forgotten_with_a_failed_probe(told: Told) -> None:
    topology = told.hear(
        replace(well(LEADER), maxclients=10000), Health(LEADER, error="gone"), replace(well(FIRST), maxclients=50)
    )
    assert topology.maxclients == ((0, 10000), (1, 50))


def test_well_servers_serve_and_their_offsets_are_known(told: Told) -> None:
    topology = told.hear(well(LEADER, offset=120), well(FIRST), well(SECOND, offset=110))
    assert topology.readers == (FIRST, SECOND) and topology.leader_up and topology.settled
    assert dict(topology.offsets) == {0: 120, 1: 100, 2: 110}
    assert topology.freshest_reader() is SECOND
    assert [told.why(server) for server in servers] == ["leads", "is read", "is read"]


def test_latencies_are_smoothed() -> None:
    told = Told()
    assert dict(told.hear(well(FIRST, latency=0.004)).latencies) == {1: 0.004}
    assert dict(told.hear(well(FIRST, latency=0.008)).latencies) == {1: 0.005}


def test_one_failed_probe_is_forgiven_and_two_are_not(told: Told) -> None:
    assert told.hear(silent(FIRST)).readers == (FIRST, SECOND)
    assert told.hear(silent(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_failures_only_count_in_a_row(told: Told) -> None:
    assert told.hear(silent(FIRST), well(FIRST), silent(FIRST)).readers == (FIRST, SECOND)


@pytest.mark.parametrize(
    "trouble", [{"role": "master"}, {"link_up": False}, {"syncing": True}, {"loading": True}, {"replication_id": TWO}]
)
def test_a_replica_that_says_that_it_is_unfit_is_out_until_it_says_otherwise_twice(
    told: Told, trouble: dict[str, object]
) -> None:
    assert told.hear(well(LEADER), well(FIRST, **trouble)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (SECOND,)
    assert told.why(FIRST) == "is not read: 1 of 2 probes have found it well since its trouble"
    assert told.hear(well(FIRST, **trouble), well(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_a_suspect_is_out_at_once_and_back_after_two_good_probes(told: Told) -> None:
    assert told.judge.suspect(FIRST, "connection lost")
    assert told.judge.topology.readers == (SECOND,) and told.why(FIRST) == "is not read: connection lost"
    assert told.hear(well(FIRST)).readers == (SECOND,)
    assert told.judge.pause(FIRST, INTERVAL) == PROOF_DISTANCE
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)
    assert told.judge.pause(FIRST, INTERVAL) == INTERVAL


def test_a_suspect_that_fails_owes_two_good_probes_again(told: Told) -> None:
    told.judge.suspect(FIRST, "connection lost")
    assert told.hear(well(FIRST), silent(FIRST), well(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_an_answer_to_an_older_question_proves_nothing(told: Told) -> None:
    before = told.judge.begin(FIRST)
    told.judge.suspect(FIRST, "connection lost")
    told.hear(well(FIRST))
    told.judge.observe(well(FIRST), before)
    assert told.judge.topology.readers == (SECOND,)


def test_a_suspicion_is_new_only_the_first_time(told: Told) -> None:
    assert told.judge.suspect(FIRST, "connection lost")
    assert not told.judge.suspect(FIRST, "connection lost")


def test_a_replica_that_has_closed_idle_connections_is_asked_and_read_on(told: Told) -> None:
    assert told.judge.suspect(FIRST, IDLE_CLOSED)
    assert not told.judge.suspect(FIRST, IDLE_CLOSED)
    assert told.judge.topology.readers == (FIRST, SECOND)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)
    assert told.judge.pause(FIRST, INTERVAL) == INTERVAL


def test_a_replica_that_has_closed_idle_connections_and_fails_a_probe_is_out_until_two_good_ones(told: Told) -> None:
    told.judge.suspect(FIRST, IDLE_CLOSED)
    assert told.hear(silent(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (SECOND,)
    assert told.hear(well(FIRST)).readers == (FIRST, SECOND)


def test_a_replica_that_loses_connections_under_way_after_idle_ones_is_out(told: Told) -> None:
    told.judge.suspect(FIRST, IDLE_CLOSED)
    assert told.judge.suspect(FIRST, "connection lost")
    assert told.judge.topology.readers == (SECOND,) and told.why(FIRST) == "is not read: connection lost"


def test_the_leader_is_up_after_a_suspicion_until_a_probe_fails(told: Told) -> None:
    assert told.judge.suspect(LEADER, "connection lost")
    assert told.judge.topology.leader_up and told.judge.hurried
    assert told.hear(well(LEADER)).leader_up
    assert not told.judge.hurried
    assert told.hear(silent(LEADER)).leader_up, "the suspicion is disproved, and this is one failed probe"


def test_the_leader_is_away_when_a_probe_fails_after_a_suspicion_and_back_after_one_good_probe(told: Told) -> None:
    told.judge.suspect(LEADER, "connection lost")
    told.hear(silent(LEADER))
    assert not told.judge.topology.leader_up and told.judge.topology.settled
    assert told.why(LEADER).startswith("leads, but is away: no answer")
    assert told.hear(well(LEADER)).leader_up


def test_the_leader_is_away_after_two_failed_probes_or_while_it_loads(told: Told) -> None:
    assert told.hear(silent(LEADER)).leader_up
    topology = told.hear(silent(LEADER))
    assert not topology.leader_up and not topology.settled, "a successor may show up any moment"
    topology = told.hear(well(LEADER, loading=True))
    assert not topology.leader_up and topology.settled
    assert told.hear(well(LEADER)).leader_up


def test_replicas_without_link_are_read_while_the_leader_is_away(told: Told) -> None:
    told.hear(well(LEADER), well(FIRST, link_up=False), well(SECOND, link_up=False, offset=NEVER_SYNCED))
    assert told.judge.topology.readers == ()
    assert told.hear(silent(LEADER), silent(LEADER)).readers == (FIRST,), "the second one never had any data"
    assert told.hear(well(LEADER)).readers == ()


def test_replicas_of_other_data_are_not_read_even_while_the_leader_is_away(told: Told) -> None:
    topology = told.hear(silent(LEADER), silent(LEADER), well(FIRST, replication_id=TWO, source="10.0.0.9:1"))
    assert topology.readers == (SECOND,)
    assert told.why(FIRST) == "is not read: its data is not that of 10.0.0.1:6379; it says that it replicates from 10.0.0.9:1"


def test_a_suspect_owes_two_good_probes_also_while_the_leader_is_away(told: Told) -> None:
    told.hear(silent(LEADER), silent(LEADER))
    told.judge.suspect(FIRST, "connection lost")
    assert told.hear(well(FIRST, link_up=False)).readers == (SECOND,)
    assert told.hear(well(FIRST, link_up=False)).readers == (FIRST, SECOND)


def test_a_replica_that_has_gone_with_another_leader_is_not_even_spared(told: Told) -> None:
    gone = {"replication_id": TWO, "former_id": ONE}
    topology = told.hear(well(LEADER), well(FIRST, **gone), well(SECOND, **gone))
    assert topology.readers == () and "its data is not that of" in told.why(FIRST)


def test_while_the_leader_is_away_a_replica_that_has_gone_with_the_next_one_is_read(told: Told) -> None:
    told.hear(*map(well, servers), silent(LEADER), silent(LEADER))
    assert told.hear(well(SECOND, replication_id=TWO, former_id=ONE)).readers == (FIRST, SECOND)


def test_a_lost_link_makes_the_leader_be_looked_at(told: Told) -> None:
    assert told.judge.observe(well(FIRST, link_up=False), told.judge.begin(FIRST))
    assert not told.judge.observe(well(FIRST, link_up=False), told.judge.begin(FIRST)), "that is known already"


def test_servers_that_refuse_to_tell_are_taken_as_well() -> None:
    told = Told()
    topology = told.hear(*map(refusing, servers), *map(refusing, servers))
    assert topology.readers == (FIRST, SECOND) and topology.leader_up and topology.settled and topology.offsets == ()


def test_a_busy_leader_is_up_and_a_busy_replica_is_not_read(told: Told) -> None:
    busy = "it refuses: BUSY Redis is busy running a script"
    topology = told.hear(*(Health(server, error=busy) for server in (LEADER, FIRST) * 2))
    assert topology.leader_up and topology.settled and topology.readers == (SECOND,)


def test_unfit_servers_are_probed_soon_and_then_ever_more_seldom(told: Told) -> None:
    pauses = []
    for _ in range(8):
        told.hear(silent(FIRST))
        pauses.append(told.judge.pause(FIRST, INTERVAL))
    assert pauses[:4] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF, 8 * FIRST_BACKOFF]
    assert pauses[-1] == INTERVAL


def test_while_the_leader_is_away_all_are_probed_often_and_after_a_minute_less_so(told: Told) -> None:
    assert not told.judge.hurried and told.judge.pause(SECOND, INTERVAL) == INTERVAL
    told.judge.suspect(LEADER, "connection lost")
    told.hear(silent(LEADER))
    assert told.judge.hurried and told.judge.pause(SECOND, INTERVAL) == HURRY
    told.now += HURRY_SPAN
    told.hear(silent(LEADER))
    assert told.judge.pause(SECOND, INTERVAL) == LATER
    told.hear(well(LEADER))
    assert not told.judge.hurried and told.judge.pause(SECOND, INTERVAL) == INTERVAL


def test_one_server_alone_serves_all() -> None:
    judge = Judge((LEADER,))
    judge.observe(well(LEADER), judge.begin(LEADER))
    assert judge.topology == Topology(LEADER, offsets=((0, 100),), why=((0, "leads"),))
    judge.suspect(LEADER, "connection lost")
    judge.observe(silent(LEADER), judge.begin(LEADER))
    assert not judge.topology.leader_up


def test_a_replica_too_far_behind_is_out() -> None:
    told = Told(limits=Limits(lag=0.5, lag_bytes=1000))
    told.hear(*map(well, servers))
    assert told.hear(well(LEADER, offset=2000), well(FIRST, offset=900), well(SECOND, offset=1500)).readers == (SECOND,)
    assert told.why(FIRST) == "is not read: it is 1100 bytes and 0.1 s behind"
    for _ in range(4):
        topology = told.hear(well(FIRST, offset=2000), well(SECOND, offset=1500))
    assert topology.readers == (FIRST,), "the second one lacks what the leader had half a second ago"
    assert told.why(SECOND) == "is not read: it is 500 bytes and 1.0 s behind"


def test_without_limits_no_lag_is_too_much() -> None:
    told = Told(limits=Limits(0, 0, 0))
    told.hear(*map(well, servers))
    assert told.hear(well(LEADER, offset=2**40), well(FIRST), well(SECOND)).readers == (FIRST, SECOND)


def test_an_unknown_lag_is_too_much() -> None:
    told = Told()
    topology = told.hear(*(well(server, replication_id="") for server in servers * 2))
    assert len(topology.readers) == 1, "one is always kept"
    assert "nobody can say how far it is behind" in told.why(FIRST)


def test_of_several_too_far_behind_the_furthest_is_read() -> None:
    told = Told(limits=Limits(lag=0, lag_bytes=1000))
    told.hear(*map(well, servers))
    assert told.hear(well(LEADER, offset=5000), well(FIRST, offset=200), well(SECOND, offset=300)).readers == (SECOND,)
    assert told.why(SECOND) == "is read: it is 4700 bytes and 0.2 s behind, but no other is nearer"
    assert told.hear(well(FIRST, offset=400)).readers == (FIRST,)
    told.judge.suspect(FIRST, "connection lost")
    assert told.judge.topology.readers == (SECOND,)
    assert told.hear(well(SECOND, loading=True)).readers == (), "what is out for another reason is not kept"


def test_the_one_that_is_spared_stays_while_offsets_of_different_moments_leapfrog() -> None:
    told = Told(limits=Limits(lag=0, lag_bytes=1000))
    told.hear(*map(well, servers))
    readers = []
    for step in range(1, 4):
        told.hear(well(LEADER, offset=5000 * step))
        readers.append(told.hear(well(FIRST, offset=3000 * step)).readers)
        readers.append(told.hear(well(SECOND, offset=3000 * step + 10)).readers)
    assert set(readers[2:]) == {(SECOND,)}


def test_a_clock_that_is_off_puts_a_replica_out(told: Told) -> None:
    told.hear(well(LEADER, clock=1000.0, clock_doubt=0.001))
    assert told.hear(well(FIRST, clock=1000.04), well(SECOND, clock=999.96)).readers == (FIRST, SECOND)
    assert told.hear(well(FIRST, clock=1000.06)).readers == (SECOND,)
    assert told.why(FIRST) == "is not read: its clock is 60 ms ahead of that of 10.0.0.1:6379"
    assert told.hear(well(SECOND, clock=999.94, clock_doubt=0.1)).readers == (SECOND,), "that may be the round trip"
    assert told.hear(well(SECOND, clock=999.9, clock_doubt=0.01)).readers == ()
    assert told.hear(well(SECOND, clock=999.9, clock_doubt=0.1), well(SECOND, clock=999.9, clock_doubt=0.1)).readers == ()
    assert told.hear(well(SECOND, clock=999.96), well(SECOND, clock=999.96)).readers == (SECOND,)


def test_a_server_that_does_not_tell_the_time_is_taken_as_well(told: Told) -> None:
    assert told.hear(well(LEADER, clock=1000.0), well(FIRST)).readers == (FIRST, SECOND)
    assert told.hear(well(LEADER), well(FIRST, clock=5.0)).readers == (FIRST, SECOND)


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


def test_a_failover_is_told_in_the_log(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rproxy.topology")
    told.hear(silent(LEADER), silent(LEADER), promoted(FIRST), well(SECOND, link_up=False))
    told.hear(*(well(server, replication_id=TWO, role="slave", link_up=True) for server in (SECOND, LEADER) * 2))
    assert caplog.messages == [
        "leader 10.0.0.1:6379 is not up: no answer: connection refused",
        "leader is now 10.0.0.1:6380: 10.0.0.1:6379 does not answer, and this one continues its data",
        "replica 10.0.0.1:6381 is not read: it does not follow 10.0.0.1:6380 yet",
        "replica 10.0.0.1:6381 is read again",
        "replica 10.0.0.1:6379 is read again",
    ]


def test_after_a_change_the_old_leader_is_read_like_any_other(told: Told) -> None:
    topology = told.hear(silent(LEADER), silent(LEADER), promoted(FIRST))
    assert (topology.leader, topology.replicas, topology.readers) == (FIRST, (LEADER, SECOND), ())
    assert topology.leader_up and topology.settled
    follower = {"role": "slave", "link_up": True, "replication_id": TWO}
    assert told.hear(well(LEADER, **follower)).readers == ()
    assert told.hear(well(LEADER, **follower)).readers == (LEADER,)
    assert told.hear(*(well(SECOND, **follower) for _ in range(2))).readers == (LEADER, SECOND)


def test_a_doubted_leader_leads_again_by_a_probe_that_begins_after_the_doubt(told: Told) -> None:
    before = told.judge.begin(LEADER)
    assert told.judge.demoted(LEADER, "it answers READONLY")
    assert not told.judge.topology.settled and told.judge.topology.leader_up
    told.judge.observe(well(LEADER), before)
    assert not told.judge.topology.settled
    assert told.hear(well(LEADER)).settled


def test_a_stream_of_doubts_does_not_make_every_probe_too_old(told: Told) -> None:
    told.judge.demoted(LEADER, "it answers READONLY")
    told.judge.demoted(LEADER, "it answers READONLY")
    begun = told.judge.begin(LEADER)
    assert not any(told.judge.demoted(LEADER, "it answers READONLY") for _ in range(10))
    told.judge.observe(well(LEADER), begun)
    assert told.judge.topology.settled
    assert told.judge.demoted(LEADER, "it answers READONLY") and not told.judge.topology.settled


def test_doubts_about_others_are_none(told: Told) -> None:
    assert not told.judge.demoted(FIRST, "it answers READONLY")
    assert told.judge.topology.settled


def test_a_demoted_leader_is_told_in_the_log_and_leaves_when_a_successor_shows_up(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    topology = told.hear(well(LEADER, role="slave", link_up=True))
    assert not topology.settled and topology.leader is LEADER
    assert told.why(LEADER) == "leads or not: 10.0.0.1:6379 is a replica now, and no successor is seen"
    topology = told.hear(promoted(FIRST))
    assert topology.settled and topology.leader is FIRST
    assert "nobody leads, and writes wait: 10.0.0.1:6379 is a replica now, and no successor is seen" in caplog.messages


def test_an_unrelated_leader_is_never_followed_and_never_read(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    topology = told.hear(well(FIRST, role="master", replication_id=TWO))
    assert topology.leader is LEADER and topology.settled and topology.readers == (SECOND,)
    assert told.why(FIRST) == "is not read: it says that it leads, and its data is not that of 10.0.0.1:6379"
    topology = told.hear(silent(LEADER), silent(LEADER), well(FIRST, role="master", replication_id=TWO))
    assert topology.leader is LEADER and not topology.settled and topology.readers == (SECOND,)


def test_lost_writes_are_an_error_in_the_log(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.proven = (ONE, 150)
    topology = told.hear(silent(LEADER), silent(LEADER), promoted(FIRST))
    assert topology.leader is LEADER and not topology.settled
    topology = told.hear(well(SECOND, replication_id=TWO))
    assert topology.leader is FIRST and topology.settled, "nobody who had the rest is left"
    assert "leader 10.0.0.1:6380 lacks 50 bytes that a replica had: acknowledged writes are lost" in caplog.messages


def test_static_roles_are_the_configured_ones(caplog: pytest.LogCaptureFixture) -> None:
    told = Told("static")
    for _ in range(3):
        topology = told.hear(well(LEADER, role="slave", link_up=True), promoted(FIRST), well(SECOND))
    assert topology.leader is LEADER and topology.settled and topology.readers == (FIRST, SECOND)
    assert not told.judge.hurried
    assert told.judge.demoted(LEADER, "it answers READONLY"), "a reason to probe"
    assert told.judge.topology.settled
    assert caplog.messages == [
        "leader 10.0.0.1:6379: the settings call it the leader, but it is a replica, and refuses writes",
        "replica 10.0.0.1:6380: it says that it leads: it does not replicate from 10.0.0.1:6379",
    ]
    assert told.why(FIRST) == "is read: it says that it leads: it does not replicate from 10.0.0.1:6379"


def test_static_replicas_of_somebody_else_are_read_whatever_their_link() -> None:
    told = Told("static")
    other = {"replication_id": TWO, "link_up": False, "source": "10.0.0.9:1", "clock": 5.0}
    topology = told.hear(well(LEADER, clock=1.0), *(well(FIRST, **other) for _ in range(2)))
    assert topology.readers == (FIRST, SECOND)
    assert told.why(FIRST) == "is read: its data is not that of 10.0.0.1:6379, but of 10.0.0.9:1"


def test_static_replicas_of_the_leader_are_judged_like_any(told: Told) -> None:
    told = Told("static", Limits(lag_bytes=1000))
    assert told.hear(well(LEADER), well(FIRST, link_up=False)).readers == (SECOND,)
    assert told.hear(well(LEADER, offset=5000), well(SECOND)).readers == (SECOND,), "the last one is spared"
    assert told.hear(well(FIRST, offset=5000), well(FIRST, offset=5000)).readers == (FIRST,)


def test_whatever_happens_a_server_that_is_not_related_never_leads() -> None:
    """Also after its probes were the only good ones."""
    told = Told()
    stranger = well(SECOND, role="master", replication_id=TWO)
    told.hear(well(LEADER), well(FIRST), stranger)
    for health in (silent(LEADER), silent(FIRST), stranger, silent(LEADER), silent(FIRST), stranger, stranger):
        assert told.hear(health).leader is LEADER
    assert told.hear(well(LEADER, replication_id="3" * 40)).leader is LEADER


def test_probes_that_this_side_could_not_make_tell_nothing_of_a_server(told: Told) -> None:
    before = told.judge.topology
    for server in servers:
        for _ in range(3):
            told.hear(Health(server, error="too many open files", answered=False, unasked=True))
    assert told.judge.topology == before


def test_it_tells_which_process_each_server_is_and_does_not_forget_it_with_a_failed_probe(told: Told) -> None:
    told.hear(replace(well(LEADER), run_id="a"), replace(well(FIRST), run_id="b"))
    assert told.hear(silent(FIRST), silent(FIRST)).processes == ((0, b"a"), (1, b"b"))
    assert dict(told.hear(replace(well(FIRST), run_id="c")).processes)[1] == b"c"


def test_a_server_that_is_the_same_process_as_the_leader_neither_leads_nor_is_read(told: Told) -> None:
    told.hear(replace(well(LEADER), run_id="a"), replace(well(SECOND), run_id="c"))
    topology = told.hear(replace(well(FIRST), role="master", link_up=False, run_id="a"))
    assert topology.settled and topology.leader is LEADER and topology.readers == (SECOND,)
    assert told.why(FIRST) == f"is not read: it is the same process as {LEADER.name}"
    assert dict(topology.reasons)[1] == "duplicate"


def test_of_two_replicas_that_are_one_process_the_first_is_read(told: Told) -> None:
    topology = told.hear(replace(well(LEADER), run_id="a"), replace(well(FIRST), run_id="b"), replace(well(SECOND), run_id="b"))
    assert topology.readers == (FIRST,)


def test_a_server_is_itself_again_when_its_name_leads_to_another_process(told: Told) -> None:
    told.hear(replace(well(LEADER), run_id="a"), replace(well(FIRST), run_id="a", role="master"))
    for _ in range(2):
        topology = told.hear(replace(well(FIRST), run_id="b"))
    assert topology.readers == (FIRST, SECOND)


def test_with_static_discovery_the_settings_say_what_is_read() -> None:
    told = Told("static")
    topology = told.hear(replace(well(LEADER), run_id="a"), replace(well(FIRST), run_id="a"), replace(well(SECOND), run_id="c"))
    assert topology.readers == (FIRST, SECOND)


def test_a_server_with_another_role_than_it_is_used_for_is_misplaced(told: Told) -> None:
    told.hear(well(LEADER), well(FIRST), replace(well(SECOND), role="master", link_up=False, replication_id=TWO))
    assert [told.judge.has_wrong_role(server) for server in servers] == [False, False, True]
    told.hear(replace(well(LEADER), role="slave"))
    assert told.judge.has_wrong_role(LEADER)
    told.hear(refusing(SECOND))
    assert not told.judge.has_wrong_role(SECOND)


def test_a_replica_that_tells_only_that_it_leads_is_not_read(told: Told) -> None:
    only_role = Health(FIRST, error="it refuses: NOPERM", refused=True, role="master")
    assert told.hear(well(LEADER), only_role, well(SECOND)).readers == (SECOND,)
    assert "it says that it leads" in told.why(FIRST)


def test_nodes_of_a_cluster_are_told_and_not_read(told: Told) -> None:
    topology = told.hear(*(replace(well(server), clustered=True) for server in (LEADER, FIRST)), well(SECOND))
    assert topology.readers == (SECOND,) and topology.settled
    assert told.why(LEADER).startswith("leads: it is a node of a Redis Cluster")
    assert told.why(FIRST).startswith("is not read: it is a node of a Redis Cluster")


def test_a_server_that_shows_another_process_again_and_again_is_none_that_is_known(told: Told) -> None:
    for number in range(MOST_RUN_IDS + 1):
        topology = told.hear(replace(well(FIRST), run_id=f"run{number}"))
    assert topology.processes == ((1, b""),)
    assert told.hear(replace(well(FIRST), run_id="run0")).processes == ((1, b""),)


def test_a_server_that_is_restarted_now_and_then_is_known(told: Told) -> None:
    for number in range(MOST_RUN_IDS + 1):
        told.hear(*(replace(well(FIRST), run_id=f"run{number}") for _ in range(int(RUN_IDS_SPAN / (MOST_RUN_IDS - 1) / 0.1) + 2)))
    assert told.judge.topology.processes == ((1, f"run{MOST_RUN_IDS}".encode()),)
