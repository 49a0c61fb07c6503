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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
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

    handlers: dict[int, Callable[[], None]] = {number: partial(running.stop, number) for number in STOPPING}
    with handled(handlers | {signal.SIGHUP: hang_up, signal.SIGUSR1: lambda: _tell(running)}):
        _show_stacks()
        try:
            yield
        finally:
            faulthandler.unregister(signal.SIGQUIT)


@contextmanager
def handled(handlers: Mapping[int, Callable[[], None]]) -> Iterator[None]:
    """Have the running loop call these functions for these signals, once for each signal.

    Not by the loop's `add_signal_handler`: that of uvloop 0.23 calls a function twice for a signal that comes while it reads another one
    (`Loop._invoke_signals` takes it from Python's handler and, later, from the pipe), and of SIGTERM the second has a meaning of its own.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.signal(number, partial(_call, loop, handler)) for number, handler in handlers.items()}
    for number in handlers:
        signal.siginterrupt(number, False)  # system calls of libraries go on
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _call(loop: asyncio.AbstractEventLoop, handler: Callable[[], None], _number: int, _frame: FrameType | None) -> None:
    """Python runs this between any two instructions, so the loop is only told."""
    loop.call_soon_threadsafe(handler)


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
