"""What the event loop reports that nobody has caught: the network's troubles are told to whoever has the connection, and need no traceback in the log.

Installed by `assembly` on the running loop. It must never hide a fault of rproxy's own.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger("rproxy")


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what is no error of the network as the loop would by itself.

    Errors of the network reach this as "Fatal error on transport" where the loop knows them too little (a host that is unreachable, a time-out of TCP), and as
    "Future exception was never retrieved" where the one who waited has given up. The end of the connection is told apart from this (`connection_lost`).
    """
    problem = context.get("exception")
    if isinstance(problem, OSError):
        log.debug("a connection has failed: %s", problem)
        return
    loop.default_exception_handler(context)
