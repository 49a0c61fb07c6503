"""The system calls of the data plane: reads and writes of sockets that do not block, and which of many sockets have something to read.

Called by `outlet` and `inlets`. This is what they do interpreted; compiled they are the C functions in `syscalls.pxd`, which keep the interpreter's lock: to
let it go and take it again was an eighth of the instructions of a command. They must never be given a descriptor that may block.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import suppress

MOST = 256 * 1024
"""Bytes read at once."""
_POLLS: dict[int, select.epoll] = {}
_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET if hasattr(select, "epoll") else 0
_END = select.EPOLLRDHUP | select.EPOLLET if hasattr(select, "epoll") else 0


def sent(descriptor: int, data: bytes) -> int:
    """How many bytes the socket took; less than none where it takes none now or is broken, which the transport will find too."""
    try:
        return os.write(descriptor, data)
    except OSError:
        return -1


def received(descriptor: int) -> bytes | None:
    """What has come; None where nothing has, b"" where nothing will any more."""
    try:
        return os.read(descriptor, MOST)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def now(clock: Callable[[], int], of_the_system: bool) -> int:
    """What `clock` gives; where it is CLOCK_MONOTONIC of the system (clock_gettime(2)), that is asked itself: 200 instructions less."""
    return clock()


def poll() -> int:
    """Something to be asked which sockets are ready (epoll(7)), itself a descriptor that is ready when one of them is; -1 where the system has none."""
    if not hasattr(select, "epoll"):
        return -1
    made = select.epoll()
    _POLLS[made.fileno()] = made
    return made.fileno()


def end(poll: int) -> None:
    """Of no use any more."""
    _POLLS.pop(poll).close()


def watch(poll: int, descriptor: int) -> None:
    """Look at this socket too. It is found once each time that something comes, so what has come must be read whole (epoll(7), edge-triggered)."""
    with suppress(FileExistsError):
        _POLLS[poll].register(descriptor, _EVENTS)


def again(poll: int, descriptor: int) -> None:
    """Find this socket once more if there is still something to read."""
    with suppress(OSError):
        _POLLS[poll].modify(descriptor, _EVENTS)


def watch_end(poll: int, descriptor: int) -> None:
    """Find this socket only when its peer has ended or it is broken, whatever there is to read before."""
    try:
        _POLLS[poll].register(descriptor, _END)
    except FileExistsError:
        _POLLS[poll].modify(descriptor, _END)


def unwatch(poll: int, descriptor: int) -> None:
    """Look at this socket no more."""
    with suppress(OSError):
        _POLLS[poll].unregister(descriptor)


def ready(poll: int, found: memoryview[int], most: int) -> int:
    """How many sockets, up to `most`, have something to read; they stand in `found`, inverted (`~`) where the peer has ended or it is broken. The others come
    next time.
    """
    events = _POLLS[poll].poll(0, most)
    for at, (descriptor, event) in enumerate(events):
        found[at] = ~descriptor if event & ~select.EPOLLIN else descriptor
    return len(events)
