"""Who may ask: no page of another site; keys and clients are for this machine and for those with the token, and changes for rproxy's own user and root, too.

Stands before all routes. A page in an administrator's browser may send requests to any address that the browser can reach, and read the answers where it
makes its own name point there (DNS rebinding): so Host must not be a name that others could own, and Origin must be rproxy's own. It must never let a
request through because it looks harmless.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from rproxy.admin import callers
from rproxy.admin.connection import CROWDED
from rproxy.admin.health import PATHS

READING = ("GET", "HEAD")
PRIVATE = ("/api/hot", "/api/clients", "/api/slow")
"""They show keys, or where clients are."""
BAD_HOST = "the header Host is no host"
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]*))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
TOO_MANY = "too many requests are under way; probes are answered"
FOREIGN_HOST = "this name may be anybody's: ask by address, by localhost or by the machine's own name, or send the token"
FOREIGN_ORIGIN = "a page of another site asks"
NO_TOKEN = "from another machine nothing can be changed: admin.token is not set"
NO_TOKEN_TO_READ = "from another machine this can't be read: admin.token is not set"
WRONG_TOKEN = "from another machine this needs the header Authorization: Bearer TOKEN, with admin.token"
NOT_THE_OWNER = "only root and the user that rproxy runs as may change something; others need the header Authorization: Bearer TOKEN, with admin.token"


class Guard:
    """In front of `app`. `token()` is `admin.token` now, "" where there is none; `is_owner` as in `callers`."""

    def __init__(self, app: ASGIApp, token: Callable[[], str], is_owner: Callable[[Scope], bool] = callers.is_owner) -> None:
        self._app = app
        self._token = token
        self._is_owner = is_owner
        self._names = {name.lower() for name in (socket.gethostname(), "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        answer: Callable[[Scope, Receive, Send], Awaitable[None]] = self._app
        refusal = await self._refusal(scope) if scope["type"] == "http" else None
        if refusal is not None:
            status, why = refusal
            answer = JSONResponse({"error": why}, status)
        await answer(scope, receive, send)

    async def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the reason where a request is refused."""
        headers = Headers(scope=scope)
        known = self._knows_the_token(headers.get("authorization", ""))
        refusal = _crowded(scope) or self._foreign(headers, known)
        if refusal or known:
            return refusal
        changes = scope["method"] not in READING
        if not changes and scope["path"] not in PRIVATE:
            return None
        if not _from_here(scope):
            return (401, WRONG_TOKEN) if self._token() else (403, NO_TOKEN if changes else NO_TOKEN_TO_READ)
        if changes and not await asyncio.to_thread(self._is_owner, scope):
            return 401 if self._token() else 403, NOT_THE_OWNER
        return None

    def _foreign(self, headers: Headers, known: bool) -> tuple[int, str] | None:
        """Refuse what a page of another site may have sent."""
        host = headers.get("host", "")
        try:
            own = self._own(host)
            origin = urlsplit(headers["origin"]).netloc.lower() if "origin" in headers else None
        except ValueError:
            return 400, BAD_HOST
        if not known and not own:
            return 421, FOREIGN_HOST
        return (403, FOREIGN_ORIGIN) if origin not in (None, host.lower()) else None

    def _knows_the_token(self, authorization: str) -> bool:
        kind, _, word = authorization.partition(" ")
        given, token = word.strip().encode(), self._token().encode()
        return bool(token) and kind.lower() == "bearer" and hmac.compare_digest(given, token)

    def _own(self, host: str) -> bool:
        """Whether no other site can have this name: an address, a name without a dot, or the machine's own. HTTP/1.0 sends none, and browsers always do. Raises
        ValueError for what is no host.
        """
        found = _HOST.fullmatch(host)
        if found is None or int(found["port"] or 0) > 65535:
            raise ValueError(BAD_HOST)
        name = (found["address"] or found["name"]).lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return "." not in name.strip(".") or name in self._names
        return True


def _crowded(scope: Scope) -> tuple[int, str] | None:
    """Where connections are scarce, this one is for probes."""
    return (503, TOO_MANY) if scope["state"][CROWDED] and scope["path"] not in PATHS else None


def _from_here(scope: Scope) -> bool:
    """Whether the connection came over a unix socket or a loopback address, which no other machine can reach."""
    address = (scope.get("server") or ("", None))[0]
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True
