"""/livez and /readyz: whether rproxy should be restarted, and whether it should be given clients.

/livez never looks at a server: rproxy must not be restarted because Redis is down. It must never answer from anything but memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rproxy.admin.desk import desk_of
from rproxy.service.lifecycle import Running


def conditions(running: Running) -> Iterator[tuple[str, str]]:
    """What rproxy needs to serve clients, each by its name, with the reason where it lacks ("": fulfilled)."""
    topology = running.plane.topology
    yield "listening", "" if running.addresses else "no listener is open"
    led = "" if topology.leader_up else f"{topology.leader.name} does not answer"
    yield "leader", led if topology.settled else "nobody knows who leads"
    alone = not topology.replicas
    yield "readers", "" if alone or topology.readers else f"none of {len(topology.replicas)} replicas may be read"
    yield "serving", "rproxy is draining" if running.draining else ""


async def livez(request: Request) -> PlainTextResponse:
    """The loop turns, or this would not be answered."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> PlainTextResponse:
    """A line per condition; 503 where one is not fulfilled."""
    found = list(conditions(desk_of(request).running))
    lines = [f"[-]{name}: {why}" if why else f"[+]{name} ok" for name, why in found]
    return PlainTextResponse("\n".join(lines) + "\n", 503 if any(why for _, why in found) else 200)


async def briefly(request: Request) -> PlainTextResponse:
    """As `readyz`, without the reasons, which name servers."""
    found = list(conditions(desk_of(request).running))
    lines = [f"[-]{name}" if why else f"[+]{name} ok" for name, why in found]
    return PlainTextResponse("\n".join(lines) + "\n", 503 if any(why for _, why in found) else 200)


PATHS = ("/livez", "/healthz", "/readyz")
BRIEF = [Route("/livez", livez), Route("/healthz", livez), Route("/readyz", briefly)]
ROUTES = [Route("/livez", livez), Route("/healthz", livez), Route("/readyz", readyz)]
