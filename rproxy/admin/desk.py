"""What the routes may ask of the running rproxy.

Made by `door`; a route gets it by `desk_of(request)`. It must never know anything of HTTP but that a request has an app.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rproxy.config import Loaded
from rproxy.service.lifecycle import Running
from rproxy.service.reload import Reload

if TYPE_CHECKING:
    from starlette.requests import Request


@dataclass(slots=True)
class Desk:
    """`reload` has the settings read again."""

    running: Running
    reload: Reload

    @property
    def loaded(self) -> Loaded:
        """The settings in use, with the places that they came from."""
        return self.reload.loaded


def desk_of(request: Request) -> Desk:
    """The desk of the app that got this request."""
    desk: Desk = request.app.state.desk
    return desk
