"""Asks the leader which commands it has, and tells the command table about those that it lacks: modules'
commands, and those of newer servers.

Called each time the leader has come up. It must never change what the table knows already
(`CommandTable.learn` sees to that), nor fail: without an answer, unknown commands go to the leader, which is
right, if slower.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from rproxy.controlplane.probe import LOST, connection, sentence
from rproxy.dataplane.topology import Server

log = logging.getLogger("rproxy.topology")

PIECE = 20
"""Rows of COMMAND that the table is told in one go."""


Learn = Callable[[Sequence[Sequence[object]]], list[bytes]]
"""`CommandTable.learn`: takes rows of COMMAND, returns the names that were new."""


async def learn_commands(server: Server, learn: Learn, timeout: float) -> list[bytes]:
    """Ask `server` for COMMAND within `timeout` seconds, and have `learn` told of it piece by piece; the names that were new. Nothing, and a
    line in the log, where it can't be asked.
    """
    upstream = connection(server)
    try:
        async with asyncio.timeout(timeout):
            await upstream.connect()  # type: ignore[no-untyped-call]
            await upstream.send_command("COMMAND")
            rows = await upstream.read_response()
        if not isinstance(rows, list):
            raise ValueError("its reply is no list")
        names = await _learn(learn, rows)
    except (*LOST, ValueError) as problem:
        log.warning(
            "leader %s does not tell its COMMAND, so all that rproxy does not know go to it: %s",
            server.name,
            sentence(problem, timeout),
        )
        return []
    finally:
        await upstream.disconnect(nowait=True)
    if names:
        log.info("leader %s has told of %d commands that rproxy did not know", server.name, len(names))
    return names


async def _learn(learn: Learn, rows: list[Sequence[object]]) -> list[bytes]:
    """Piece by piece: clients are served on the same loop, and all rows at once take 10 ms."""
    names: list[bytes] = []
    for start in range(0, len(rows), PIECE):
        names += learn(rows[start : start + PIECE])
        await asyncio.sleep(0)
    return names
