"""The page at /: what rproxy and its servers do, drawn in a browser.

The files in static/ are all of it: they ask /api/ and nobody else. It must never let a browser run or load anything that isn't one of these files, since
what the page shows (keys, names of clients) is written by strangers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

FILES = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    """The files, with what keeps browsers from more."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """As any, with the headers."""
        response = super().file_response(*arguments, **options)
        response.headers.update(HEADERS)
        return response


async def page(request: Request) -> FileResponse:
    """The page."""
    return FileResponse(FILES / "index.html", headers=HEADERS)


ROUTES = [Route("/", page), Mount("/static", _Files(directory=FILES))]
