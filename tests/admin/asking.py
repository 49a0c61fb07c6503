"""HTTP as administrators and their tools speak it, over TCP or a unix socket.

Used by the tests of the admin room. Each request has a connection of its own.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, NamedTuple

from rproxy.urls import parse_listener


class Reply(NamedTuple):
    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class _Connection(http.client.HTTPConnection):
    """Over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(url: str, path: str, method: str = "GET", **headers: str) -> Reply:
    """What the admin listener `url` answers; `Header="value"` for headers."""
    listener = parse_listener(url)
    connection = (
        _Connection(listener.path) if listener.path else http.client.HTTPConnection(listener.host, listener.port, timeout=10)
    )
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Reply(response.status, response.read().decode())
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Whether somebody is there who answers."""
    try:
        return ask(url, "/livez").status == 200
    except OSError:
        return False
