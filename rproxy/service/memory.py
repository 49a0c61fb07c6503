"""The memory of the tables that every command looks at: one process's own, or a piece that workers share; in large pages where the system gives them.

Used by `assembly`, `supervisor` and `worker`; what stands in it is the data plane's. It must never be anything but zeros at first.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress


def own(size: int) -> mmap.mmap:
    """Memory of this process alone."""
    return _in_large_pages(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def shared(size: int) -> int:
    """The descriptor of memory that processes can share, for `mapped`."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("rproxy")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def mapped(descriptor: int, size: int) -> mmap.mmap:
    """The memory that `shared` made, as this process sees it."""
    return _in_large_pages(mmap.mmap(descriptor, size))


def _in_large_pages(memory: mmap.mmap) -> mmap.mmap:
    """A key may stand anywhere in it. Measured: with small pages, finding the stamp of one took 3.7 % of all CPU of a GET, in waiting for the page table."""
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel that has none: madvise(2), EINVAL
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
