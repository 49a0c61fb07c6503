"""`rproxy top` on a terminal and in a pipe, over the admin listener and over that of the clients."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from rproxy.embedded import free_port
from rproxy.top import Seen
from rproxy.top_view import console, frame
from tests.integration.harness import REPOSITORY, Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually

DEADLINE = 20.0


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as started:
        yield started


@pytest.fixture(scope="module")
def admin() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def proxy(servers: Cluster, admin: str) -> Iterator[Proxy]:
    with rproxy(servers, admin=admin) as started:
        yield started


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "rproxy", "top", *words]


def environment() -> dict[str, str]:
    left_out = {"COLUMNS", "LINES"} | {name for name in os.environ if name.startswith("RPROXY_") and name != "RPROXY_INTERPRETED"}
    return {name: value for name, value in os.environ.items() if name not in left_out} | {"TERM": "xterm"}


def piped(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), env=environment(), capture_output=True, text=True, timeout=60, cwd=REPOSITORY)


class Terminal:
    """`rproxy top` on a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self.parent, self.child = pty.openpty()
        termios.tcsetwinsize(self.child, (40, 140))
        self.before = termios.tcgetattr(self.child)
        self.seen = ""
        self.program = subprocess.Popen(
            command(*words),
            stdin=self.child,
            stdout=self.child,
            stderr=self.child,
            env=environment(),
            cwd=REPOSITORY,
            start_new_session=True,
        )

    def read(self) -> bool:
        """Take what has been written."""
        while select.select([self.parent], [], [], 0.05)[0]:
            self.seen += os.read(self.parent, 65536).decode(errors="replace")
        return True

    def until(self, words: str) -> None:
        """Read on until these words are shown."""

        def shown() -> bool:
            self.read()
            return words in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.seen)

        eventually(shown, f"{words!r} is shown; so far: {self.seen[-2000:]!r}", within=DEADLINE)
        self.seen = ""

    def ends_cleanly(self) -> None:
        """With exit code 0, the terminal as it was. A terminal reads what is written until the end."""
        eventually(lambda: self.read() and self.program.poll() is not None, "it has ended", within=DEADLINE)
        assert self.program.returncode == 0
        with contextlib.suppress(OSError):
            while select.select([self.parent], [], [], 0.2)[0]:
                self.seen += os.read(self.parent, 65536).decode(errors="replace")
        assert "Traceback" not in self.seen and "\x1b[?1049l" in self.seen and "\x1b[?25h" in self.seen
        assert termios.tcgetattr(self.child) == self.before

    def close(self) -> None:
        if self.program.poll() is None:
            self.program.kill()
            self.program.wait()
        os.close(self.parent)
        os.close(self.child)


@contextlib.contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    started = Terminal(*words)
    try:
        yield started
    finally:
        started.close()


@pytest.mark.parametrize("end", ["q", "ctrl-c"])
def test_on_a_terminal_it_goes_on_until_it_is_ended(proxy: Proxy, admin: str, servers: Cluster, end: str) -> None:
    with terminal("--admin", admin) as top:
        top.until(f"127.0.0.1:{servers.leader.port} leads, 2 replicas are read")
        top.until("q ends")
        if end == "q":
            os.write(top.parent, b"q")
        else:
            top.program.send_signal(signal.SIGINT)
        top.ends_cleanly()


def test_it_waits_for_an_rproxy_that_does_not_answer_any_more(servers: Cluster) -> None:
    with rproxy(servers) as other, terminal(other.url) as top:
        top.until("leads, 2 replicas are read")
        other.stop()
        top.until("rproxy cannot be reached")
        os.write(top.parent, b"q")
        top.ends_cleanly()


def test_in_a_pipe_it_prints_one_frame_and_ends(proxy: Proxy, admin: str, servers: Cluster) -> None:
    done = piped("--admin", admin)
    assert done.returncode == 0, done.stderr
    assert all(f"127.0.0.1:{node.port}" in done.stdout for node in servers.nodes)
    assert "reads/s" in done.stdout and "\x1b" not in done.stdout


def test_where_no_admin_listens_the_clients_listener_is_asked(proxy: Proxy) -> None:
    done = piped("--once", "--admin.listen", f"tcp://127.0.0.1:{free_port()}", "-l", f"tcp://127.0.0.1:{proxy.port}")
    assert done.returncode == 0, done.stderr
    assert "leads, 2 replicas are read" in done.stdout
    assert piped("--once", "--admin.listen", "", proxy.url).returncode == 0


def test_where_nobody_listens_it_says_so_in_one_line() -> None:
    for words in ((f"tcp://127.0.0.1:{free_port()}",), ("--admin", f"tcp://127.0.0.1:{free_port()}")):
        done = piped(*words)
        assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, ""), done.stderr


def test_percentiles_errors_and_slow_commands_are_shown_where_rproxy_tells_them() -> None:
    row = {
        "server": "a:1", "role": "leader", "in": True, "why": "leads", "latency_ms": 0.3, "lag_bytes": 0, "mark_age_ms": None, "reads": 0,
        "writes": 0,
    }  # fmt: skip
    old: dict[str, Any] = {
        "now_ms": 0.0, "servers": [row], "clients": 3, "consistency": "fresh", "leader": "a:1", "leader_up": True, "settled": True,
        "kinds": {"read": 0}, "errors": {"ERR": 0},
        "latency": {"bounds_ms": [1.0, 2.0], "series": [{"kind": "read", "server": "a:1", "counts": [0, 0, 0]}]},
    }  # fmt: skip
    new = old | {
        "now_ms": 500.0, "kinds": {"read": 50}, "errors": {"ERR": 5, "[red]odd": 1},
        "latency": {"bounds_ms": [1.0, 2.0], "series": [{"kind": "read", "server": "a:1", "counts": [0, 50, 0]}]},
    }  # fmt: skip
    slow = [
        {
            "at": 0,
            "command": "KEYS",
            "server": "a:1",
            "addr": "b:2",
            "waiting_ms": 1.0,
            "upstream_ms": 70.0,
            "writing_ms": 2.0,
            "total_ms": 73.0,
        }
    ]
    screen = console()
    with screen.capture() as shown:
        screen.print(frame(Seen(old), Seen(new, slow)))
    lines = {line.split()[0]: line.split() for line in shown.get().splitlines() if line.strip()}
    assert lines["read"][1:4] == ["100", "1.50", "ms"]
    assert lines["ERR"][1] == "10.0" and "[red]odd" in lines
    assert "KEYS" in shown.get() and "73 ms" in shown.get()


def test_what_a_source_does_not_tell_is_said(proxy: Proxy) -> None:
    facts = {
        "now_ms": 0.0,
        "servers": [],
        "clients": 0,
        "consistency": "fresh",
        "leader": "a:1",
        "leader_up": False,
        "settled": True,
    }
    screen = console()
    with screen.capture() as shown:
        screen.print(frame(Seen(facts), Seen(facts)))
    assert "not available here" in shown.get() and "The leader a:1 is away" in shown.get()
    with screen.capture() as shown:
        replica = {**dict.fromkeys(("latency_ms", "lag_bytes", "mark_age_ms"), None), **dict.fromkeys(("reads", "writes"), 0)}
        replica |= {"server": "b:1", "role": "replica", "in": True, "why": ""}
        well = facts | {"leader_up": True, "servers": [replica]}
        screen.print(frame(Seen(well), Seen(well)))
    assert "All is well: a:1 leads, 1 replica is read" in shown.get()
    with screen.capture() as shown:
        both = facts | {"leader_up": True, "takeover": True}
        screen.print(frame(Seen(both), Seen(both)))
    assert "Another rproxy serves too" in shown.get()
