"""Errors of the system that tell of this machine and this process, and nothing of the other end of a connection.

Read by `probe` and by the service's dialer and acceptor. Nothing is imported here: the service reads it before redis-py is loaded.
"""

from __future__ import annotations

import errno

LOCAL = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
"""Of socket(2), accept(2) and connect(2): no file descriptor, no memory, no port is left."""


def is_local(problem: BaseException) -> bool:
    """Whether this failed for want of something on this side."""
    return isinstance(problem, OSError) and problem.errno in LOCAL
