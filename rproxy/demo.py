"""`rproxy demo`: a leader and two replicas in a temporary folder, rproxy in front of them in this process,
and a live view of what goes where.

Called by the command line. It must leave nothing behind, however it ends: no server, no folder. A built-in
visitor sends a few commands through rproxy, so that there is something to see, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

from redis.asyncio import Redis

from rproxy.admin.door import Door
from rproxy.controlplane.probe import LOST
from rproxy.dataplane.topology import Server
from rproxy.embedded import EmbeddedError, EmbeddedServer, started_cluster
from rproxy.service import logs
from rproxy.service.lifecycle import Running, serve
from rproxy.service.reload import Reload
from rproxy.settings import Admin, Log, Settings, Timeouts

HOST = "127.0.0.1"
VISITOR_GETS = 9
"""GETs that the visitor sends per second, beside one SET."""
REFRESH = 0.5
"""Seconds between two looks of the live table; without a terminal a line per second is printed."""

TEXT = """\
rproxy demo: a leader and two replicas, empty and only for you, and rproxy in front of them at {address}
  Django      LOCATION: "redis://{address}"   (CACHES, with django.core.cache.backends.redis.RedisCache)
  redis-cli   redis-cli -p {port} SET greeting hello;  redis-cli -p {port} GET greeting
  Python      python -c "import redis; r = redis.Redis(port={port}); r.set('greeting', 'hello'); print(r.get('greeting'))"
  A page      {page}
A built-in visitor sends 1 SET and {gets} GETs a second through rproxy. {end}
"""


def main(port: int = 7379, duration: float | None = None) -> int:
    """Show rproxy at work on 127.0.0.1:`port` (0: any free one) until Ctrl-C, or for `duration` seconds. The
    exit code: 0, or 1 where it can't start.
    """
    _on_signals(_interrupt)
    try:
        _check_port(port)
        with started_cluster(replicas=2) as servers:
            code = _run(_show(servers, port, duration))
        print("rproxy demo: the servers and their folders are removed")
        return code
    except (EmbeddedError, OSError) as problem:
        print(f"rproxy demo: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """A signal before rproxy serves, which then has its own way: the servers are removed, and no second
    signal must keep that from being done.
    """
    _on_signals(signal.SIG_IGN)
    raise KeyboardInterrupt


def _check_port(port: int) -> None:
    """Raises OSError, with a sentence for people, where somebody listens already: found before the servers
    are started.
    """
    try:
        socket.create_server((HOST, port)).close()
    except (OSError, OverflowError) as problem:
        raise OSError(f"cannot listen on {HOST}:{port} ({problem}); another port can be given: --port 7400") from None


def _run(work: Coroutine[Any, Any, int]) -> int:
    """On uvloop where it is installed, else on asyncio."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


async def _show(servers: Sequence[EmbeddedServer], port: int, duration: float | None) -> int:
    """Serve, visit and show, until rproxy ends. Its exit code."""
    named = tuple(Server(index, HOST, server.port) for index, server in enumerate(servers))
    settings = Settings(
        listen=(f"tcp://{HOST}:{port}",),
        servers=named,
        timeouts=Timeouts(drain=2.0),
        log=Log(level="warning"),
        admin=Admin(listen=(f"tcp://{HOST}:0",)),
    )
    doors: list[Door] = []
    tasks: list[asyncio.Task[None]] = []

    def beside(running: Running, reload: Reload) -> Door:
        doors.append(Door(running, reload))
        return doors[0]

    def ready(running: Running) -> None:
        address = running.addresses[0].removeprefix("tcp://")
        end = "Ctrl-C removes everything." if duration is None else f"After {duration:g} s everything is removed."
        page = doors[0].addresses[0].replace("tcp://", "http://")
        print(TEXT.format(address=address, port=address.rpartition(":")[2], page=page, gets=VISITOR_GETS, end=end), flush=True)
        view = _live_table if sys.stdout.isatty() and _has_rich() else _lines
        for work in (_visit(running, address), view(running, settings)):
            tasks.append(asyncio.create_task(work))
        if duration is not None:
            asyncio.get_running_loop().call_later(duration, running.stop)

    logs.set_up(settings.log)
    code = await serve(settings, ready, beside)
    _on_signals(signal.SIG_IGN)  # what is left to do takes a moment, and must be done
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
    return code


async def _visit(running: Running, address: str) -> None:
    """The built-in visitor: an ordinary client."""
    host, _, port = address.rpartition(":")
    async with Redis(host=host, port=int(port), decode_responses=True) as client:
        turn = 0
        while not running.plane.draining:
            with contextlib.suppress(*LOST):
                if turn % (VISITOR_GETS + 1) == 0:
                    await client.set("demo:visits", turn)
                else:
                    await client.get("demo:visits")
            turn += 1
            await asyncio.sleep(1 / (VISITOR_GETS + 1))


class Counts:
    """What went where since the start, and how fast it goes."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._seen: dict[Server, int] = {}
        self._seen_at = 0.0

    def rows(self) -> Iterator[tuple[str, str, int, int, float]]:
        """Per server: its name, its role as it is now, reads, writes, and commands per second since the last
        call.
        """
        plane, now = self._running.plane, time.monotonic()
        span = now - self._seen_at
        for server in plane.topology.servers:
            pool = plane.pools[server]
            total = pool.reads + pool.writes
            rate = (total - self._seen.get(server, total)) / span
            self._seen[server] = total
            yield server.name, self._role(server), pool.reads, pool.writes, rate
        self._seen_at = now

    def _role(self, server: Server) -> str:
        topology = self._running.plane.topology
        if server == topology.leader:
            return "leader" if topology.leader_up else "leader, away"
        return "replica" if server in topology.readers else "replica, out"


async def _lines(running: Running, _settings: Settings) -> None:
    """A line per second, for logs and pipes."""
    counts = Counts(running)
    started = time.monotonic()
    while True:
        parts = [
            f"{role} {name}: {reads} reads, {writes} writes, {rate:.0f}/s" for name, role, reads, writes, rate in counts.rows()
        ]
        print(f"{time.monotonic() - started:6.0f} s  " + " | ".join(parts), flush=True)
        await asyncio.sleep(1.0)


async def _live_table(running: Running, settings: Settings) -> None:
    """A table that is drawn anew where it stands."""
    from rich.live import Live

    counts = Counts(running)
    with Live(_table(counts), auto_refresh=False) as live:
        logs.set_up(settings.log)  # stderr is Live's now, which writes lines above the table
        try:
            while True:
                await asyncio.sleep(REFRESH)
                live.update(_table(counts), refresh=True)
        finally:
            live.update(_table(counts), refresh=True)
    logs.set_up(settings.log)


def _table(counts: Counts) -> Any:
    from rich.table import Table

    table = Table(title="what goes where", title_justify="left")
    for heading in ("server", "role"):
        table.add_column(heading, min_width=16)
    for heading in ("reads", "writes", "commands/s"):
        table.add_column(heading, justify="right", min_width=10)
    for name, role, reads, writes, rate in counts.rows():
        table.add_row(name, role, f"{reads:,}", f"{writes:,}", f"{rate:,.1f}")
    return table


def _has_rich() -> bool:
    try:
        import rich.live  # noqa: F401
    except ImportError:
        return False
    return True
