"""How late the event loop turns: the longest delay is told for a while, whoever asks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time

import pytest
import uvloop

from rproxy.dataplane.plane import Plane
from rproxy.dataplane.tallies import FILES, LOOP_LAG, Tallies, size
from rproxy.service import turning
from rproxy.service.turning import Turning
from tests.dataplane.kit import World

STALL = 0.4


@pytest.fixture
def plane() -> Plane:
    return World().plane


async def longest(plane: Plane, stall: float) -> float:
    """Seconds by which the loop was late that stood still for so long, as soon as anything is told."""
    looks = Turning(plane)
    looks.start()
    await asyncio.sleep(0)
    time.sleep(stall)
    while not plane.tallies.most(LOOP_LAG):
        await asyncio.sleep(0.01)
    looks.stop()
    return plane.tallies.most(LOOP_LAG) / 1e6


def test_while_clients_are_served_a_loop_that_stands_still_is_late_by_what_is_left_of_that(plane: Plane) -> None:
    plane.traffic.from_clients += 1
    assert asyncio.run(longest(plane, STALL)) >= STALL - turning.OFTEN


def test_while_nobody_is_served_there_is_a_look_every_second(plane: Plane) -> None:
    assert asyncio.run(longest(plane, turning.SELDOM + STALL)) >= STALL


def test_even_a_delay_of_less_than_a_millisecond_is_told(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of uvloop, whose own clock has whole milliseconds."""
    monkeypatch.setattr(turning, "SELDOM", 0.002)
    told: list[int] = []

    async def scenario() -> None:
        looks = Turning(plane)
        for _ in range(50):
            plane.tallies.put(LOOP_LAG, 0)
            looks._delays.clear()
            looks._delays.append(0.0)
            looks.start()
            await asyncio.sleep(0.004)
            looks.stop()
            told.append(plane.tallies.most(LOOP_LAG))

    uvloop.run(scenario())
    assert min(told) > 0


def test_it_looks_often_as_long_as_something_comes_and_then_seldom_again(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turning, "OFTEN", 0.001)
    monkeypatch.setattr(turning, "SELDOM", 3600.0)

    async def scenario() -> None:
        looks = Turning(plane)
        loop = asyncio.get_running_loop()
        plane.traffic.from_servers += 1
        looks.start()
        assert looks._due < loop.time() + 1
        while looks._due < loop.time() + 1:
            await asyncio.sleep(0.001)
        looks.stop()

    asyncio.run(scenario())


def test_what_was_long_ago_is_forgotten(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turning, "SELDOM", 0.001)
    monkeypatch.setattr(turning, "_PART", 0.002)
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
