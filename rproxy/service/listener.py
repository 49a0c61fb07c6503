"""The sockets on which clients arrive.

Called by `lifecycle` and the supervisor, which bind, and by whoever serves what is bound. It gives each connection a new session; it knows nothing of what
is said there.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from contextlib import suppress
from dataclasses import dataclass, replace

from rproxy.dataplane.plane import Plane
from rproxy.dataplane.policies import Policy
from rproxy.service.acceptor import Acceptor
from rproxy.service.inherited import Inherited
from rproxy.settings import Tls
from rproxy.urls import parse_listener

BACKLOG = 511
"""As a server's own tcp-backlog (redis.conf)."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that listens: its URL with the port that it got, what is set for its clients, and the path to remove at the
    end, "" where there is none or it is another's.
    """

    socket: socket.socket
    address: str
    policy: Policy
    path: str

    @property
    def tls(self) -> bool:
        """Whether its clients speak TLS."""
        return self.address.startswith("tls://")


def bind(urls: tuple[str, ...], inherited: Inherited | None = None, listens: bool = True) -> list[Bound]:
    """Bind every URL (`tcp://host:port`, `unix:///path`), or take what listens there already. Raises OSError, with nothing left bound, where one can't be
    had. Without `listens`, who connects over TCP is refused until `listen`; unix sockets listen at once all the same, for one that does not would be taken
    for that of an ended process by another rproxy that starts.
    """
    inherited = Inherited() if inherited is None else inherited
    bound: list[Bound] = []
    try:
        for url in urls:
            parts = parse_listener(url)
            if parts.path:
                given = inherited.take(socket.AF_UNIX, parts.path)
                if given is None:
                    _remove_stale(parts.path)
                connection = given or _bound(socket.AF_UNIX, parts.path, True)
                bound.append(Bound(connection, parts.address, parts.policy, "" if given else parts.path))
                continue
            for family, _, _, _, address in _addresses(parts.host, parts.port):
                connection = inherited.take(family, address) or _bound(family, address, listens)
                host, port = connection.getsockname()[:2]
                bound.append(Bound(connection, parts._replace(host=host, port=port).address, parts.policy, ""))
    except OSError:
        release(bound)
        raise
    return bound


def listen(bound: list[Bound]) -> None:
    """Let clients connect. Raises OSError where another process has begun to listen at the same address meanwhile."""
    for listening in bound:
        listening.socket.listen(BACKLOG)


def release(bound: list[Bound]) -> None:
    """Close the sockets, and remove the paths."""
    for listening in bound:
        listening.socket.close()
        with suppress(FileNotFoundError):
            if listening.path:
                os.unlink(listening.path)


def owning(bound: list[Bound], paths: bool) -> list[Bound]:
    """The same, whose paths are this process's to remove, or another's."""
    return [replace(listening, path=parse_listener(listening.address).path if paths else "") for listening in bound]


def context_of(bound: list[Bound], tls: Tls) -> ssl.SSLContext | None:
    """For the clients of those that speak TLS, where there are any. Raises SettingsError."""
    if not any(listening.tls for listening in bound):
        return None
    from rproxy.tls import of_listeners

    return of_listeners(tls)


class Listeners:
    """All listeners of a process that serves alone; `addresses` are their URLs, with the ports that they got."""

    def __init__(self) -> None:
        self._bound: list[Bound] = []
        self._acceptor: Acceptor | None = None

    @property
    def addresses(self) -> list[str]:
        """The URLs of the listeners, with the ports that they got."""
        return [listening.address for listening in self._bound]

    def bind(self, urls: tuple[str, ...], inherited: Inherited | None = None) -> None:
        """Take every URL. Raises OSError, with nothing left bound, where one can't be had."""
        self._bound = bind(urls, inherited, listens=False)

    def serve(self, plane: Plane, tls: Tls | None = None, keepalive: float = 0.0) -> None:
        """Let clients connect, and accept them. Raises OSError where an address can't be had after all."""
        context = context_of(self._bound, tls or Tls())
        listen(self._bound)
        self._acceptor = Acceptor(plane, self._bound, context, keepalive)

    @property
    def sockets(self) -> list[socket.socket]:
        """What listens."""
        return [listening.socket for listening in self._bound]

    def own(self, paths: bool) -> None:
        """Whether what is at their paths is removed at the end: not where another process has them."""
        self._bound = owning(self._bound, paths)

    def change(self, tls: Tls, keepalive: float) -> None:
        """Show clients that come from now on what the files hold now, and have the kernel ask so often for them. Raises SettingsError."""
        if self._acceptor is not None:
            self._acceptor.context = context_of(self._bound, tls)
            self._acceptor.keepalive = keepalive

    def close(self) -> None:
        """Accept no more. Sessions go on."""
        if self._acceptor is not None:
            self._acceptor.close()
        release(self._bound)
        self._bound = []


def _addresses(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    """What the host's name stands for, each once."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys(found))  # type: ignore[arg-type]


def _bound(family: int, address: object, listens: bool) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        if family != socket.AF_UNIX:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            connection.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        connection.bind(address)  # type: ignore[arg-type]
        if listens:
            connection.listen(BACKLOG)
    except OSError:
        connection.close()
        raise
    return connection


def _remove_stale(path: str) -> None:
    """A socket that an ended process left behind would be in the way. Raises OSError where somebody listens there: its clients would go to this one, and this
    one's to nobody once the other one removes its path.
    """
    with suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as asking:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            asking.setblocking(False)
            if asking.connect_ex(path) in (0, errno.EAGAIN):
                raise OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)}: {path}")
            os.unlink(path)
