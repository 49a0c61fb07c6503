"""How late the event loop turns: the longest delay is told for a while, whoever asks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time

import pytest

from rproxy.dataplane.tallies import FILES, LOOP_LAG, Tallies, size
from rproxy.service import turning
from rproxy.service.turning import Turning

STALL = 0.4


def test_a_loop_that_stands_still_is_late_by_what_is_left_of_that() -> None:
    tallies = Tallies()

    async def scenario() -> None:
        looks = Turning(tallies)
        looks.start()
        await asyncio.sleep(0)
        time.sleep(STALL)
        while not tallies.most(LOOP_LAG):
            await asyncio.sleep(0.01)
        looks.stop()

    asyncio.run(scenario())
    assert tallies.most(LOOP_LAG) >= (STALL - turning.PERIOD) * 1e6


def test_what_was_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turning, "PERIOD", 0.001)
    monkeypatch.setattr(turning, "_PART", 2)
    tallies = Tallies()

    async def scenario() -> None:
        looks = Turning(tallies)
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


def test_open_files_are_counted() -> None:
    async def counted() -> int:
        tallies = Tallies()
        looks = Turning(tallies)
        looks.start()
        looks.stop()
        return tallies.most(FILES)

    gc.collect()  # or what earlier tests have left might be closed between the two counts
    before = asyncio.run(counted())
    with contextlib.ExitStack() as files:
        for _ in range(100):
            files.enter_context(open(os.devnull))
        # By how many more they become: what is listed in /proc lacks those for which threads of earlier tests wait in accept(2).
        assert abs(asyncio.run(counted()) - before - 100) < 10
