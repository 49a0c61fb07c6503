"""/api/status and /api/config: how rproxy and its servers are, and what it was told.

It must never show a password or a token.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from rproxy.admin.desk import desk_of
from rproxy.config import origins
from rproxy.dataplane.introspect import facts_of


async def status(request: Request) -> JSONResponse:
    """As RPROXY STATUS, of all workers."""
    return JSONResponse(facts_of(desk_of(request).running.plane))


async def config(request: Request) -> JSONResponse:
    """Every setting with its value and where that comes from."""
    rows = [{"key": key, "value": value, "origin": origin} for key, value, origin in origins(desk_of(request).loaded)]
    return JSONResponse({"settings": rows})


ROUTES = [Route("/api/status", status), Route("/api/config", config)]
