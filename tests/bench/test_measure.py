"""What is read of a process: checked on the texts of proc(5), and on this process itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench.measure import TICK, Cpu, cpu, family, memory, quiet_cpu, stat_seconds, status_bytes


def test_times_are_found_behind_a_name_with_brackets_and_spaces() -> None:
    stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 250 750 0 0 20 0 1 0 100 1000 10 0"
    assert stat_seconds(stat) == (250 * TICK, 750 * TICK)


def test_a_process_that_is_gone_has_used_nothing() -> None:
    assert stat_seconds("") == (0.0, 0.0)
    assert status_bytes("", "VmRSS") == 0


def test_memory_is_in_bytes() -> None:
    assert status_bytes("Name:\tx\nVmHWM:\t    2000 kB\nVmRSS:\t    1000 kB\n", "VmRSS") == 1_024_000


def test_the_kernel_share_is_a_part_of_what_was_used() -> None:
    used = Cpu(3.0, 1.5, 2.0) - Cpu(1.0, 0.5, 1.0)
    assert (used.total, used.kernel_share) == (2.0, 0.5)
    assert Cpu(0.0, 0.0, 0.0).kernel_share == 0.0


def test_work_shows_as_cpu_seconds() -> None:
    before, clock = cpu([os.getpid()]), time.process_time()
    while time.process_time() - clock < 0.3:
        pass
    used, spent = cpu([os.getpid()]) - before, time.process_time() - clock
    assert used.total == pytest.approx(spent, abs=0.1)
    assert used.user + used.kernel == pytest.approx(spent, abs=0.1)


def test_a_child_belongs_to_the_family_and_a_sleeping_one_is_quiet() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in family([os.getpid()])
        assert quiet_cpu([child.pid]).total >= 0
        assert memory([child.pid]).peak >= memory([child.pid]).now > 0
        child.communicate(b"\n")
    assert child.pid not in family([os.getpid()])
