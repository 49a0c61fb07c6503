"""Accepts clients: refuses those for whom there is no room, and gives each of the others a session, behind its TLS handshake where it speaks TLS.

Owned by a worker, or by the listeners of a process that serves alone. All workers accept on the same sockets, which the supervisor has bound: whoever is free
takes the next client, but one that has more than another leaves it to the others for a moment. The event loop's own servers are not used: uvloop's accepts and
closes without a word when there are no descriptors left. The kernel asks clients that are silent
whether they are still there, as a server has it do. It must never keep a client waiting longer than that moment (50 ms), nor give a session a client whose
handshake has not succeeded.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.session import Session
from rproxy.dataplane.tallies import CLIENTS, REFUSED_PROXY, REFUSED_TLS, Tallies
from rproxy.service import descriptors
from rproxy.service.peers import address_of
from rproxy.service.proxy_protocol import Announced, BadHeader, is_trusted, read_header

if TYPE_CHECKING:
    from rproxy.service.listener import Bound

log = logging.getLogger("rproxy")

DEFERENCE = 0.005
"""Seconds between two looks at whether another worker, which has fewer, has taken a client that waits."""
PATIENCE = 10
"""Looks after which the client is taken all the same."""
DEAFNESS = 0.25
"""Seconds for which nothing is left any more to those that let a client wait in vain, unless they take one."""
SLACK = 0.05
"""How much more than the least a worker may have, as a part of it; one client more is always allowed."""
HANDSHAKE = 5.0
"""Seconds that a client has for its TLS handshake."""
EXHAUSTED = 1.0
"""Seconds without accepting after the system had no socket for a client, and rproxy none to spare."""
MOST_KEEPALIVE = 32767
"""Seconds, the most that Linux takes for TCP_KEEPIDLE."""
AT_ONCE = 32
"""Clients that a process which serves alone accepts in one turn of the loop. Of several workers each takes one, and looks anew who has fewer."""


class Shares:
    """Who ought to take the next client. Workers that let one wait in vain, because they are busy or stand still, don't count for a while. `clock` gives
    seconds.
    """

    def __init__(self, tallies: Tallies, clock: Callable[[], float]) -> None:
        self._tallies = tallies
        self._clock = clock
        self._deaf: dict[int, int] = {}
        self._until = 0.0

    def enough(self) -> bool:
        """Whether another worker ought to take it."""
        return bool(self._with_fewer())

    def in_vain(self) -> None:
        """Those that ought to have taken it did not."""
        self._deaf |= {worker: self._tallies.given(worker) for worker in self._with_fewer()}
        self._until = self._clock() + DEAFNESS

    def _with_fewer(self) -> list[int]:
        tallies = self._tallies
        if self._deaf and self._clock() >= self._until:
            self._deaf.clear()
        own = tallies.of(tallies.worker, CLIENTS)
        others = [worker for worker in range(tallies.workers) if worker != tallies.worker]
        heeding = [worker for worker in others if self._deaf.get(worker) != tallies.given(worker)]
        return [worker for worker in heeding if own > tallies.of(worker, CLIENTS) * (1 + SLACK)]


class Failures:
    """TLS handshakes and headers of the PROXY protocol that failed: the first is logged at once, those of the second after it are counted."""

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies
        self._more = 0
        self._waiting: asyncio.TimerHandle | None = None

    def add(self, address: object, problem: OSError) -> None:
        """A client at this address could not be taken."""
        self._tallies.count(REFUSED_PROXY if isinstance(problem, BadHeader) else REFUSED_TLS)
        if self._waiting is not None:
            self._more += 1
            return
        log.warning("a client at %s is not served: %s", _place(address), _why(problem))
        self._waiting = asyncio.get_running_loop().call_later(1.0, self._tell)

    def _tell(self) -> None:
        self._waiting = None
        if self._more:
            log.warning("%d more clients were not served within a second", self._more)
        self._more = 0


def _place(address: object) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "an address that is gone"


def _why(problem: OSError) -> str:
    if isinstance(problem, BadHeader):
        return str(problem)
    if isinstance(problem, ssl.SSLError):
        from rproxy.tls import words

        return words(problem)
    if isinstance(problem, TimeoutError) or "handshake" in str(problem):
        return f"no TLS handshake within {HANDSHAKE:g} s"
    return "it hung up during the TLS handshake"


class Spare:
    """A descriptor that is given up for a moment, to accept a client that is only to be told that there is none left for it."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._take()

    def accept(self, listening: socket.socket) -> socket.socket | None:
        """The next client where there is no descriptor but this one, which is to be taken back by `restore` when that client is closed; None where it
        can't be had all the same.
        """
        if self._descriptor < 0:
            return None
        self.close()
        try:
            return listening.accept()[0]
        except OSError:
            return None

    def restore(self) -> None:
        """Have a descriptor to spare again, if there is one."""
        if self._descriptor < 0:
            self._take()

    def close(self) -> None:
        """Have none any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _take(self) -> None:
        with suppress(OSError):
            self._descriptor = os.open(os.devnull, os.O_RDONLY)


class Acceptor:
    """Accepts on `bound` for `plane`, that of a worker or of a process that serves alone. `context` is for those among them whose clients speak TLS,
    `keepalive` as the setting of that name. Both are for clients that come from now on, and may be replaced.
    """

    def __init__(self, plane: Plane, bound: list[Bound], context: ssl.SSLContext | None = None, keepalive: float = 0.0) -> None:
        self.context = context
        self.keepalive = keepalive
        self._failures = Failures(plane.tallies)
        self._plane = plane
        self._loop = asyncio.get_running_loop()
        self._open: dict[socket.socket, Bound] = {}
        self._coming: set[asyncio.Task[None]] = set()
        self._shares = Shares(plane.tallies, self._loop.time)
        self._at_once = AT_ONCE if plane.options.workers == 1 else 1
        self._spare = Spare()
        for listening in bound:
            self._open[listening.socket] = listening
            self._watch(listening.socket)

    def close(self) -> None:
        """Accept no more. Sessions go on."""
        for listening in self._open:
            self._loop.remove_reader(listening)
            listening.close()
        self._open.clear()
        self._spare.close()

    def _watch(self, listening: socket.socket, looks: int = 0) -> None:
        if listening in self._open:
            self._loop.add_reader(listening, self._ready, listening, looks)

    def _watch_later(self, listening: socket.socket, seconds: float, looks: int = 0) -> None:
        self._loop.remove_reader(listening)
        self._loop.call_later(seconds, self._watch, listening, looks)

    def _ready(self, listening: socket.socket, looks: int) -> None:
        """A client waits. The loop calls again while there are more. `looks`: how often it has been left to others."""
        if self._shares.enough():
            if looks < PATIENCE:
                self._watch_later(listening, DEFERENCE, looks + 1)
                return
            self._shares.in_vain()
        if looks:
            self._watch(listening)
        for _ in range(self._at_once):
            if not self._accept(listening):
                break

    def _accept(self, listening: socket.socket) -> bool:
        """Take the next client, or refuse it; False where there is none."""
        try:
            connection, address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as problem:
            self._exhausted(listening, problem)
            return False
        bound = self._open[listening]
        if connection.fileno() >= descriptors.for_clients():
            self._refuse_for_descriptors(connection, bound.tls)
            return True
        session = Session(self._plane, bound.policy)
        if not self._plane.clients.expect(session):
            _refuse(connection, bound.tls)
            return True
        coming = self._loop.create_task(self._take(connection, address, session, bound))
        self._coming.add(coming)
        coming.add_done_callback(self._coming.discard)
        return True

    def _exhausted(self, listening: socket.socket, problem: OSError) -> None:
        """The system gives no socket for a client."""
        refused = self._spare.accept(listening) if problem.errno in (errno.EMFILE, errno.ENFILE) else None
        if refused is not None:
            self._refuse_for_descriptors(refused, self._open[listening].tls)
        else:
            log.error("cannot accept a client: %s; again in %g s", problem.strerror, EXHAUSTED)
            self._watch_later(listening, EXHAUSTED)
        self._spare.restore()

    def _refuse_for_descriptors(self, connection: socket.socket, tls: bool) -> None:
        why = f"no file descriptor is left for it, at most {descriptors.limit()} files may be open"
        self._plane.clients.refuse(self._plane, why, "the limit of open files")
        _refuse(connection, tls)

    async def _take(self, connection: socket.socket, address: object, session: Session, bound: Bound) -> None:
        trusted, tls = bound.policy.proxy_from, bound.tls
        try:
            connection.setblocking(False)
            until = self._loop.time() + HANDSHAKE
            speaks = not trusted or await _hear_announcement(connection, address, session, trusted, until)
            if not speaks or (tls and not await _says_something(connection, until)):
                connection.close()
                return
            left = max(until - self._loop.time(), 0.1)
            encrypted = {"ssl": self.context, "ssl_handshake_timeout": left} if tls else {}
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _keep_alive(connection, self.keepalive)
            await self._loop.connect_accepted_socket(lambda: session, connection, **encrypted)  # type: ignore[arg-type,type-var]
        except OSError as problem:
            if tls or trusted:
                self._failures.add(address, problem)
            connection.close()  # the client has gone already
        finally:
            self._plane.clients.give_up(session)  # where it has not begun


async def _hear_announcement(
    connection: socket.socket, address: object, session: Session, trusted: tuple[str, ...], until: float
) -> bool:
    """Read the header of the PROXY protocol, and note whose client it is. False where nothing comes and the connection ends. Raises BadHeader, also where it
    does not come in time.
    """
    try:
        async with asyncio.timeout_at(until):
            if not await _says_something(connection, until):
                return False
            announced = await _announced(connection, address, trusted)
    except TimeoutError:
        raise BadHeader(f"no header of the PROXY protocol within {HANDSHAKE:g} s") from None
    if announced is not None:
        session.profile.announce(address_of(announced.source), address_of(announced.destination))
    return True


async def _announced(connection: socket.socket, address: object, trusted: tuple[str, ...]) -> Announced | None:
    """Whom a header announces, from an address that may send one."""
    if isinstance(address, tuple) and not is_trusted(address[0], trusted):
        raise BadHeader("its address is not in proxy_from of the listener")
    return await read_header(connection)


async def _says_something(connection: socket.socket, until: float) -> bool:
    """Whether a client sends a byte before it closes: a health check of a load balancer does not, and is no client that was refused. Raises TimeoutError where
    it does neither in time.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection.fileno(), readable.set)
    try:
        async with asyncio.timeout_at(until):
            await readable.wait()
        return bool(connection.recv(1, socket.MSG_PEEK))
    except ConnectionError:
        return False
    finally:
        loop.remove_reader(connection.fileno())


def _keep_alive(connection: socket.socket, seconds: float) -> None:
    """Have the kernel ask a client that is silent for so long, and three times in a third of that each; it is gone when none is answered (as anetKeepAlive of
    a server), or when what was sent to it is not acknowledged for twice that time.
    """
    idle = min(MOST_KEEPALIVE, round(seconds))
    if not seconds or not hasattr(socket, "TCP_KEEPIDLE"):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, idle))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle // 3))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(2, 2 * idle) * 1000)


def _refuse(connection: socket.socket, tls: bool) -> None:
    """Tell a client that there are too many, in a server's words, and close. Under TLS nothing can be said before the handshake, as on a server."""
    with connection, suppress(OSError):
        connection.setblocking(False)
        if not tls:
            connection.send(errors.TOO_MANY_CLIENTS)
