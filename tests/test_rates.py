"""Rates and percentiles say what happened between two statuses, in Python and on the page alike."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rproxy.rates import Percentiles, latency, per_second, percentile

BOUNDS = [0.1, 1.0, 10.0]


def histogram(**series: list[int]) -> dict[str, Any]:
    """By kind, all of one server."""
    return {
        "bounds_ms": BOUNDS,
        "series": [{"kind": kind, "server": "a:1", "counts": counts} for kind, counts in series.items()],
    }


def test_a_rate_is_counted_by_the_span_between() -> None:
    assert per_second({"read": 10}, {"read": 30, "write": 4}, 2.0) == {"read": 10.0, "write": 2.0}


def test_a_counter_that_began_anew_has_no_rate_below_0() -> None:
    assert per_second({"read": 100}, {"read": 3}, 1.0) == {"read": 0.0}
    assert per_second({"read": 1}, {"read": 3}, 0.0) == {"read": 0.0}


def test_percentiles_are_of_what_came_in_between() -> None:
    before, after = histogram(read=[1000, 0, 0, 0]), histogram(read=[1000, 100, 0, 0], write=[0, 0, 50, 0])
    assert latency(before, after, "read") == pytest.approx((0.55, 0.955, 0.991))
    spent = latency(before, after)
    assert spent is not None and spent.p50 == pytest.approx(0.775) and spent.p99 == pytest.approx(9.73)
    assert latency(before, after, server="b:2") == Percentiles(None, None, None)
    assert latency(None, None) is None


@pytest.mark.parametrize(
    ("counts", "share", "value"), [([0, 0, 0, 7], 0.5, 10.0), ([10, 0, 0, 0], 0.5, 0.05), ([0, 0, 0, 0], 0.5, None)]
)
def test_a_percentile_lies_in_its_bucket(counts: list[int], share: float, value: float | None) -> None:
    assert percentile(BOUNDS, counts, share) == value


def test_percentiles_rise() -> None:
    dice = random.Random(3)
    for _ in range(200):
        counts = [dice.randrange(5) for _ in range(4)]
        found = [percentile(BOUNDS, counts, share / 100) for share in range(1, 101)]
        assert not sum(counts) or found == sorted(value for value in found if value is not None)
