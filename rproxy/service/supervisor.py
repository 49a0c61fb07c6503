"""One rproxy of several workers: binds, starts them, decides for all of them what only one may decide, and ends them.

Made by `lifecycle` where `workers` is more than 1; the methods are those of `Running`. It owns the control plane, the memory that all share and the sockets
on which they accept. It must never serve a client itself, nor name the next leader to any worker before all have left the last one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace

from rproxy.dataplane import freshness, tallies
from rproxy.dataplane.handover import PATIENCE
from rproxy.dataplane.plane import LOST_WRITE, Plane
from rproxy.dataplane.renewal import renew
from rproxy.dataplane.topology import Server, Topology
from rproxy.errors import SettingsError
from rproxy.service import assembly, logs, memory
from rproxy.service.channel import Answer, Ask, Begin, Change, Doubt, Follow, Learn, Left, Message, Ready, Serve, Stamped
from rproxy.service.control import Control
from rproxy.service.crew import Crew, Member
from rproxy.service.dialer import Dialer
from rproxy.service.inherited import Inherited
from rproxy.service.listener import Bound, bind, listen, owning, release
from rproxy.service.relay import Relay
from rproxy.service.steering import Steering
from rproxy.settings import Settings

log = logging.getLogger("rproxy")

LEAVING = PATIENCE + 1.0
"""Seconds within which every worker must have left the last leader; one that has not is killed."""


class Supervisor:
    """`plane` has no sessions: it is what the freshness clock knows the topology and the table by."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.code = 0
        self._gives_way = False
        self._serves = False
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self._started = time.monotonic()
        self._bound: list[Bound] = []
        self._led: Server | None = None
        self._next: Server | None = None
        self._leaving: set[int] = set()
        self._changes = 0
        self._watching: asyncio.Task[None] | None = None
        self._given: dict[int, Settings] = {}
        self._rows: dict[str, Sequence[object]] = {}
        workers = settings.workers
        self._descriptor = memory.shared(tallies.size(workers))
        self._memory = memory.mapped(self._descriptor, tallies.size(workers))
        dialer = Dialer(settings.timeouts.connect)
        ports = assembly.outside(
            dialer,
            lambda server, reason: None,
            lambda server, reason: None,
            lambda: self._control.clock.wake(),
            self._memory,
        )
        options = assembly.options(settings, workers, workers)
        self.plane = Plane(assembly.first_topology(settings), assembly.table(settings), options, ports)
        self.plane.about = lambda: assembly.about(self.plane, settings, self._started)
        self._crew = Crew(workers, self._descriptors, self._begin, self._heard, self._died, self._fail)
        self._relay = Relay(self._crew)
        self._control = Control(settings, self.plane, dialer, self._publish, self._learn, self._fail, self.plane.freshness.oldest)
        self.steering = Steering(self.plane, self._control, self.ask)
        if self.plane.topology.settled:
            self._led = self.plane.topology.leader

    @property
    def addresses(self) -> list[str]:
        """The URLs of the listeners, with the ports that they got."""
        return [listening.address for listening in self._bound]

    @property
    def sockets(self) -> list[socket.socket]:
        """What listens."""
        return [listening.socket for listening in self._bound]

    def wake(self) -> None:
        """Have the freshness clock look again."""
        self._control.clock.wake()

    def own(self, paths: bool) -> None:
        """Whether what is at the listeners' paths is removed at the end."""
        self._bound = owning(self._bound, paths)

    def give_way(self) -> None:
        """Another rproxy has the listeners and serves."""
        self._gives_way = True
        self._stop.set()

    def stop(self, number: int = 0) -> None:
        """Drain and end; the second time, end at once."""
        if self._stop.is_set():
            self.code = 128 + number
            self._now.set()
        self._stop.set()

    @property
    def draining(self) -> bool:
        """Whether it has been told to stop."""
        return self._stop.is_set()

    async def change(self, settings: Settings) -> None:
        """Go by these settings. Raises SettingsError, with nothing changed."""
        if assembly.keeps_tables(settings) and not self.plane.options.keeps_tables:
            asked = [member for member in self._crew if member.ready.is_set()]
            answers = await self.ask(b"STAMP")
            if len(answers) < self.settings.workers or asked != list(self._crew):
                raise SettingsError("consistency: a worker does not answer now; try again")
        self.settings = settings
        options = assembly.options(settings, settings.workers, settings.workers)
        renew(self.plane, options, settings.commands, settings.scripts_declare_keys)
        self._crew.tell(Change(settings))
        logs.set_up(settings.log)
        self._control.change(settings)

    async def ask(self, *words: bytes) -> list[bytes]:
        """What every worker answers; without those that don't within a second."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[tuple[bytes, ...]] = loop.create_future()
        self._relay.ask_all(words, lambda answers: None if told.done() else told.set_result(answers))
        return list(await told)

    def _fail(self) -> None:
        self.code = 1
        self._stop.set()

    async def start(self, inherited: Inherited) -> None:
        """Bind, and have the workers serve as soon as it is known who leads."""
        self._bound = bind(self.settings.listen, inherited, listens=False)
        inherited.end()
        self._control.start()
        await self._crew.start()
        await self._control.ready()
        if not self._stop.is_set():
            self._serve()
        self._watching = asyncio.get_running_loop().create_task(self._crew.watch(), name="watch")

    def _serve(self) -> None:
        """Let clients connect; workers that are not ready yet are told when they are."""
        listen(self._bound)
        self._serves = True
        for member in self._crew:
            if member.ready.is_set():
                member.channel.send(Serve())

    async def wait(self) -> None:
        """Until it is told to stop."""
        await self._stop.wait()

    async def drain(self) -> None:
        """Accept no more, let what is in flight finish, then close."""
        if not self.code and not self._gives_way:
            await assembly.linger(self.settings.timeouts.drain_delay, self._now)
        if self._watching is not None:
            self._watching.cancel()
        release(self._bound)
        await self._crew.end(self.settings.timeouts.drain, self._now)

    async def end(self) -> None:
        """Close what is left."""
        release(self._bound)
        await self._control.stop()
        os.close(self._descriptor)

    # What workers are told.

    def _descriptors(self) -> list[int]:
        return [self._descriptor, *(listening.socket.fileno() for listening in self._bound)]

    def _begin(self, number: int) -> Begin:
        listeners = tuple((bound.socket.fileno(), bound.address, bound.policy, bound.path) for bound in self._bound)
        follow = Follow(self._effective())
        self._given[number] = self.settings
        return Begin(self.settings, number, self.settings.workers, listeners, self._descriptor, self._started, follow)

    def _learn(self, rows: Sequence[Sequence[object]]) -> list[bytes]:
        names = self.plane.table.learn(rows)
        self._rows |= {str(row[0]): row for row in rows}
        self._crew.tell(Learn(rows))
        return names

    def _effective(self) -> Topology:
        """The topology, in which nobody leads until all have left the last leader."""
        return replace(self.plane.topology, settled=False) if self._leaving else self.plane.topology

    def _publish(self, topology: Topology) -> None:
        self.plane.follow(topology)
        leader = topology.leader if topology.settled else None
        if leader is None or self._led in (None, leader):
            self._next = None
            self._leaving.clear()
        elif leader != self._next:
            self._next = leader
            self._changes += 1
            self._leaving = {member.number for member in self._crew}
            asyncio.get_running_loop().call_later(LEAVING, self._left_too_late, self._changes)
        if not self._leaving:
            self._led = leader or self._led
        for member in self._crew:
            self._tell(member)

    def _tell(self, member: Member) -> None:
        leave = self._changes if member.number in self._leaving else 0
        member.channel.send(Follow(self._effective(), member.heard, leave))

    def _left(self, number: int, leave: int) -> None:
        if leave == self._changes and number in self._leaving:
            self._leaving.discard(number)
            if not self._leaving:
                self._publish(self.plane.topology)

    def _left_too_late(self, leave: int) -> None:
        for member in self._crew:
            if leave == self._changes and member.number in self._leaving:
                log.error("worker %d does not leave the last leader: it is killed", member.number)
                self._crew.kill(member)

    # What workers tell.

    def _heard(self, member: Member, message: Message) -> None:
        match message:
            case Ready():
                member.channel.send(Learn(tuple(self._rows.values())))
                self._tell(member)
                if self._given.get(member.number, self.settings) is not self.settings:
                    member.channel.send(Change(self.settings))
                for words in self.steering.standing():
                    member.channel.send(Ask(0, words))  # what it answers is nothing new
                if self._serves:
                    member.channel.send(Serve())
                self._control.clock.wake()  # its first stamp may have been before it could say so
            case Doubt():
                member.heard = message.number
                (self._control.demoted if message.demoted else self._control.suspect)(message.server, message.reason)
                self._tell(member)
            case Stamped():
                self._control.clock.wake()
            case Left():
                self._left(member.number, message.leave)
            case Ask():
                self._relay.ask(member, message)
            case Answer():
                self._relay.answered(member, message)

    def _died(self, number: int) -> None:
        """What it had sent may still be run by the leader for a while; what it held is free."""
        freshness.bury(self._memory, number, time.monotonic_ns() + LOST_WRITE)
        self.plane.tallies.bury(number)
        self._control.clock.wake()
        self._relay.died(number)
        self._left(number, self._changes)
