"""A monitor beside real servers, for tests: it runs while a story is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rproxy.controlplane.monitor import Monitor
from rproxy.dataplane.topology import Server, Topology
from rproxy.embedded import EmbeddedServer


class Watched:
    """A monitor over real servers, running. `published` are the topologies that it has handed out."""

    def __init__(self, monitor: Monitor, published: list[Topology], servers: tuple[Server, ...]) -> None:
        self.monitor, self.published, self.servers = monitor, published, servers

    def readers(self) -> list[int]:
        return [server.index for server in self.monitor.topology.readers]

    def leads(self, index: int) -> bool:
        """This one leads, and nobody doubts it."""
        topology = self.monitor.topology
        return topology.leader.index == index and topology.settled and topology.leader_up

    def why(self, index: int) -> str:
        return dict(self.monitor.topology.why)[index]

    async def until(self, holds: Callable[[], bool], what: str, within: float = 10.0) -> None:
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, f"not within {within} s: {what}; topology {self.monitor.topology}"
            await asyncio.sleep(0.005)

    async def probed(self) -> None:
        """All servers have been probed with success."""
        await self.until(lambda: len(self.monitor.topology.offsets) == len(self.servers), "all are probed")


Story = Callable[[Watched], Awaitable[None]]


def watch(
    nodes: Sequence[EmbeddedServer | Server],
    story: Story,
    interval: float = 0.2,
    timeout: float = 0.3,
    on_leader_up: Callable[[], Awaitable[None]] | None = None,
    **options: Any,
) -> Watched:
    """Run a story beside a monitor of these servers; more options as for Monitor."""
    named = tuple(
        node if isinstance(node, Server) else Server(index, "127.0.0.1", node.port, password=node.password)
        for index, node in enumerate(nodes)
    )
    published: list[Topology] = []
    watched = Watched(Monitor(named, published.append, interval, timeout, on_leader_up, **options), published, named)

    async def run() -> None:
        running = asyncio.create_task(watched.monitor.run())
        try:
            await asyncio.wait_for(story(watched), 30)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])
        assert running.cancelled()

    asyncio.run(run())
    return watched
