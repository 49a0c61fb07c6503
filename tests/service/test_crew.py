"""Worker processes: started, replaced, ended, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

from rproxy.dataplane import tallies
from rproxy.dataplane.policies import OPEN
from rproxy.dataplane.topology import Server, Topology
from rproxy.service.channel import Begin, Follow, Message, Ready
from rproxy.service.crew import Crew, Member
from rproxy.settings import Settings

SERVER = Server(0, "127.0.0.1", 1)


class Hiring:
    """A crew of two that accepts nobody, and what it has told."""

    def __init__(self) -> None:
        self.memory = os.memfd_create("test")
        os.ftruncate(self.memory, tallies.size(2))
        self.ready: list[int] = []
        self.dead: list[int] = []
        self.failed = False
        self.crew = Crew(2, lambda: [self.memory], self.begin, self.heard, self.dead.append, self.fail)

    def begin(self, number: int) -> Begin:
        settings = Settings(servers=(SERVER,), workers=2)
        return Begin(settings, number, 2, (), self.memory, time.monotonic(), Follow(Topology(SERVER)))

    def heard(self, member: Member, message: Message) -> None:
        if isinstance(message, Ready):
            self.ready.append(member.number)

    def fail(self) -> None:
        self.failed = True

    def processes(self) -> dict[int, int]:
        return {member.number: member.process.pid for member in self.crew}

    async def replaced(self, number: int, process: int) -> None:
        while self.processes().get(number, process) == process or self.ready.count(number) < 2:
            await asyncio.sleep(0.01)


def play(scenario: Callable[[Hiring], Awaitable[None]]) -> None:
    async def run() -> None:
        hiring = Hiring()
        await scenario(hiring)
        await hiring.crew.end(5.0, asyncio.Event())
        assert hiring.processes() == {}
        os.close(hiring.memory)

    asyncio.run(run())


def test_it_has_started_when_all_are_ready() -> None:
    async def scenario(hiring: Hiring) -> None:
        await hiring.crew.start()
        assert sorted(hiring.ready) == [0, 1] and not hiring.failed

    play(scenario)


def test_one_that_dies_is_told_of_and_replaced() -> None:
    async def scenario(hiring: Hiring) -> None:
        await hiring.crew.start()
        process = hiring.processes()[1]
        os.kill(process, signal.SIGKILL)
        await hiring.replaced(1, process)
        assert hiring.dead == [1] and not hiring.failed

    play(scenario)


def test_one_that_dies_before_it_is_ready_is_replaced_where_another_was() -> None:
    async def scenario(hiring: Hiring) -> None:
        starting = asyncio.create_task(hiring.crew.start())
        while not hiring.ready:
            await asyncio.sleep(0.001)
        [first, *_] = hiring.ready
        other = 1 - first
        while other not in hiring.processes():
            await asyncio.sleep(0.001)
        for _ in range(2):  # the second time it has just been started
            before = len(hiring.dead)
            os.kill(hiring.processes()[other], signal.SIGKILL)
            while len(hiring.dead) == before or other not in hiring.processes():
                await asyncio.sleep(0.001)
        await starting
        assert not hiring.failed
        assert hiring.ready.count(other) >= 1

    play(scenario)


def test_one_that_cannot_begin_is_a_failure_and_not_tried_for_ever() -> None:
    async def scenario(hiring: Hiring) -> None:
        settings = Settings(servers=(SERVER,), workers=2)
        hiring.crew._begin = lambda number: Begin(
            settings, number, 2, ((999, "", OPEN, ""),), hiring.memory, 0.0, Follow(Topology(SERVER))
        )
        await hiring.crew.start()
        assert hiring.failed

    play(scenario)


def test_one_that_does_not_end_in_time_is_killed() -> None:
    async def scenario(hiring: Hiring) -> None:
        await hiring.crew.start()
        os.kill(hiring.processes()[0], signal.SIGSTOP)
        hurry = asyncio.Event()
        hurry.set()
        await hiring.crew.end(60.0, hurry)
        assert hiring.processes() == {}

    play(scenario)
