"""The control plane at work, with real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rproxy.dataplane.plane import Plane
from rproxy.dataplane.topology import Server, Topology
from rproxy.embedded import EmbeddedServer, free_port
from rproxy.service import assembly
from rproxy.service.control import Control
from rproxy.service.dialer import Dialer
from rproxy.settings import Settings, Timeouts


class Controlled:
    """A control plane, and what it has published."""

    def __init__(self, *ports: int) -> None:
        servers = tuple(Server(index, "127.0.0.1", port) for index, port in enumerate(ports))
        settings = Settings(servers=servers, timeouts=Timeouts(probe_interval=0.1))
        dialer = Dialer(0.5)
        outside = assembly.outside(dialer, lambda *_: None, lambda *_: None, lambda: None)
        self.plane = Plane(assembly.first_topology(settings), assembly.table(settings), assembly.options(settings), outside)
        self.published: list[Topology] = []
        self.learnt: list[bytes] = []
        self.failed = asyncio.Event()
        self.servers = servers
        self.control = Control(settings, self.plane, dialer, self.publish, self.learn, self.failed.set)

    def publish(self, topology: Topology) -> None:
        self.published.append(topology)
        self.plane.follow(topology)

    def learn(self, rows: object) -> list[bytes]:
        self.learnt.append(b"rows")
        return []


def play(ports: tuple[int, ...], scenario: Callable[[Controlled], Awaitable[None]]) -> None:
    async def run() -> None:
        controlled = Controlled(*ports)
        await scenario(controlled)
        await controlled.control.stop()
        controlled.plane.close()
        await asyncio.sleep(0)

    asyncio.run(run())


def test_it_publishes_who_leads_and_learns_its_commands(leader: EmbeddedServer) -> None:
    async def scenario(controlled: Controlled) -> None:
        controlled.control.start()
        while not controlled.published or not controlled.learnt:
            await asyncio.sleep(0.01)
        assert controlled.published[-1].settled and controlled.published[-1].leader == controlled.servers[0]

    play((leader.port, free_port()), scenario)


def test_a_doubt_before_the_monitor_is_there_counts_at_once_and_is_judged_later(leader: EmbeddedServer) -> None:
    async def scenario(controlled: Controlled) -> None:
        gone = controlled.servers[1]
        controlled.control.suspect(gone, "it failed")
        assert controlled.published[-1].readers == ()
        controlled.control.demoted(controlled.servers[0], "it says so")
        assert not controlled.published[-1].settled
        controlled.control.start()
        while not controlled.published[-1].settled:
            await asyncio.sleep(0.01)
        controlled.control.suspect(controlled.servers[0], "it failed")
        assert controlled.published[-1].leader_up, "one connection that failed is no proof"

    play((leader.port, free_port()), scenario)


def test_its_failure_is_told(leader: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(controlled: Controlled) -> None:
        def broken(topology: Topology) -> None:
            raise RuntimeError("broken")

        controlled.control._told = broken
        controlled.control.start()
        await controlled.failed.wait()

    play((leader.port,), scenario)
