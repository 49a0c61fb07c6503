"""Has the kernel kill a process when the one that started it dies, however that is: also by SIGKILL, and while the child itself stands still.

Used by workers, which must free the listeners for the next rproxy, and by `embedded` for the servers of the demo and the tests.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2): the signal that the child gets when the thread that started it dies

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int) -> None:
    """In the child, whose parent is `parent`: from now on, SIGKILL when that dies; the end of this process, where it has died already. Only on Linux."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
