"""Questions to the admin listener of a running rproxy, from the command line.

Called by `steer`, and by whoever else asks over HTTP. It must never send the token to anybody but the listener that it is for.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, NamedTuple
from urllib.parse import urlencode

from rproxy.errors import SettingsError
from rproxy.settings import Admin
from rproxy.urls import Listener, masked, parse_listener

TIMEOUT = 15.0


class Problem(Exception):
    """It does not answer, or refuses. The text is one sentence for people; `status`: that of HTTP, 0 without one."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Where(NamedTuple):
    """An admin listener, and the token that it may want."""

    listener: Listener
    token: str

    def ask(self, path: str, parameters: dict[str, str] | None = None, method: str = "GET") -> Any:
        """The JSON that it answers. Raises Problem."""
        query = urlencode({key: value for key, value in (parameters or {}).items() if value})
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        status, text = self._exchange(method, f"{path}?{query}" if query else path, headers)
        try:
            said = json.loads(text)
            if status == 200:
                return said
            error = str(said["error"])
        except (ValueError, TypeError, KeyError):
            raise Problem(
                f"{self.listener.address} is no admin listener of an rproxy: it answers with status {status}", status
            ) from None
        raise Problem(error, status)

    def _exchange(self, method: str, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = _Connection(self.listener)
        try:
            connection.request(method, target, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as problem:
            reason = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
            raise Problem(f"no rproxy answers at {self.listener.address}: {reason[0].lower()}{reason[1:]}") from None
        finally:
            connection.close()


def where(admin: Admin, url: str = "") -> Where:
    """The listener `url`, or the first one of these settings. Raises Problem where there is none, SettingsError for what is no listener."""
    if not url and not admin.listen:
        raise Problem("the settings have no admin listener; name that of the running rproxy: --admin tcp://HOST:9380")
    url = url or admin.listen[0]
    try:
        listener = parse_listener(url)
    except SettingsError as error:
        raise SettingsError(f"{masked(url)}: {error}") from None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener.host, listener.host)
    return Where(listener._replace(host=host), admin.token)


class _Connection(http.client.HTTPConnection):
    """To an admin listener, over TCP or a unix socket."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.host or "localhost", listener.port or None, timeout=TIMEOUT)
        self._path = listener.path

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)
