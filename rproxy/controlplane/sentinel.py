"""Asks the Sentinels who leads, and which servers there are, and listens to what they tell.

Run by `monitor`, which is told of servers by `found`. It must never fail for what a Sentinel does, nor change one. Every Sentinel is asked in turn of
its own and listened to on a second connection: any event about the service is a reason to ask at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from redis.asyncio import Connection
from redis.exceptions import ResponseError

from rproxy.controlplane.nomination import Named, Registry, Report, newest
from rproxy.controlplane.probe import LOST, connection, sentence
from rproxy.dataplane.topology import Server

log = logging.getLogger("rproxy.topology")

HURRY = 0.2
"""Seconds between two questions while a failover may be under way."""
KEPT = 60.0
"""Seconds for which the last report of a Sentinel counts that is not reached any more: the others may not know yet what it knew."""
DOWN = {"s_down", "o_down", "disconnected"}
"""Flags of a server that a Sentinel can't reach."""


class Unknown(Exception):
    """The Sentinel answers, but does not know the service by this name."""


class Sentinels:
    """`run_ids()`: of the servers that are known, None while not all of them have been probed. `hurried()`: a failover may be under way. `found(leader,
    servers)` is called with what the Sentinels know whenever that may have changed.
    """

    def __init__(
        self,
        sentinels: Sequence[Server],
        service: str,
        configured: Sequence[Server],
        timeout: float,
        interval: float,
        run_ids: Callable[[], Mapping[Server, str] | None],
        hurried: Callable[[], bool],
        found: Callable[[Server, tuple[Server, ...]], None],
    ) -> None:
        self._service = service
        self._timeout = timeout
        self._interval = interval
        self._registry = Registry(configured)
        self._run_ids = run_ids
        self._hurried = hurried
        self._found = found
        self._wakes = {sentinel: asyncio.Event() for sentinel in sentinels}
        self._watches: dict[Server, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._reports: dict[Server, tuple[float, Report]] = {}
        self._troubles: dict[Server, str] = {}
        self._told: tuple[Server, tuple[Server, ...]] | None = None

    def wake(self) -> None:
        """Ask all of them at once."""
        for wake in self._wakes.values():
            wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            for sentinel in self._wakes:
                self._begin(sentinel, self._tasks)

    def change(self, sentinels: Sequence[Server], timeout: float, interval: float) -> None:
        """The settings name these Sentinels now. What those that are gone have told counts no more."""
        self._timeout, self._interval = timeout, interval
        for sentinel in [sentinel for sentinel in sentinels if sentinel not in self._wakes]:
            self._wakes[sentinel] = asyncio.Event()
            if self._tasks is not None:
                self._begin(sentinel, self._tasks)
        for sentinel in [sentinel for sentinel in self._wakes if sentinel not in sentinels]:
            del self._wakes[sentinel]
            if sentinel in self._watches:
                self._watches.pop(sentinel).cancel()
            self._reports.pop(sentinel, None)
            self._troubles.pop(sentinel, None)

    def _begin(self, sentinel: Server, tasks: asyncio.TaskGroup) -> None:
        self._watches[sentinel] = tasks.create_task(self._watch(sentinel), name=f"sentinel {sentinel.name}")

    def consider(self) -> None:
        """Tell what is known, if it is new. Waits until it is known of all servers which process each one is."""
        now = time.monotonic()
        self._reports = {sentinel: (at, report) for sentinel, (at, report) in self._reports.items() if now - at < KEPT}
        reports = [self._reports[sentinel][1] for sentinel in self._wakes if sentinel in self._reports]
        report, run_ids = newest(reports), self._run_ids()
        if report is None or run_ids is None:
            return
        servers = self._registry.servers(reports, run_ids)
        leader = self._registry.leader(report)
        if leader is not None and self._told != (leader, servers):
            self._told = leader, servers
            self._found(leader, servers)

    async def _watch(self, sentinel: Server) -> None:
        """Ask one for ever. What listens to it lives as long as it answers."""
        wake = self._wakes[sentinel]
        asking = connection(sentinel)
        listening: asyncio.Task[None] | None = None
        try:
            while True:
                wake.clear()
                try:
                    async with asyncio.timeout(self._timeout):
                        report = await ask(asking, self._service)
                    self._reports[sentinel] = time.monotonic(), report
                    self._say(sentinel, "")
                    if listening is None or listening.done():
                        listening = asyncio.create_task(self._listen(sentinel), name=f"events of {sentinel.name}")
                    self.consider()
                except (Unknown, *LOST, ValueError) as problem:
                    self._say(sentinel, trouble_of(problem, self._service, self._timeout))
                    await asking.disconnect(nowait=True)
                    if isinstance(problem, Unknown):
                        self._reports.pop(sentinel, None)
                    if listening is not None:
                        listening.cancel()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(self._interval, HURRY) if self._hurried() else self._interval):
                        await wake.wait()
        finally:
            await asking.disconnect(nowait=True)
            if listening is not None:
                listening.cancel()

    async def _listen(self, sentinel: Server) -> None:
        """Until the connection is lost."""
        hearing = connection(sentinel)
        try:
            async with asyncio.timeout(self._timeout):
                await hearing.connect()  # type: ignore[no-untyped-call]
                await hearing.send_command("PSUBSCRIBE", "*")
                await hearing.read_response()
            self._wakes[sentinel].set()  # something may have happened before
            while True:
                message = await hearing.read_response()
                if isinstance(message, list) and self._service.encode() in message[-1].split():
                    self._wakes[sentinel].set()
        except LOST:
            pass  # asking it fails as well then, and says so
        finally:
            await hearing.disconnect(nowait=True)

    def _say(self, sentinel: Server, trouble: str) -> None:
        """One line in the log per change."""
        before = self._troubles.get(sentinel, "")
        self._troubles[sentinel] = trouble
        if trouble and trouble != before:
            log.warning("sentinel %s tells nothing: %s", sentinel.name, trouble)
            if all(self._troubles.get(each) for each in self._wakes):
                log.error("no Sentinel tells who leads %r: %s", self._service, self._troubles_of_all())
        elif before and not trouble:
            log.info("sentinel %s tells again who leads %r", sentinel.name, self._service)

    def _troubles_of_all(self) -> str:
        return "; ".join(f"{sentinel.name}: {trouble}" for sentinel, trouble in self._troubles.items())


async def ask_once(sentinel: Server, service: str, timeout: float) -> Report | str:
    """Its report, or why there is none: one clause. For `rproxy check`."""
    asking = connection(sentinel)
    try:
        async with asyncio.timeout(timeout):
            return await ask(asking, service)
    except (Unknown, *LOST, ValueError) as problem:
        return trouble_of(problem, service, timeout)
    finally:
        await asking.disconnect(nowait=True)


def trouble_of(problem: Exception, service: str, timeout: float) -> str:
    """Why a Sentinel tells nothing, in a clause. That it can't be reached and that it does not know the name are not the same."""
    if isinstance(problem, Unknown):
        return f"the name {service!r} is unknown to it"
    words = sentence(problem, timeout)
    return words if words.startswith("it refuses") else f"it is unreachable: {words}"


async def ask(sentinel: Connection, service: str) -> Report:
    """What a Sentinel knows of a service, over this connection. Raises Unknown, and what redis-py raises."""
    if not sentinel.is_connected:
        await sentinel.connect()  # type: ignore[no-untyped-call]
    questions = [("SENTINEL", word, service) for word in ("GET-MASTER-ADDR-BY-NAME", "MASTER", "REPLICAS")]
    await sentinel.send_packed_command(sentinel.pack_commands(questions))
    replies: list[object] = []
    for _ in questions:
        try:
            replies.append(await sentinel.read_response())
        except ResponseError as problem:
            replies.append(problem)
    address, master, replicas = replies
    if address is None:
        raise Unknown
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    if not (isinstance(address, list) and isinstance(master, list) and isinstance(replicas, list)):
        raise ValueError("its reply is no list")
    return read(address, _fields(master), [_fields(row) for row in replicas])


def read(address: list[bytes], master: Mapping[str, str], replicas: Sequence[Mapping[str, str]]) -> Report:
    """The report that a Sentinel's replies tell. While a failover is under way `address` is the promoted one, and `master` still the old."""
    known = [_named(fields) for fields in (master, *replicas)]
    leader = Named(address[0].decode(), int(address[1]))
    leader = next((named for named in known if (named.host, named.port) == (leader.host, leader.port)), leader)
    others = tuple(named for named in known if named is not leader)
    return Report(leader, int(master.get("config-epoch", 0)), others)


def _named(fields: Mapping[str, str]) -> Named:
    down = not DOWN.isdisjoint(fields.get("flags", "").split(","))
    return Named(fields.get("ip", ""), int(fields.get("port", 0)), fields.get("runid", ""), down)


def _fields(row: object) -> dict[str, str]:
    """A flat list of names and values."""
    if not isinstance(row, list):
        raise ValueError("its reply is no list")
    words = [word.decode("utf-8", "replace") for word in row]
    return dict(zip(words[::2], words[1::2], strict=False))
