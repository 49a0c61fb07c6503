"""The worker processes: starts them, starts one again that has died, and ends them.

Owned by the supervisor, which is told what they say. It must never leave a process behind, nor a dead worker's writes unaccounted for: `died` is called
before another takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rproxy.service.channel import Begin, Channel, Drain, Message, Ping, Ready, pack

log = logging.getLogger("rproxy")

PAUSE = 0.5
"""Seconds until a worker is started again that died within `SETTLED` seconds of its start; others are at once."""
SETTLED = 5.0
PING = 2.0
"""Seconds between two questions whether a worker turns."""
PINGS = 3
"""Questions without an answer after which a worker hangs."""
GRACE = 2.0
"""Seconds that a worker has for its end beyond what it may take to drain, before it is killed."""


@dataclass(eq=False, slots=True)
class Member:
    """A worker's process and the way to it. `heard` counts the doubts that it told; `silent`, since it said something last, how
    often it was asked to.
    """

    number: int
    process: asyncio.subprocess.Process
    channel: Channel
    heard: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    silent: int = 0


class Crew:
    """`descriptors()` tells which ones a worker gets, `begin(number)` makes the first message for it; `heard(member, message)` is told what one says,
    `died(number)` that one is dead, `failed()` that one died before all were ever ready.
    """

    def __init__(
        self,
        size: int,
        descriptors: Callable[[], list[int]],
        begin: Callable[[int], Begin],
        heard: Callable[[Member, Message], None],
        died: Callable[[int], None],
        failed: Callable[[], None],
    ) -> None:
        self._size = size
        self._descriptors = descriptors
        self._begin = begin
        self._heard = heard
        self._died = died
        self._failed = failed
        self._members: dict[int, Member] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False
        self._was_ready = asyncio.Event()
        self._serves = False

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    async def start(self) -> None:
        """Start all; returns when all are ready, or one has failed."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(number), name=f"worker {number}") for number in range(self._size)]
        await self._was_ready.wait()

    def tell(self, message: Message) -> None:
        """Tell every worker."""
        for member in self:
            member.channel.send(message)

    async def watch(self) -> None:
        """Ask each again and again whether it still turns, and kill one that has let `PINGS` questions pass. They are counted, because this process may have
        stood still itself.
        """
        while True:
            await asyncio.sleep(PING)
            for member in self:
                if member.silent >= PINGS:
                    log.error("worker %d hangs, it has not answered for %g s: it is killed", member.number, PING * PINGS)
                    self.kill(member)
                elif member.ready.is_set():
                    member.silent += 1
                    member.channel.send(Ping())

    def kill(self, member: Member) -> None:
        """It does not answer: it must not go on."""
        if member.process.returncode is None:
            member.process.kill()

    async def end(self, seconds: float, at_once: asyncio.Event) -> None:
        """Have all drain for so long at most, or until `at_once`; returns when all have ended."""
        self._ending = True
        self.tell(Drain())
        loop = asyncio.get_running_loop()
        ended, hurry = loop.create_task(self._ended()), loop.create_task(at_once.wait())
        await asyncio.wait([ended, hurry], timeout=seconds + GRACE, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            self.tell(Drain(at_once=True))
            await asyncio.wait([ended], timeout=GRACE)
        hurry.cancel()
        for member in self:
            self.kill(member)
        await ended

    async def _ended(self) -> bool:
        """When every worker has."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return True

    async def _keep(self, number: int) -> None:
        """Have a worker of this number, for as long as the crew lives."""
        while not self._ending:
            started = time.monotonic()
            try:
                member = await self._spawn(number)
            except OSError as problem:
                log.error("cannot start worker %d: %s; again in %g s", number, problem, PAUSE)
                await asyncio.sleep(PAUSE)
                continue
            code = await member.process.wait()
            member.channel.close()
            del self._members[number]
            self._died(number)
            if self._ending:
                return
            if not self._serves and not member.ready.is_set():
                log.error("worker %d ended before it was ready, %s", number, _how(code))
                self._was_ready.set()
                self._failed()
                return
            pause = 0.0 if time.monotonic() - started > SETTLED else PAUSE
            log.error("worker %d has died, %s: its clients' connections are lost; another takes its place", number, _how(code))
            await asyncio.sleep(pause)

    async def _spawn(self, number: int) -> Member:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rproxy.service.worker",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(), *self._descriptors()),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
                start_new_session=True,  # a Ctrl-C at the terminal is for the supervisor, which ends its workers itself
            )
        channel = Channel(lambda message: self._hear(member, message), lambda: None)
        member = self._members[number] = Member(number, process, channel)
        with contextlib.suppress(OSError):  # it has died already, which its end will tell
            await asyncio.get_running_loop().sock_sendall(ours, pack(self._begin(number)))
            await member.channel.open(ours)
        if self._ending:
            member.channel.send(Drain())
        return member

    def _hear(self, member: Member, message: Message) -> None:
        member.silent = 0
        if isinstance(message, Ready):
            member.ready.set()
            self._serves = True  # with these settings: one that dies before it is ready is started again, too
            if len(self._members) == self._size and all(other.ready.is_set() for other in self):
                self._was_ready.set()
        self._heard(member, message)


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
