"""The applications: all routes, behind the guard; and those for probes alone.

Made by `door` when rproxy listens. A module of routes is added by its name in `MODULES`. It must never answer a request itself.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from rproxy.admin import facts, health, metrics, page, steering, traffic
from rproxy.admin.desk import Desk
from rproxy.admin.guard import Guard

MODULES = (health, facts, metrics, steering, traffic, page)


def application(desk: Desk) -> Starlette:
    """What uvicorn serves."""
    routes: list[BaseRoute] = [route for module in MODULES for route in module.ROUTES]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, token=lambda: desk.loaded.settings.admin.token)])
    app.state.desk = desk
    return app


def probes(desk: Desk) -> Starlette:
    """What is served where only probes ask: health in the fewest words, and nothing else. Without a guard, as there is nothing that others may not know."""
    app = Starlette(routes=list(health.BRIEF))
    app.state.desk = desk
    return app
