"""/api/clients, /api/commands, /api/slow, /api/hot: what clients do, put together from all workers.

Keys are shown by /api/hot alone, and values nowhere. It must never log what it shows.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from rproxy.admin.desk import desk_of
from rproxy.dataplane.watch import BIGGEST, KEYS, SLOWEST

DEFAULT_CLIENTS = 100
MOST_CLIENTS = 10_000


async def _ask(request: Request, *words: bytes) -> list[Any]:
    return [json.loads(answer) for answer in await desk_of(request).running.ask(*words)]


async def clients(request: Request) -> JSONResponse:
    """Who is connected."""
    given = request.query_params.get("limit", str(DEFAULT_CLIENTS))
    if not given.isdecimal():
        return JSONResponse({"error": "?limit= is no number"}, 400)
    limit = min(int(given), MOST_CLIENTS)
    answers = await _ask(request, b"CLIENTS", b"%d" % limit)
    rows = sorted((row for answer in answers for row in answer["clients"]), key=lambda row: row["id"])
    return JSONResponse({"total": sum(answer["total"] for answer in answers), "clients": rows[:limit]})


async def commands(request: Request) -> JSONResponse:
    """What was called, by name, since each worker's start."""
    counts: Counter[tuple[str, str]] = Counter()
    for rows in await _ask(request, b"COMMANDS"):
        for row in rows:
            counts[row["name"], row["kind"]] += row["count"]
    found = [{"name": name, "kind": kind, "count": count} for (name, kind), count in counts.most_common()]
    return JSONResponse({"commands": found})


async def slow(request: Request) -> JSONResponse:
    """The last commands that took longer than `slow.threshold`."""
    rows = sorted((row for rows in await _ask(request, b"SLOW") for row in rows), key=lambda row: row["at"], reverse=True)
    threshold = desk_of(request).loaded.settings.slow.threshold
    return JSONResponse({"threshold_ms": round(threshold * 1000, 3), "slow": rows[:SLOWEST]})


async def hot(request: Request) -> JSONResponse:
    """The keys that are asked for most, and the biggest values, by sampling."""
    answers = await _ask(request, b"HOT")
    sampled = sum(answer["sampled"] for answer in answers)
    counts: Counter[str] = Counter()
    for answer in answers:
        for key, count in answer["keys"].items():
            counts[key] += count
    big = sorted((row for answer in answers for row in answer["big"]), key=lambda row: -row["bytes"])
    keys = [
        {"key": key, "count": round(count, 1), "share": round(count / sampled, 4) if sampled else 0.0}
        for key, count in counts.most_common(KEYS)
    ]
    return JSONResponse({"sampled": round(sampled), "keys": keys, "big": big[:BIGGEST]})


ROUTES = [
    Route("/api/clients", clients),
    Route("/api/commands", commands),
    Route("/api/slow", slow),
    Route("/api/hot", hot),
]
