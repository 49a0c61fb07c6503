"""How many bytes have come and gone, on the sides of the clients and of the servers.

Owned by `plane`, counted by `session` and `upstream`, told by `tallies`. It must never sink.
"""

from __future__ import annotations


class Traffic:
    """Bytes of commands and replies that this worker has read, and given to its sockets; without what TLS adds."""

    __slots__ = ("from_clients", "to_clients", "from_servers", "to_servers")

    def __init__(self) -> None:
        self.from_clients = self.to_clients = self.from_servers = self.to_servers = 0
