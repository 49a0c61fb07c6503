"""A pytest plugin for suites whose tests say `Redis()` and mean the port 6379: redis-py's own default becomes `SUITE_PORT`.

It is loaded in the suite's environment, with this folder on its path, and holds for the processes that the tests fork. Nothing else is changed, and no
call is intercepted.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

import redis
import redis.asyncio

USUAL = 6379


def point_at(function: Any, port: int) -> None:
    """Have the function's parameter `port` be this one unless it is given, where it was 6379."""
    inner = inspect.unwrap(function)
    signature = inspect.signature(inner)
    assert signature.parameters["port"].default == USUAL, f"{inner} has another default"
    if "port" in (inner.__kwdefaults__ or {}):
        inner.__kwdefaults__["port"] = port
    else:
        inner.__defaults__ = tuple(
            port if name == "port" else parameter.default
            for name, parameter in signature.parameters.items()
            if parameter.default is not parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY
        )


for each in (redis.Redis, redis.Connection, redis.asyncio.Redis, redis.asyncio.Connection):
    point_at(each.__init__, int(os.environ["SUITE_PORT"]))
