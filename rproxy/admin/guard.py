"""Who may ask: no page of another site, and nobody who would change something from another machine without the token.

Stands before all routes. A page in an administrator's browser may send requests to any address that the browser can reach, and read the answers where it
makes its own name point there (DNS rebinding): so Host must not be a name that others could own, and Origin must be rproxy's own. It must never let a
request through because it looks harmless.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

READING = ("GET", "HEAD")
FOREIGN_HOST = "this name may be anybody's: ask by address, by localhost or by the machine's own name, or send the token"
FOREIGN_ORIGIN = "a page of another site asks"
NO_TOKEN = "from another machine nothing can be changed: admin.token is not set"
WRONG_TOKEN = "from another machine this needs the header Authorization: Bearer TOKEN, with admin.token"


class Guard:
    """In front of `app`. `token()` is `admin.token` now, "" where there is none."""

    def __init__(self, app: ASGIApp, token: Callable[[], str]) -> None:
        self._app = app
        self._token = token
        self._names = {name.lower() for name in (socket.gethostname(), "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        answer: Callable[[Scope, Receive, Send], Awaitable[None]] = self._app
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is not None:
            status, why = refusal
            answer = JSONResponse({"error": why}, status)
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the reason where a request is refused."""
        headers = Headers(scope=scope)
        known = self._knows_the_token(headers.get("authorization", ""))
        host = headers.get("host", "")
        if not known and not self._own(host):
            return 421, FOREIGN_HOST
        if "origin" in headers and urlsplit(headers["origin"]).netloc.lower() != host.lower():
            return 403, FOREIGN_ORIGIN
        if scope["method"] not in READING and not known and not _from_here(scope):
            return (401, WRONG_TOKEN) if self._token() else (403, NO_TOKEN)
        return None

    def _knows_the_token(self, authorization: str) -> bool:
        kind, _, word = authorization.partition(" ")
        given, token = word.strip().encode(), self._token().encode()
        return bool(token) and kind.lower() == "bearer" and hmac.compare_digest(given, token)

    def _own(self, host: str) -> bool:
        """Whether no other site can have this name: an address, a name without a dot, or the machine's own. HTTP/1.0 sends none, and browsers always do."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
            ipaddress.ip_address(name)
        except ValueError:
            return "." not in name.strip(".") or name in self._names
        return True


def _from_here(scope: Scope) -> bool:
    """Whether the connection came over a unix socket or a loopback address, which no other machine can reach."""
    address = (scope.get("server") or ("", None))[0]
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True
