"""What signals have rproxy do.

Used by `lifecycle` for the process that decides, and by workers. It must never let a signal that administrators of such programs send by habit end the process:
the system's own way with SIGHUP, SIGUSR1 and SIGQUIT is that.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rproxy.dataplane.introspect import facts_of
from rproxy.errors import SettingsError
from rproxy.service.reload import Reload

if TYPE_CHECKING:
    from rproxy.service.lifecycle import Running

log = logging.getLogger("rproxy")

STOPPING = (signal.SIGTERM, signal.SIGINT)
OF_THE_SUPERVISOR = (signal.SIGHUP, signal.SIGUSR1)
"""Who sends one of these to every process of rproxy means the one that decides."""


@contextmanager
def heard(running: Running, reload: Reload) -> Iterator[None]:
    """The first SIGTERM or SIGINT drains, the second ends at once. SIGHUP has the settings read again. SIGUSR1 writes the status to the log, SIGQUIT the
    stack of every thread to stderr.
    """
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    async def read_again() -> None:
        with suppress(SettingsError):  # which the log has told
            await reload.reload()

    def hang_up() -> None:
        task = loop.create_task(read_again(), name="reload")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, hang_up)
    loop.add_signal_handler(signal.SIGUSR1, lambda: _tell(running))
    for number in STOPPING:
        loop.add_signal_handler(number, running.stop, number)
    _show_stacks()
    try:
        yield
    finally:
        for number in (*STOPPING, *OF_THE_SUPERVISOR):
            loop.remove_signal_handler(number)
        faulthandler.unregister(signal.SIGQUIT)


def leave_to_the_supervisor() -> None:
    """In a worker: pay no heed to what is for the process that decides; SIGQUIT shows the worker's own stack."""
    for number in OF_THE_SUPERVISOR:
        signal.signal(number, signal.SIG_IGN)
    _show_stacks()


def _show_stacks() -> None:
    """Also while the loop hangs, which is when it is wanted."""
    with suppress(OSError, ValueError, AttributeError):  # there is no stderr
        faulthandler.register(signal.SIGQUIT, file=sys.stderr.fileno(), all_threads=True)


def _tell(running: Running) -> None:
    log.warning("status, as asked by SIGUSR1: %s", json.dumps(facts_of(running.plane) | {"tasks": len(asyncio.all_tasks())}))
