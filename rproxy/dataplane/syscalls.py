"""The one system call of the data plane: a write to a socket that does not block.

Called by `outlet`. This is what it does interpreted; compiled it is the C function in `syscalls.pxd`, which keeps the interpreter's lock. To let it go and
take it again was an eighth of the instructions of a command. It must never be given a descriptor that may block.
"""

from __future__ import annotations

import os


def sent(descriptor: int, data: bytes) -> int:
    """How many bytes the socket took; less than none where it takes none now or is broken, which the transport will find too."""
    try:
        return os.write(descriptor, data)
    except OSError:
        return -1
