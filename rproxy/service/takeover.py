"""From one rproxy to the next without a refused client: the one that starts takes the listening sockets of the one that runs, which then drains.

Used by `lifecycle`; `takeover` of the settings names a unix socket at which the one that runs offers its sockets. The sockets themselves are handed over, not
only their addresses: of two that share an address by SO_REUSEPORT each has a queue, and who waits in that of the one that ends is reset. Until the older one
has gone neither reads from replicas, as none knows what the other has acknowledged. It must never let the two serve side by side without that, whoever of them
ends first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from typing import Protocol

from rproxy.dataplane.freshness import HELD
from rproxy.dataplane.plane import LOST_WRITE, Plane
from rproxy.dataplane.policies import OPEN
from rproxy.service.inherited import Inherited
from rproxy.service.listener import Bound, bind, owning, release
from rproxy.service.peers import user_of

log = logging.getLogger("rproxy")

PATIENCE = 5.0
"""Seconds that the one that runs has for its answer."""
PAUSE = 1.0
"""Seconds until the next one is listened for again, where it could not be accepted."""
MOST = 200
"""Sockets; Linux passes at most 253 in one message."""
SERVING = b"serving\n"
OWNER_ONLY = 0o177
ROOT = 0


class Listening(Protocol):
    """Who listens: the methods are those of `lifecycle.Running` and `Beside`."""

    @property
    def sockets(self) -> list[socket.socket]:
        """What listens."""

    def own(self, paths: bool) -> None:
        """Whether what is at the paths is removed at the end."""


class Serving(Listening, Protocol):
    """Who serves clients: the methods are those of `lifecycle.Running`."""

    plane: Plane

    def wake(self) -> None:
        """Have the freshness clock look again."""

    def give_way(self) -> None:
        """Another rproxy serves: drain without delay."""


class Takeover:
    """Both ends of it: what `running` and `beside` take at their start from the one that runs, and what they offer the next one. `given`: another rproxy
    serves. Without a `path` there is neither.
    """

    def __init__(self, path: str, running: Serving, beside: Listening) -> None:
        self.given = False
        self._path = path
        self._running = running
        self._beside = beside
        self._doors: list[Bound] = []
        self._before: socket.socket | None = None
        self._kept: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []

    def inherit(self) -> Inherited:
        """What the one that runs has given, none where none runs. Raises OSError where it gives nothing, or the path can't be had."""
        if not self._path:
            return Inherited()
        taken = _take(self._path)
        if taken is None:
            self._doors = _door(self._path)
            return Inherited()
        self._before, (door, *others), pause = taken
        door.setblocking(False)
        self._doors = [Bound(door, f"unix://{self._path}", OPEN, "")]
        self._running.plane.freshness.beside(HELD)
        if pause:
            self._running.plane.intermission.begin(pause)
        for given in others:
            given.setblocking(False)
        return Inherited({f"listener {number}": given for number, given in enumerate(others)}, all_needed=False)

    def begin(self) -> None:
        """Clients are served: the one that ran before may go, and the next one come."""
        if self._before is not None:
            self._own(True)
            self._doors = owning(self._doors, True)
            self._spawn("predecessor", self._see_off(self._before))
        elif self._doors:
            self._spawn("takeover", self._offer())

    async def end(self) -> None:
        """Nothing is offered any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        release(self._doors)

    def _spawn(self, name: str, work: asyncio._CoroutineLike[None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(_say_why)
        self._tasks.append(task)

    def _own(self, paths: bool) -> None:
        self._running.own(paths)
        self._beside.own(paths)

    async def _see_off(self, before: socket.socket) -> None:
        """Until it has gone; what it had sent may still be run by the leader for a while. A third one waits for that."""
        loop = asyncio.get_running_loop()
        before.setblocking(False)
        log.info("takes over from the rproxy that runs, which drains")
        with suppress(OSError):
            await loop.sock_sendall(before, SERVING)
            await loop.sock_recv(before, 1)
        before.close()
        self._alone()
        log.info("the rproxy that ran before has gone")
        await self._offer()

    def _alone(self) -> None:
        self._running.plane.freshness.beside(time.monotonic_ns() + LOST_WRITE)
        self._running.wake()

    async def _offer(self) -> None:
        """To one after the other, until one serves."""
        while not self.given:
            connection = await self._next()
            self._kept = [connection]  # open until the end of this process, by which the other one knows that it has come
            self._running.plane.freshness.beside(HELD)
            try:
                self.given = await self._give(connection)
            except OSError as problem:
                log.warning("nothing is handed over: %s", problem)
            if not self.given:
                connection.close()
                self._alone()
        self._own(False)
        self._doors = owning(self._doors, False)
        self._running.give_way()

    async def _next(self) -> socket.socket:
        """The next one's connection, however long it can't be accepted."""
        loop, told = asyncio.get_running_loop(), False
        while True:
            try:
                connection, _ = await loop.sock_accept(self._doors[0].socket)
                if _is_ours(connection):
                    return connection
                log.warning("a process of another user asks for the listeners: it gets nothing")
                connection.close()
            except OSError as problem:
                if not told:
                    log.warning("the next rproxy cannot take over: %s", problem.strerror)
                told = True
                await asyncio.sleep(PAUSE)

    async def _give(self, connection: socket.socket) -> bool:
        """Whether the other one serves; False when it has ended before."""
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        given = [self._doors[0].socket, *self._running.sockets, *self._beside.sockets]
        if len(given) > MOST:
            raise OSError(f"{len(given)} listeners are too many, the most are {MOST}")
        pause = b" %d" % (self._running.plane.intermission.left() * 1000)
        text = b"%d%b\n" % (
            len(given),
            pause if pause != b" 0" else b"",
        )  # a pause is told only where there is one: older versions know of none
        socket.send_fds(connection, [text], [one.fileno() for one in given])
        log.info("another rproxy starts, and has got the listeners")
        said = b""
        while len(said) < len(SERVING) and (data := await loop.sock_recv(connection, len(SERVING))):
            said += data
        if said != SERVING:
            log.warning("the rproxy that was to take over has ended: this one goes on")
            return False
        log.info("another rproxy serves: this one ends")
        return True


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("no rproxy can take over from this one any more", exc_info=task.exception())


def _is_ours(connection: socket.socket) -> bool:
    """Whether root or the own user is at the other end."""
    return user_of(connection) in (None, ROOT, os.geteuid())


def _take(path: str) -> tuple[socket.socket, list[socket.socket], float] | None:
    """The connection to the one that runs, what it gives, and for how many seconds its clients are paused; None where nobody listens at the path. Raises
    OSError where it is another user's: it could give sockets whose clients it hears itself.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    text, descriptors = b"", []
    try:
        connection.connect(path)
        if not _is_ours(connection):
            connection.close()
            raise OSError(f"the socket at takeover = {path} belongs to another user's process")
        while not text.endswith(b"\n"):
            data, given, _, _ = socket.recv_fds(connection, 64, MOST)
            descriptors += given
            text += data
            if not data:
                break
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except TimeoutError:
        raise OSError("the rproxy that runs does not hand over: it ends already, or another one takes over") from None
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    count, *pause = text.split()[:2] or [b""]
    if not sockets or count != b"%d" % len(sockets) or not text.endswith(b"\n"):
        raise OSError("the rproxy that runs has not handed over its listeners")
    return connection, sockets, sum(map(int, pause)) / 1000


def _door(path: str) -> list[Bound]:
    """A socket of its owner's alone. One that an ended process left behind has been found to be nobody's."""
    before = os.umask(OWNER_ONLY)
    try:
        return bind((f"unix://{path}",))
    finally:
        os.umask(before)
