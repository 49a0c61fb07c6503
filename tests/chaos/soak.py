"""`python -m tests.chaos.soak`: hours of mixed traffic, short lives of every kind and cut connections, with memory and descriptors watched.

A line every half minute; at the end the slopes of the second half, and what the checks of the history say. A leak shows as a slope, a hang as a finding.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import os
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import hiredis

from tests.chaos.checker import check
from tests.chaos.clients import Load
from tests.chaos.connection import Connection, Words
from tests.chaos.history import now
from tests.chaos.rig import Rig

USERS = 40
LIVES_PER_SECOND = 25
SAMPLE_SECONDS = 30.0
UPSET_SECONDS = 20.0
IDLE_SECONDS = 6.0
PACE = 0.25
MEMORY_PER_HOUR = 16 * 2**20
"""Bytes by which memory may grow in an hour, judged only after at least `JUDGED_MINUTES`: allocators settle."""
DESCRIPTORS_PER_HOUR = 30.0
JUDGED_MINUTES = 15.0
GARBAGE = (
    b"*9999999999\r\n",
    b"\x16\x03\x01\x00" * 10,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b'"unbalanced\r\n',
    b"*1\r\n$-5\r\n",
)
Life = Callable[[Connection, int], Awaitable[None]]


def told(*commands: Words) -> Callable[[int], list[Words]]:
    """A life that sends these commands, `{n}` being its number."""
    return lambda number: [[str(word).replace("{n}", str(number)) for word in command] for command in commands]


SIMPLE = {
    "select": told(("SELECT", "3"), ("SET", "sel:{n}", "1", "EX", 60), ("GET", "sel:{n}"), ("SELECT", "9"), ("GET", "k")),
    "transaction that is left": told(("MULTI",), ("SET", "left", "{n}"), ("INCR", "count")),
    "watch that is left": told(("WATCH", "w{n}", "v{n}")),
    "scripts": told(
        ("EVAL", "return '{n}'", 0), ("EVAL_RO", "return '{n}'", 0), ("SCRIPT", "LOAD", "return 'L{n}'"), ("EVALSHA", "0" * 40, 0)
    ),
    "iteration": told(("SCAN", 0, "COUNT", 100), ("HSCAN", "h", 0)),
    "unknown command": told(("NOSUCH{n}", "a", "b")),
    "hello": told(("HELLO", 3, "SETNAME", "name{n}"), ("GET", "k")),
    "quit": told(("SET", "q", "{n}"), ("QUIT",)),
    "wait": told(("SET", "wt", "{n}"), ("WAIT", 1, 100)),
    "failed login": told(("AUTH", "nobody{n}", "wrong{n}"), ("HELLO", 3, "AUTH", "u{n}", "p")),
    "pipeline": told(*[("SET", f"pl:{at}", "{n}") if at % 3 else ("GET", f"pl:{at}") for at in range(300)]),
}
HEARING = {
    "subscription": told(*[("SUBSCRIBE", f"ch{{n}}.{at}") for at in range(10)], ("PSUBSCRIBE", "p{n}*")),
    "tracking": told(("HELLO", 3), ("CLIENT", "TRACKING", "ON"), *[("GET", f"tr:{at}") for at in range(20)]),
    "monitor": told(("MONITOR",)),
    "no replies": told(("CLIENT", "REPLY", "OFF"), *[("SET", "ro", "{n}") for _ in range(50)]),
    "blocked": told(("BLPOP", "none{n}", 0)),
}
"""Those that hear more, or less, than one reply for each command, and then go without a word."""


async def login(connection: Connection, number: int) -> None:
    user = number % USERS
    commands: list[Words] = [
        ("AUTH", f"user{user}", f"pass{user}"),
        ("SET", f"au:{number % 500}", "x" * 50),
        ("SELECT", number % 16),
    ]
    await asyncio.gather(*connection.calls(commands))


async def large(connection: Connection, number: int) -> None:
    await connection.call("SET", f"large:{number % 5}", os.urandom(random.choice((30_000, 400_000, 2_000_000))))
    await connection.call("GET", f"large:{number % 5}")


async def large_and_gone(connection: Connection, number: int) -> None:
    connection.transport.write(b"*3\r\n$3\r\nSET\r\n$4\r\nleft\r\n$3000000\r\n" + b"x" * 700_000)
    await asyncio.sleep(0.05)


async def garbage(connection: Connection, number: int) -> None:
    connection.transport.write(random.choice(GARBAGE))
    await asyncio.sleep(0.05)


async def half_closed(connection: Connection, number: int) -> None:
    connection.transport.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\nabc")
    connection.transport.write_eof()
    await asyncio.sleep(0.02)


async def reset(connection: Connection, number: int) -> None:
    connection.forget("GET", "large:1")
    await connection.call("PING")
    connection.reset()


WRITTEN: dict[str, Life] = {
    "login": login,
    "large value": large,
    "large value in part": large_and_gone,
    "garbage": garbage,
    "half closed": half_closed,
    "reset": reset,
}


@dataclass
class Sample:
    """What a moment costs."""

    at: float
    memory: int
    descriptors: int
    leader_clients: int


class Soak:
    """A run of so many minutes."""

    def __init__(self, rig: Rig, minutes: float) -> None:
        self.rig = rig
        self.minutes = minutes
        self.lives: collections.Counter[str] = collections.Counter()
        self.ended = False
        self.tasks: set[asyncio.Task[None]] = set()
        self.samples: list[Sample] = []

    async def run(self) -> list[str]:
        """What is wrong."""
        load = Load(self.rig.port, PACE)
        load.start()
        others = [asyncio.create_task(work()) for work in (self._churn, self._upset)]
        begun = now()
        while now() - begun < self.minutes * 60:
            await asyncio.sleep(min(SAMPLE_SECONDS, self.minutes * 10))
            self.samples.append(await self._sample(now() - begun))
            print(self._line(self.samples[-1]), flush=True)
        self.ended = True
        for task in others:
            task.cancel()
        await load.end()
        await asyncio.sleep(IDLE_SECONDS)
        print(f"idle: {self._line(await self._sample(now() - begun))}")
        await asyncio.to_thread(check, load.history, self.rig.data())
        wrong = [f"{kind.name} {len(texts)}: {texts[0]}" for kind, texts in load.history.findings.items()]
        print(
            f"{load.history.operations} operations, {sum(self.lives.values())} lives; errors: {dict(load.history.errors.most_common(8))}"
        )
        return wrong + self._slopes()

    async def _churn(self) -> None:
        number = 0
        while True:
            number += 1
            task = asyncio.create_task(self._live(number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            await asyncio.sleep(1 / LIVES_PER_SECOND)

    async def _live(self, number: int) -> None:
        name = random.choice([*SIMPLE, *HEARING, *WRITTEN])
        self.lives[name] += 1
        with contextlib.suppress(OSError, TimeoutError, hiredis.HiredisError):
            connection = await Connection.open(self.rig.port)
            try:
                async with asyncio.timeout(5):
                    await self._lived(name, connection, number)
            finally:
                connection.close()

    async def _lived(self, name: str, connection: Connection, number: int) -> None:
        if name in WRITTEN:
            await WRITTEN[name](connection, number)
        elif name in SIMPLE:
            await asyncio.gather(*connection.calls(SIMPLE[name](number)))
        else:
            connection.push = lambda message: None
            for command in HEARING[name](number):
                connection.forget(*command)
            await asyncio.sleep(0.2)

    async def _upset(self) -> None:
        """Connections of servers are cut and a replica restarted, now and then."""
        for turn in range(10**9):
            await asyncio.sleep(UPSET_SECONDS)
            if turn % 3 == 0:
                await self.rig.on(random.randrange(3), "CLIENT", "KILL", "TYPE", "normal")
            elif turn % 3 == 1:
                await self.rig.kill(2)
                await self.rig.come_back(2)

    async def _sample(self, at: float) -> Sample:
        info = await self.rig.on(0, "INFO", "clients")
        clients = int(info.split(b"connected_clients:")[1].split(b"\r\n")[0]) if info else 0
        return Sample(at, self.rig.resident(), self.rig.descriptors(), clients)

    def _line(self, sample: Sample) -> str:
        memory = f"{sample.memory / 2**20:.1f} MB, {sample.descriptors} descriptors"
        return f"{sample.at:6.0f} s  {memory}, {sample.leader_clients} clients of the leader, {sum(self.lives.values())} lives"

    def _slopes(self) -> list[str]:
        half = self.samples[len(self.samples) // 2 :]
        if len(half) < 3:
            return []
        times = [sample.at for sample in half]
        memory = slope(times, [sample.memory for sample in half])
        descriptors = slope(times, [sample.descriptors for sample in half])
        print(f"the second half, per hour: {memory / 2**20:+.1f} MB, {descriptors:+.1f} descriptors")
        if self.minutes < JUDGED_MINUTES:
            return []
        wrong = [f"memory grows by {memory / 2**20:.1f} MB an hour"] if memory > MEMORY_PER_HOUR else []
        return wrong + ([f"descriptors grow by {descriptors:.1f} an hour"] if descriptors > DESCRIPTORS_PER_HOUR else [])


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """By how much the values grow in an hour, as a line through them has it; times are in seconds."""
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    above = sum((time - middle) * (value - mean) for time, value in zip(times, values, strict=True))
    return above / sum((time - middle) ** 2 for time in times) * 3600


def main(words: list[str] | None = None) -> int:
    """The exit code: 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--flag", action="append", default=[], help="a flag for rproxy")
    options = parser.parse_args(words)
    with Rig() as rig:
        rig.start_servers()
        for server in rig.servers:
            for user in range(USERS):
                server.call("ACL", "SETUSER", f"user{user}", "on", f">pass{user}", "~*", "&*", "+@all")
        rig.start_proxy(*options.flag, workers=options.workers)
        wrong = asyncio.run(Soak(rig, options.minutes).run())
        wrong += ["an internal error in the log"] if "internal error" in rig.log() or "Traceback" in rig.log() else []
    print("\n".join(wrong) or "nothing is wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
