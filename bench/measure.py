"""What the kernel knows of a process: CPU used and memory resident.

Called by `rounds`, before and after each run. Reads /proc (Linux) and nothing else; it must never touch the
processes.

Sources: proc(5). `task/*/schedstat`, first field: nanoseconds on a CPU, exact; `stat` fields 14 and 15: user
and system time in ticks of 10 ms, scaled by the kernel so that their sum agrees with the exact one. So the
sum comes from schedstat, and only its split from stat.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
QUIET_SECONDS = 0.01
QUIET_CPU = 0.0005
QUIET_WITHIN = 0.5


@dataclass(frozen=True)
class Cpu:
    """CPU seconds of processes with all their threads: in all (exact), in user code and in the kernel (to 10
    ms).
    """

    total: float
    user: float
    kernel: float

    def __sub__(self, before: Cpu) -> Cpu:
        return Cpu(self.total - before.total, self.user - before.user, self.kernel - before.kernel)

    @property
    def kernel_share(self) -> float:
        """The kernel's part, 0 to 1; 0 where nothing was used."""
        both = self.user + self.kernel
        return self.kernel / both if both > 0 else 0.0


@dataclass(frozen=True)
class Memory:
    """Resident memory of processes in bytes: now, and at most so far (of each)."""

    now: int
    peak: int


def family(roots: Iterable[int]) -> list[int]:
    """The processes and their living descendants."""
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):  # task/*/children would be shorter, but not every kernel has it
        fields = _read(stat).rpartition(")")[2].split()
        if len(fields) > 1:
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    members = list(roots)
    for member in members:  # grows while it is walked
        members += children.get(member, [])
    return members


def cpu(pids: Iterable[int]) -> Cpu:
    """CPU used so far by these processes. What has ended is left out."""
    total = user = kernel = 0.0
    for pid in pids:
        nanoseconds = [_read(task / "schedstat").split() for task in _tasks(pid)]
        total += sum(int(fields[0]) for fields in nanoseconds if fields) / 1e9
        in_user, in_kernel = stat_seconds(_read(PROC / str(pid) / "stat"))
        user += in_user
        kernel += in_kernel
    return Cpu(total if total else user + kernel, user, kernel)  # no schedstat in kernels built without CONFIG_SCHED_INFO


def quiet_cpu(pids: list[int]) -> Cpu:
    """`cpu`, once the processes have finished what the last run left (closing its connections); half a second
    later at the latest.
    """
    deadline = time.monotonic() + QUIET_WITHIN
    used = cpu(pids)
    while True:
        time.sleep(QUIET_SECONDS)
        later = cpu(pids)
        if later.total - used.total < QUIET_CPU or time.monotonic() > deadline:
            return later
        used = later


def stat_seconds(stat: str) -> tuple[float, float]:
    """User and system seconds out of the text of /proc/PID/stat; zeros for an empty text (the process is
    gone).
    """
    fields = stat.rpartition(")")[2].split()  # the name in brackets may hold spaces and brackets
    return (int(fields[11]) * TICK, int(fields[12]) * TICK) if len(fields) > 12 else (0.0, 0.0)


def memory(pids: Iterable[int]) -> Memory:
    """Resident memory, now and at its peak."""
    texts = [_read(PROC / str(pid) / "status") for pid in pids]
    return Memory(sum(status_bytes(text, "VmRSS") for text in texts), sum(status_bytes(text, "VmHWM") for text in texts))


def status_bytes(status: str, name: str) -> int:
    """One line of /proc/PID/status, `VmRSS:   1234 kB`, in bytes; 0 where it is missing."""
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _tasks(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # ended since
