"""The memory of the tables: of one process, and of several."""

from __future__ import annotations

import os
import subprocess
import sys

from rproxy.service import memory

SIZE = 3 * 1024 * 1024


def test_it_is_zeros_at_first_and_can_be_written() -> None:
    for table in (memory.own(SIZE), memory.mapped(memory.shared(SIZE), SIZE)):
        assert bytes(table) == bytes(SIZE)
        table[SIZE - 1] = 7
        assert table[SIZE - 1] == 7


def test_what_one_process_writes_in_shared_memory_another_reads() -> None:
    descriptor = memory.shared(SIZE)
    table = memory.mapped(descriptor, SIZE)
    table[5] = 42
    program = f"from rproxy.service import memory; table = memory.mapped({descriptor}, {SIZE}); table[6] = table[5] + 1"
    subprocess.run([sys.executable, "-c", program], pass_fds=[descriptor], check=True)
    assert table[6] == 43
    os.close(descriptor)


def test_each_process_has_memory_of_its_own() -> None:
    table = memory.own(SIZE)
    table[5] = 42
    child = os.fork()
    if not child:
        table[5] = 43
        os._exit(0)
    os.waitpid(child, 0)
    assert table[5] == 42
