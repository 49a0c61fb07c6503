"""How far a replica is behind, and how far its clock is off: from probes alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.controlplane.lag import MOST_MOMENTS, Lag, Trail, clock_skew, is_skewed
from rproxy.controlplane.probe import Health
from rproxy.dataplane.topology import Server

LEADER, REPLICA = Server(0, "a", 1), Server(1, "b", 1)


def told(server: Server, at: float, offset: int, replication_id: str = "one") -> Health:
    return Health(server, offset=offset, replication_id=replication_id, asked=at, heard=at)


def trail(*moments: tuple[float, int]) -> Trail:
    made = Trail()
    for at, offset in moments:
        made.note(told(LEADER, at, offset))
    return made


@pytest.mark.parametrize(
    ("offset", "at", "lag"),
    [
        (300, 3.5, Lag(0, 0.0)),
        (299, 3.5, Lag(1, 0.5)),
        (200, 3.5, Lag(100, 0.5)),
        (199, 3.5, Lag(101, 1.5)),
        (0, 3.5, Lag(300, 2.5)),
        (100, 2.9, Lag(100, 0.9)),
        (100, 1.5, Lag(0, 0.0)),
        (400, 3.5, Lag(0, 0.0)),
    ],
)
def test_a_replica_is_behind_since_the_leader_was_first_seen_further(offset: int, at: float, lag: Lag) -> None:
    found = trail((1.0, 100), (2.0, 200), (3.0, 300)).lag(told(REPLICA, at, offset))
    assert found is not None and found == pytest.approx(lag)


def test_after_idleness_a_write_on_its_way_is_no_lag_of_the_idle_time() -> None:
    found = trail((1.0, 100), (2.0, 100), (3.0, 100), (4.0, 150)).lag(told(REPLICA, 4.01, 100))
    assert found is not None and found == pytest.approx(Lag(50, 0.01))


def test_what_the_leader_reached_after_the_replica_was_asked_does_not_count() -> None:
    assert trail((1.0, 100), (2.0, 200)).lag(told(REPLICA, 1.9, 100)) == Lag(0, 0.0)


def test_another_stream_is_not_compared() -> None:
    assert Trail().lag(told(REPLICA, 1.0, 100)) is None
    assert trail((1.0, 100)).lag(told(REPLICA, 2.0, 100, "two")) is None
    assert trail((1.0, 100)).lag(told(REPLICA, 2.0, 100, "")) is None


def test_a_leader_with_another_stream_begins_a_new_trail() -> None:
    made = trail((1.0, 100), (2.0, 200))
    made.note(told(LEADER, 3.0, 10, "two"))
    assert made.lag(told(REPLICA, 3.0, 100)) is None
    assert made.lag(told(REPLICA, 3.0, 10, "two")) == Lag(0, 0.0)


def test_a_leader_that_goes_back_begins_a_new_trail() -> None:
    assert trail((1.0, 200), (2.0, 100)).lag(told(REPLICA, 3.0, 100)) == Lag(0, 0.0)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=2000), st.integers(0, 100_000))
def test_a_long_trail_keeps_its_ends_and_never_makes_a_lag_longer(steps: list[int], offset: int) -> None:
    made = Trail()
    reached = 0
    moments = []
    for at, step in enumerate(steps):
        reached += step
        moments.append((float(at), reached))
        made.note(told(LEADER, float(at), reached))
    now = float(len(steps))
    lag = made.lag(told(REPLICA, now, offset))
    ahead = [at for at, seen in moments if seen > offset]
    assert lag is not None and lag.bytes == max(0, reached - offset)
    assert lag.seconds <= (now - ahead[0] if ahead else 0.0)
    if len(steps) <= MOST_MOMENTS:
        assert lag.seconds == (now - ahead[0] if ahead else 0.0)


@pytest.mark.parametrize(
    ("skew", "before", "skewed"),
    [
        (None, True, False),
        ((0.04, 0.0), False, False),
        ((0.06, 0.0), False, True),
        ((-0.06, 0.0), False, True),
        ((0.06, 0.02), False, False),
        ((0.06, 0.02), True, True),
        ((-0.04, 0.02), True, False),
    ],
)
def test_a_clock_is_off_only_beyond_doubt(skew: tuple[float, float] | None, before: bool, skewed: bool) -> None:
    assert is_skewed(skew, 0.05, before) is skewed
    assert not is_skewed(skew, 0.0, before), "no limit"


def test_the_skew_is_in_doubt_by_both_round_trips() -> None:
    leader = Health(LEADER, clock=1000.0, clock_doubt=0.002)
    assert clock_skew(Health(REPLICA, clock=1000.5, clock_doubt=0.001), leader) == (0.5, 0.003)
    assert clock_skew(Health(REPLICA), leader) is None and clock_skew(leader, Health(LEADER)) is None
