"""Sockets that listen before rproxy does: those that systemd opened for it (socket activation, sd_listen_fds(3)), or those of an rproxy that runs.

Asked by `listener.bind`, which takes them in place of binding the same address. It must never leave one of systemd's over in silence: clients would wait at
it for ever.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

FIRST = 3
"""The first descriptor that systemd gives (SD_LISTEN_FDS_START)."""


class Inherited:
    """`sockets` by what they are called in messages. Each is taken once. `all_needed`: one that nobody
    takes is an error.
    """

    def __init__(self, sockets: dict[str, socket.socket] | None = None, all_needed: bool = True) -> None:
        self._sockets = sockets or {}
        self._all_needed = all_needed

    def __bool__(self) -> bool:
        return bool(self._sockets)

    def take(self, family: int, address: object) -> socket.socket | None:
        """The one that listens at this address, as `getsockname` tells it; None without one."""
        for name, given in self._sockets.items():
            if given.family == family and _place(given.getsockname()) == _place(address):
                del self._sockets[name]
                return given
        return None

    def end(self) -> None:
        """All listeners have been opened. Raises OSError for what none of them took, or closes it where not all are needed."""
        if not self._all_needed:
            for given in self._sockets.values():
                given.close()
        elif self._sockets:
            told = "; ".join(f"{name} at {_shown(given)}" for name, given in self._sockets.items())
            raise OSError(f"systemd passes sockets at which nothing in the settings listens: {told}")


def of_systemd(env: MutableMapping[str, str] = os.environ) -> Inherited:
    """What systemd gives this process, if it does. Raises OSError for what is no socket that listens. Told once: processes started from here get none."""
    count, process = env.pop("LISTEN_FDS", ""), env.pop("LISTEN_PID", "")
    names = env.pop("LISTEN_FDNAMES", "").split(":")
    if not count.isdecimal() or process != str(os.getpid()):
        return Inherited()
    given: dict[str, socket.socket] = {}
    for number in range(int(count)):
        descriptor = FIRST + number
        called = f"descriptor {descriptor}" + (f" ({names[number]})" if number < len(names) and names[number] else "")
        os.set_inheritable(descriptor, False)
        found = socket.socket(fileno=descriptor)
        if found.type != socket.SOCK_STREAM or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(f"{called} of systemd is no stream socket that listens: give ListenStream= and Accept=no")
        found.setblocking(False)
        given[called] = found
    return Inherited(given)


def _place(address: object) -> object:
    """An address without what only one of two ways to tell it has (an IPv6 scope)."""
    return address[:2] if isinstance(address, tuple) else address


def _shown(given: socket.socket) -> str:
    address = given.getsockname()
    if not isinstance(address, tuple):
        return f"unix://{address}"
    return f"tcp://[{address[0]}]:{address[1]}" if ":" in address[0] else f"tcp://{address[0]}:{address[1]}"
