"""POST /api/pause, resume, drain, ready, kill, reload: what is changed while rproxy runs.

Each answers {"done": a sentence}, or {"error": a sentence} with 400 where what was asked makes no sense, 404 where there is no such thing, 409 where
it can't be done now, and 422 where the settings are no good. It must never change anything for a GET.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from rproxy.admin.desk import desk_of
from rproxy.config_values import read_duration
from rproxy.errors import SettingsError
from rproxy.service.steering import Refused, Steering, Unknown

DEFAULT_PAUSE = "5s"
Work = Callable[[Steering, Request], Awaitable[str]]


async def _pause(steering: Steering, request: Request) -> str:
    return await steering.pause(read_duration(request.query_params.get("for", DEFAULT_PAUSE), 0.001))


async def _resume(steering: Steering, request: Request) -> str:
    return await steering.resume()


async def _drain(steering: Steering, request: Request) -> str:
    return steering.drain(request.query_params["server"])


async def _ready(steering: Steering, request: Request) -> str:
    return steering.ready(request.query_params["server"])


async def _kill(steering: Steering, request: Request) -> str:
    return await steering.kill(request.query_params["client"])


def _route(name: str, work: Work) -> Route:
    async def answer(request: Request) -> JSONResponse:
        try:
            return JSONResponse({"done": await work(desk_of(request).running.steering, request)})
        except Refused as refused:
            return JSONResponse({"error": str(refused)}, 404 if isinstance(refused, Unknown) else 409)
        except SettingsError as wrong:
            return JSONResponse({"error": f"for: {wrong}"}, 400)
        except KeyError as missing:
            return JSONResponse({"error": f"?{missing.args[0]}= is missing"}, 400)

    return Route(f"/api/{name}", answer, methods=["POST"])


async def reload(request: Request) -> JSONResponse:
    """Read the settings again."""
    try:
        return JSONResponse({"done": await desk_of(request).reload.reload()})
    except SettingsError as wrong:
        return JSONResponse({"error": str(wrong)}, 422)


ROUTES = [
    Route("/api/reload", reload, methods=["POST"]),
    *(
        _route(name, work)
        for name, work in (("pause", _pause), ("resume", _resume), ("drain", _drain), ("ready", _ready), ("kill", _kill))
    ),
]
