"""A load balancer, or a virtual address, in front of servers of a test: each new connection goes to the next target; those that are open stay where they are.

Used by the tests of names and addresses that lead to several servers.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import threading
from typing import Self

ANY_PORT = 0


class Gateway:
    """Listens on `host`, and on `port` or any free one, until the block ends. `targets` are ports of 127.0.0.1, and may change at any time."""

    def __init__(self, *targets: int, host: str = "127.0.0.1", port: int = ANY_PORT) -> None:
        self._listener = socket.create_server((host, port), backlog=128)
        self.host, self.port = self._listener.getsockname()
        self._targets = itertools.cycle(targets)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, *targets: int) -> None:
        """New connections go there from now on."""
        self._targets = itertools.cycle(targets)

    def close(self) -> None:
        """Refuse connections, and close those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", next(self._targets)))
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.add(end)
            run_id = os.urandom(20).hex().encode()
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink, run_id), daemon=True).start()

    def shown(self, data: bytes, run_id: bytes) -> bytes:
        """What is passed on of `data`. `run_id` is this connection's alone."""
        return data

    def _pass_on(self, source: socket.socket, sink: socket.socket, run_id: bytes) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(self.shown(data, run_id))
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)
        self._open -= {source}
        source.close()


class ServiceProxy(Gateway):
    """As the endpoint of a service whose proxy shows clients another process on each connection."""

    def shown(self, data: bytes, run_id: bytes) -> bytes:
        """With another `run_id` in what INFO answers."""
        return re.sub(rb"(?<=\r\nrun_id:)[0-9a-f]{40}", run_id, data)
