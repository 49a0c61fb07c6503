"""The demo shows rproxy at work, and leaves nothing behind, however it ends."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rproxy.embedded import wait_for

DEADLINE = 30.0
REPOSITORY = Path(__file__).resolve().parents[1]


class Demo:
    """A running `rproxy demo`, whose servers' folders are made in `folder`."""

    def __init__(self, folder: Path, *flags: str, terminal: bool = False) -> None:
        self.folder = folder
        self.screen, theirs = pty.openpty() if terminal else (-1, subprocess.PIPE)
        keep = {
            name: value for name, value in os.environ.items() if not name.startswith("RPROXY_") or name == "RPROXY_INTERPRETED"
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rproxy", "demo", *flags],
            stdout=theirs,
            stderr=theirs if terminal else subprocess.PIPE,
            env={**keep, "TMPDIR": str(folder), "TERM": "xterm", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"},
            cwd=REPOSITORY,
            text=not terminal,
        )
        if terminal:
            os.close(theirs)

    def leaves_nothing(self) -> None:
        """Its folders are gone, and with them its servers: they hold a log in there as long as they live."""
        assert list(self.folder.iterdir()) == []
        assert processes_in(self.folder) == []

    def until_line(self, fits: Callable[[str], object]) -> str:
        """Read on until a line that fits."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if fits(line):
                return str(line)
        raise AssertionError(f"it has ended without that line: {self.process.communicate()[1]}")


def processes_in(folder: Path) -> list[str]:
    """The processes that work in this folder, which servers do. It may be gone: Linux then says so behind its name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if str(path.readlink()).startswith(f"{folder}/"):
                found.append(path.parent.name)
    return found


StartDemo = Callable[..., Demo]


@pytest.fixture
def start_demo() -> Iterator[StartDemo]:
    demos: list[Demo] = []
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:

        def start(*flags: str, terminal: bool = False) -> Demo:
            demos.append(Demo(Path(folder), *flags, terminal=terminal))
            return demos[-1]

        yield start
        for demo in demos:
            if demo.process.poll() is None:
                demo.process.kill()
            demo.process.communicate() if demo.screen < 0 else demo.process.wait()
            if demo.screen >= 0:
                os.close(demo.screen)


def test_it_says_how_to_try_it_and_shows_what_goes_where(start_demo: StartDemo) -> None:
    demo = start_demo("--port", "0", "--duration", "2.5")
    printed, complaints = demo.process.communicate(timeout=DEADLINE)
    assert demo.process.returncode == 0, complaints
    assert re.search(r'LOCATION: "redis://127\.0\.0\.1:\d+"', printed)
    assert re.search(r"A page      http://127\.0\.0\.1:\d+", printed)
    assert "redis-cli -p " in printed and "import redis" in printed and "1 SET and 9 GETs a second" in printed
    last = [line for line in printed.splitlines() if " | " in line][-1]
    reads = [int(number) for number in re.findall(r"(\d+) reads", last)]
    writes = [int(number) for number in re.findall(r"(\d+) writes", last)]
    assert sum(reads[1:]) > 0, last
    assert writes[0] > 0 and writes[1:] == [0, 0], last
    assert "Traceback" not in complaints
    demo.leaves_nothing()


def test_clients_are_served_where_it_says(start_demo: StartDemo) -> None:
    demo = start_demo("--port", "0")
    port = int(demo.until_line(lambda line: "redis-cli -p" in line).split("redis-cli -p ")[1].split()[0])
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        client.sendall(b"SET greeting hello\r\n")
        assert client.recv(100) == b"+OK\r\n"
    demo.process.send_signal(signal.SIGINT)
    complaints = demo.process.communicate(timeout=DEADLINE)[1]
    assert demo.process.returncode == 0, complaints
    demo.leaves_nothing()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_everything(start_demo: StartDemo, number: signal.Signals) -> None:
    demo = start_demo("--port", "0")
    demo.until_line(lambda line: " | " in line)
    assert len(processes_in(demo.folder)) == 3
    demo.process.send_signal(number)
    _, complaints = demo.process.communicate(timeout=DEADLINE)
    assert demo.process.returncode == 0 and "Traceback" not in complaints, complaints
    demo.leaves_nothing()


def test_a_signal_during_the_start_removes_everything(start_demo: StartDemo) -> None:
    demo = start_demo("--port", "0")
    wait_for(lambda: len(processes_in(demo.folder)) > 0, "the first server is started", within=DEADLINE)
    demo.process.send_signal(signal.SIGINT)
    _, complaints = demo.process.communicate(timeout=DEADLINE)
    assert demo.process.returncode == 0 and "Traceback" not in complaints, complaints
    demo.leaves_nothing()


def test_a_port_that_is_taken_is_one_sentence(start_demo: StartDemo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        demo = start_demo("--port", str(port))
        printed, complaints = demo.process.communicate(timeout=DEADLINE)
    assert demo.process.returncode == 1 and printed == ""
    assert complaints.count("\n") == 1 and f"cannot listen on 127.0.0.1:{port}" in complaints and "--port" in complaints
    demo.leaves_nothing()


def test_a_terminal_gets_a_table_that_moves(start_demo: StartDemo) -> None:
    demo = start_demo("--port", "0", "--duration", "2.5", terminal=True)
    screen = read_screen(demo)
    assert demo.process.wait(DEADLINE) == 0, screen
    assert screen.count("commands/s") > 2 and "leader" in screen and "replica" in screen
    assert "\x1b[" in screen and "Traceback" not in screen
    demo.leaves_nothing()


def read_screen(demo: Demo) -> str:
    """All that is written to the terminal until the demo closes it."""
    seen = b""
    deadline = time.monotonic() + DEADLINE
    with contextlib.suppress(OSError):  # EIO: closed
        while time.monotonic() < deadline and (part := os.read(demo.screen, 65536)):
            seen += part
    return seen.decode(errors="replace")
