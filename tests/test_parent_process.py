"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.wire import eventually

CHILD = """
import os, time
from rproxy.parent_process import die_with_parent
die_with_parent(os.getppid())
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def has_gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_child_that_stands_still_is_killed_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        subprocess.run(["kill", "-STOP", str(child)], check=True)
        parent.send_signal(signal.SIGKILL)
        eventually(lambda: has_gone(child), "the kernel has killed it")
    assert parent.returncode == -signal.SIGKILL


def test_a_child_whose_parent_is_another_one_by_now_ends() -> None:
    code = "from rproxy.parent_process import die_with_parent; die_with_parent(1); print('lives')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
