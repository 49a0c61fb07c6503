"""A leak shows as a slope."""

from __future__ import annotations

import pytest

from tests.chaos.soak import HEARING, SIMPLE, slope


def test_a_slope_is_the_growth_in_an_hour() -> None:
    assert slope([0, 1800, 3600], [10, 15, 20]) == pytest.approx(10)
    assert slope([0, 30, 60], [7, 7, 7]) == 0


def test_lives_are_told_apart_by_their_number() -> None:
    for life in (*SIMPLE.values(), *HEARING.values()):
        assert "{n}" not in str(life(5))
