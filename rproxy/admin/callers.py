"""Which user of this machine asks, over a unix socket or a loopback address.

Called by `guard` before something is changed. Reading the kernel's table of connections takes milliseconds with many of them, so it is called in a thread. It
must never take a caller for the owner because it can't tell.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rproxy.service.peers import user_of

ROOT = 0
_TABLES = ("/proc/self/net/tcp", "/proc/self/net/tcp6")
_LOCAL, _REMOTE, _UID = 1, 2, 7  # columns (proc_pid_net(5))
_WRITABLE_FOR_ALL = 0o002


def is_owner(scope: Any) -> bool:
    """Whether the request comes from root or from the user that rproxy runs as. Over a unix socket that not everybody may use, it is enough to have
    connected: the kernel has asked for the rights on its path. `scope`: that of ASGI, with the socket as `scope["state"]["connection"]`.
    """
    connection = scope["state"]["connection"]
    if connection.family == socket.AF_UNIX:
        return _is_ours(user_of(connection), str(scope["server"][0]))
    return _user_of_tcp(scope["client"], scope["server"]) in (ROOT, os.geteuid())


def _is_ours(user: int | None, path: str) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return user in (ROOT, os.geteuid())
    return not found.st_mode & _WRITABLE_FOR_ALL or user in (ROOT, os.geteuid(), found.st_uid)


def _user_of_tcp(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Whose the other end of a connection is, where that is on this machine: the kernel lists it with its two addresses the other way round."""
    ends = set(zip(_written(client), _written(server), strict=True))
    for table in _TABLES:
        with suppress(OSError):  # there is no /proc
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if (columns[_LOCAL], columns[_REMOTE]) in ends:
                    return int(columns[_UID])
    return None


def _written(place: tuple[str, int]) -> Iterator[str]:
    """An address as the table of its family has it and, of an IPv4 one, as a socket of IPv6 has it too."""
    host, port = place[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    packed = [address.packed]
    if address.version == 4:
        packed.append(ipaddress.IPv6Address(f"::ffff:{host}").packed)
    for each in packed:
        words = struct.unpack(f"={len(each) // 4}I", each)
        yield "".join(f"{word:08X}" for word in words) + f":{port:04X}"
