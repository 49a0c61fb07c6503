"""When each server is probed: one after the other, also after all were asked at once."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.controlplane.monitor import until_turn
from rproxy.controlplane.probe import Health, Prober
from rproxy.embedded import EmbeddedServer
from tests.controlplane.watching import Watched, watch

INTERVAL = 0.6
PLACES = (1 / 3, 2 / 3, 1.0)


def phase(moment: float) -> float:
    """Where in the interval a moment is, 0 to 1."""
    return (moment / INTERVAL) % 1


def apart(one: float, other: float) -> float:
    """The way from one phase to another, the shorter way round."""
    return min((one - other) % 1, (other - one) % 1)


@given(st.floats(0, 1e6), st.sampled_from(PLACES))
def test_the_next_turn_is_at_its_place_within_an_interval(now: float, place: float) -> None:
    pause = until_turn(now, INTERVAL, place)
    assert 0 < pause <= INTERVAL
    assert apart(phase(now + pause), place) < 1e-6


def test_servers_are_probed_one_after_the_other_also_after_all_were_asked_at_once(
    cluster_of_three: list[EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[int, float] = {}
    probe = Prober.probe

    async def noted(prober: Prober) -> Health:
        asked[prober.server.index] = time.monotonic()
        return await probe(prober)

    monkeypatch.setattr(Prober, "probe", noted)

    def in_turn() -> bool:
        return len(asked) == 3 and all(apart(phase(asked[index]), place) < 0.12 for index, place in enumerate(PLACES))

    async def story(watched: Watched) -> None:
        await watched.probed()
        await watched.until(in_turn, "each has its turn")
        watched.monitor.suspect(watched.servers[1], "connection lost")
        await watched.until(lambda: not in_turn(), "all are asked at once")
        await watched.until(in_turn, "each has its turn again")

    watch(cluster_of_three, story, interval=INTERVAL)
