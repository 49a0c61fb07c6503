"""How late the event loop turns: the longest delay is told for a while, whoever asks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time

import pytest

from rproxy.dataplane.plane import Plane
from rproxy.dataplane.tallies import FILES, LOOP_LAG, Tallies, size
from rproxy.service import turning
from rproxy.service.turning import Turning
from tests.dataplane.kit import World

STALL = 0.4


@pytest.fixture
def plane() -> Plane:
    return World().plane


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again and again, and keep what was found for a moment."""
    monkeypatch.setattr(turning, "PERIOD", 0.001)
    monkeypatch.setattr(turning, "_PART", 2)


def test_a_loop_that_stands_still_is_late_by_what_is_left_of_that(monkeypatch: pytest.MonkeyPatch, plane: Plane) -> None:
    monkeypatch.setattr(turning, "PERIOD", 0.1)

    async def scenario() -> None:
        looks = Turning(plane)
        looks.start()
        await asyncio.sleep(0)
        time.sleep(STALL)
        while not plane.tallies.most(LOOP_LAG):
            await asyncio.sleep(0.01)
        looks.stop()

    asyncio.run(scenario())
    assert plane.tallies.most(LOOP_LAG) >= (STALL - turning.PERIOD) * 1e6


@pytest.mark.usefixtures("often")
def test_a_tick_of_the_data_plane_that_was_late_counts_once(plane: Plane) -> None:
    async def scenario() -> None:
        looks = Turning(plane)
        plane.lateness = 5.0
        looks.start()
        while plane.tallies.most(LOOP_LAG) < 5e6:
            await asyncio.sleep(0.001)
        while plane.tallies.most(LOOP_LAG) >= 5e6:
            await asyncio.sleep(0.001)
        looks.stop()

    asyncio.run(scenario())


@pytest.mark.usefixtures("often")
def test_what_was_long_ago_is_forgotten(plane: Plane) -> None:
    tallies = plane.tallies

    async def scenario() -> None:
        looks = Turning(plane)
        looks.start()
        await asyncio.sleep(0)
        time.sleep(STALL)
        while tallies.most(LOOP_LAG) < STALL / 2 * 1e6:
            await asyncio.sleep(0.001)
        while tallies.most(LOOP_LAG) >= STALL / 2 * 1e6:
            await asyncio.sleep(0.001)
        looks.stop()

    asyncio.run(scenario())


def test_the_worst_of_all_workers_is_told() -> None:
    memory = bytearray(size(2))
    tallies = [Tallies(memory, worker, 2) for worker in range(2)]
    for each, delay in zip(tallies, (7, 9), strict=True):
        each.put(LOOP_LAG, delay)
    assert {each.most(LOOP_LAG) for each in tallies} == {9}


def test_open_files_are_counted(plane: Plane) -> None:
    async def counted() -> int:
        looks = Turning(plane)
        looks.start()
        looks.stop()
        return plane.tallies.most(FILES)

    gc.collect()  # or what earlier tests have left might be closed between the two counts
    before = asyncio.run(counted())
    with contextlib.ExitStack() as files:
        for _ in range(100):
            files.enter_context(open(os.devnull))
        # By how many more they become: what is listed in /proc lacks those for which threads of earlier tests wait in accept(2).
        assert abs(asyncio.run(counted()) - before - 100) < 10
