"""One of several workers: a process with a data plane of its own, which serves clients and leaves to the supervisor what is decided for all.

Started by `supervisor` as `python -m rproxy.service.worker DESCRIPTOR`, the descriptor being its end of their channel. It must never live on when the
supervisor is gone, nor send to the next leader before all workers have left the last one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import sys
from collections.abc import Callable

from rproxy.controlplane.credentials import CREDENTIALS
from rproxy.dataplane import tallies
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.renewal import renew
from rproxy.dataplane.roster import answer
from rproxy.dataplane.topology import Server
from rproxy.parent_process import die_with_parent
from rproxy.service import assembly, logs, memory, signals
from rproxy.service.acceptor import Acceptor
from rproxy.service.channel import (
    Answer,
    Answers,
    Ask,
    Begin,
    Change,
    Channel,
    Doubt,
    Drain,
    Follow,
    Learn,
    Left,
    Message,
    Ping,
    Ready,
    Serve,
    Stamped,
    receive,
)
from rproxy.service.dialer import Dialer
from rproxy.service.listener import Bound, context_of
from rproxy.service.turning import Turning
from rproxy.settings import Settings
from rproxy.tls import of_listeners

log = logging.getLogger("rproxy")

UNHEARD = 0.5
"""Seconds after which a doubt that the supervisor has not heard is judged here: the supervisor stands still, and nobody asks the server about it."""


class Worker:
    """What a worker is. `run` is its life."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self._doubts: list[tuple[Doubt, float]] = []
        self._doubted = 0
        self._leaving = 0
        self._asked = 0
        self._questions: dict[int, Callable[[list[bytes]], None]] = {}
        self._follow = begin.follow
        self._acceptor: Acceptor | None = None
        self._bound: list[Bound] = []
        self._context: ssl.SSLContext | None = None
        settings = begin.settings
        self._drain, self._keepalive = settings.timeouts.drain, settings.timeouts.keepalive
        self._dialer = Dialer(settings.timeouts.connect)
        self._channel = Channel(self._heard, self._orphaned)
        ports = assembly.outside(
            self._dialer,
            lambda server, reason: self._doubt(server, reason, demoted=False),
            lambda server, reason: self._doubt(server, reason, demoted=True),
            lambda: self._channel.send(Stamped()),
            memory.mapped(begin.memory, tallies.size(begin.workers)),
            self._ask,
        )
        options = assembly.options(settings, begin.worker, begin.workers)
        self.plane = Plane(begin.follow.topology, assembly.table(settings), options, ports)
        self.plane.about = lambda: assembly.about(self.plane, settings, begin.started)
        self._logins = CREDENTIALS.listen(self.plane.reauthentication.begin)

    async def run(self, connection: socket.socket) -> int:
        """Serve until the supervisor says that it is enough, or has gone; the exit code."""
        begin, loop = self._begin, asyncio.get_running_loop()
        for number in signals.STOPPING:
            loop.add_signal_handler(number, self._stop.set)
        signals.leave_to_the_supervisor()
        await self._channel.open(connection)
        self._bound = [Bound(socket.socket(fileno=fd), url, policy, path) for fd, url, policy, path in begin.listeners]
        self._context = context_of(self._bound, begin.settings.tls)
        turning = Turning(self.plane)
        turning.start()
        self._channel.send(Ready())
        await self._stop.wait()
        if self._acceptor is not None:
            self._acceptor.close()
        await assembly.drain(self.plane, self._drain, self._now)
        turning.stop()
        self.plane.close()
        await asyncio.sleep(0)
        return 0

    def _heard(self, message: Message) -> None:
        match message:
            case Follow():
                self._doubts = [(doubt, since) for doubt, since in self._doubts if doubt.number > message.heard]
                self._follow = message
                self._apply()
            case Change():
                self._change(message.settings)
            case Serve() if not self._stop.is_set():
                self._acceptor = Acceptor(self.plane, self._bound, self._context, self._keepalive)
            case Ping():
                self._channel.send(message)
            case Learn():
                self.plane.table.learn(message.rows)
            case Ask():
                self._channel.send(Answer(message.number, answer(self.plane, list(message.words))))
            case Answers():
                self._questions.pop(message.number)(list(message.data))
            case Drain():
                if message.at_once:
                    self._now.set()
                self._stop.set()

    def _change(self, settings: Settings) -> None:
        self._drain, self._keepalive = settings.timeouts.drain, settings.timeouts.keepalive
        self._dialer.timeout = settings.timeouts.connect
        self._dialer.reload_certificates()
        CREDENTIALS.keep(settings.servers)
        if self._context is not None:
            self._context = of_listeners(settings.tls)
        if self._acceptor is not None:
            self._acceptor.context = self._context
            self._acceptor.keepalive = self._keepalive
        options = assembly.options(settings, self._begin.worker, self._begin.workers)
        renew(self.plane, options, settings.commands, settings.scripts_declare_keys)
        logs.set_up(settings.log, worker=self._begin.worker)

    def _ask(self, words: list[bytes], told: Callable[[list[bytes]], None]) -> None:
        self._asked += 1
        self._questions[self._asked] = told
        self._channel.send(Ask(self._asked, tuple(words)))

    def _apply(self) -> None:
        """Route by what the supervisor said last, and by what it has not heard of yet."""
        topology, leave = self._follow.topology, self._follow.leave
        unheard = asyncio.get_running_loop().time() - UNHEARD
        for doubt, since in self._doubts:
            topology = assembly.doubting(topology, doubt.server, doubt.demoted, unheard=since <= unheard)
        self.plane.follow(topology)
        if leave and leave != self._leaving:
            self.plane.handover.leave(lambda: self._channel.send(Left(leave)))
        self._leaving = leave

    def _doubt(self, server: Server, reason: str, demoted: bool) -> None:
        self._doubted += 1
        doubt = Doubt(self._doubted, server, reason, demoted)
        self._channel.send(doubt)
        loop = asyncio.get_running_loop()
        self._doubts.append((doubt, loop.time()))
        loop.call_later(UNHEARD, self._apply_unheard)
        self._apply()

    def _apply_unheard(self) -> None:
        if self._doubts:
            self._apply()

    def _orphaned(self) -> None:
        """Nobody tells it who leads, nor the next rproxy that it writes yet: it does not drain."""
        log.error("the supervisor has gone: this worker ends at once")
        self._now.set()
        self._stop.set()


def main(descriptor: int) -> int:
    """The life of the process; its exit code."""
    die_with_parent(os.getppid())
    connection = socket.socket(fileno=descriptor)
    try:
        begin = receive(connection)
    except EOFError:
        return 1
    assert isinstance(begin, Begin)
    logs.set_up(begin.settings.log, worker=begin.worker)
    connection.setblocking(False)
    if begin.layout != tallies.LAYOUT:
        log.critical(
            "the rproxy that runs is of another version than the one on disk, and they can't share a freshness table: restart it"
        )
        return 1

    async def run() -> int:
        return await Worker(begin).run(connection)

    try:
        import uvloop
    except ImportError:
        return asyncio.run(run())
    return uvloop.run(run())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
