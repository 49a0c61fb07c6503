"""One rproxy takes over from another: what becomes of sockets, paths, and of the one that runs when the other one fails."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rproxy.service.takeover import _take
from tests.admin.asking import ask
from tests.integration.harness import REPOSITORY, SERVE
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import Wire, eventually

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as started:
        yield started


@pytest.fixture
def start(servers: Cluster, tmp_path: Path) -> Iterator[Start]:
    """Starts an rproxy whose clients, administrators and next one come by unix sockets in `tmp_path`."""
    started: list[subprocess.Popen[str]] = []
    kept = {name: value for name, value in os.environ.items() if name == "RPROXY_INTERPRETED" or not name.startswith("RPROXY_")}

    def start(*flags: str) -> subprocess.Popen[str]:
        words = ["-s", ",".join(servers.urls), "-l", f"unix://{tmp_path}/clients", "--takeover", f"{tmp_path}/takeover"]
        words += ["--admin.listen", f"unix://{tmp_path}/admin", *flags]
        started.append(subprocess.Popen([*SERVE, *words], cwd=REPOSITORY, env=kept, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def answers(tmp_path: Path, process: subprocess.Popen[str]) -> bool:
    """Whether this process serves clients."""
    assert process.poll() is None, process.communicate()
    try:
        with Wire(f"{tmp_path}/clients", timeout=2) as wire:
            return b'"process": %d,' % process.pid in wire.ask("RPROXY", "STATUS")
    except OSError:
        return False


def ready(tmp_path: Path) -> bool:
    """Whether it listens for administrators, and says that it is ready."""
    try:
        return ask(f"unix://{tmp_path}/admin", "/readyz").status == 200
    except (FileNotFoundError, ConnectionRefusedError):  # the path is there a moment before somebody listens
        return False


def at_a_replica(tmp_path: Path) -> bool:
    """Whether some replica may answer a read."""
    try:
        with Wire(f"{tmp_path}/clients") as wire:
            said = wire.ask("RPROXY", "EXPLAIN", "GET", "k")
            return b"fresh for its keys" in said and b"no replica is fresh for its keys" not in said
    except OSError:  # it had come to one that was killed
        return False


def test_the_next_one_has_the_clients_and_administrators_and_the_paths_at_which_they_come(start: Start, tmp_path: Path) -> None:
    first = start()
    eventually(lambda: answers(tmp_path, first), "the first one answers", within=20)
    second = start()
    assert first.wait(20) == 0
    assert answers(tmp_path, second)
    eventually(lambda: ready(tmp_path), "administrators are answered", within=20)
    third = start()
    assert second.wait(20) == 0
    assert answers(tmp_path, third)
    third.send_signal(signal.SIGTERM)
    assert third.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_when_the_next_one_fails_the_one_that_runs_goes_on_and_offers_again(start: Start, tmp_path: Path) -> None:
    first = start()
    eventually(lambda: answers(tmp_path, first), "the first one answers", within=20)
    failing = start("-l", "tcp://192.0.2.1:1?auth=required")
    assert failing.wait(20) == 1
    assert answers(tmp_path, first)
    eventually(lambda: at_a_replica(tmp_path), "replicas are read again", within=20)
    third = start()
    assert first.wait(20) == 0
    assert answers(tmp_path, third)


def test_one_that_was_killed_is_in_nobodys_way(start: Start, tmp_path: Path) -> None:
    first = start()
    eventually(lambda: answers(tmp_path, first), "the first one answers", within=20)
    first.kill()
    first.wait()
    second = start()
    eventually(lambda: answers(tmp_path, second), "the second one answers", within=20)
    eventually(lambda: at_a_replica(tmp_path), "replicas are read", within=20)


def test_a_file_at_the_path_is_left_alone_and_said(start: Start, tmp_path: Path) -> None:
    (tmp_path / "takeover").write_text("mine")
    first = start()
    assert first.wait(20) == 1
    assert first.stderr is not None and "cannot listen on" in first.stderr.read()
    assert (tmp_path / "takeover").read_text() == "mine"


def test_nobody_but_the_owner_may_take_over(start: Start, tmp_path: Path) -> None:
    first = start()
    eventually(lambda: answers(tmp_path, first), "the first one answers", within=20)
    assert (tmp_path / "takeover").stat().st_mode & 0o777 == 0o600


def test_one_that_cannot_accept_the_next_one_says_so_and_can_later(start: Start, tmp_path: Path) -> None:
    first = start()
    eventually(lambda: ready(tmp_path) and at_a_replica(tmp_path), "all of the first one is there", within=20)
    before = resource.prlimit(first.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(first.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    second = start()
    assert second.wait(20) == 1
    resource.prlimit(first.pid, resource.RLIMIT_NOFILE, before)
    third = start()
    assert first.wait(20) == 0
    assert first.stderr is not None and "the next rproxy cannot take over: Too many open files" in first.stderr.read()
    assert answers(tmp_path, third)


def test_one_of_several_workers_that_is_killed_while_it_drains_leaves_none_that_writes(
    start: Start, servers: Cluster, tmp_path: Path
) -> None:
    first = start("--timeouts.drain", "1h", "--workers", "2")
    eventually(lambda: ready(tmp_path), "the first one answers", within=20)
    with Wire(f"{tmp_path}/clients") as blocked:
        blocked.send(b"*3\r\n$5\r\nBLPOP\r\n$1\r\nq\r\n$1\r\n0\r\n")
        eventually(servers.leader.blocked_clients, "the leader blocks it")
        second = start()
        eventually(lambda: answers(tmp_path, second), "the second one answers", within=20)
        first.kill()
        first.wait()
        eventually(lambda: at_a_replica(tmp_path), "replicas are read", within=20)
        assert not servers.leader.blocked_clients()


def test_while_one_takes_over_another_is_told_so(start: Start, servers: Cluster, tmp_path: Path) -> None:
    first = start("--timeouts.drain", "1h")
    eventually(lambda: answers(tmp_path, first), "the first one answers", within=20)
    with Wire(f"{tmp_path}/clients") as blocked:
        blocked.send(b"*3\r\n$5\r\nBLPOP\r\n$1\r\nq\r\n$1\r\n0\r\n")
        eventually(servers.leader.blocked_clients, "the leader blocks it")
        second = start()
        eventually(lambda: answers(tmp_path, second), "the second one answers", within=20)
        with Wire(f"{tmp_path}/clients") as wire:
            assert b'"takeover": true' in wire.ask("RPROXY", "STATUS")
        third = start()
        assert third.wait(20) == 1
        assert third.stderr is not None and "does not hand over" in third.stderr.read()
        assert not at_a_replica(tmp_path), "the first one may write yet"
        first.kill()
        first.wait()
    eventually(lambda: at_a_replica(tmp_path), "replicas are read", within=20)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_administrators_pause_goes_on_in_the_next_one(start: Start, tmp_path: Path, workers: str) -> None:
    first = start("--workers", workers)
    eventually(lambda: ready(tmp_path), "administrators are answered", within=20)
    assert ask(f"unix://{tmp_path}/admin", "/api/pause?for=60s", "POST").status == 200
    second = start("--workers", workers)
    assert first.wait(20) == 0
    eventually(lambda: ready(tmp_path), "administrators are answered", within=20)
    with Wire(f"{tmp_path}/clients", timeout=0.5) as wire:
        wire.send(b"SET k v\r\n")
        with pytest.raises(TimeoutError):
            wire.frame()
        assert ask(f"unix://{tmp_path}/admin", "/api/resume", "POST").status == 200
        assert wire.frame() == b"+OK\r\n"
    assert second.poll() is None


def test_who_listens_as_another_user_at_the_path_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "takeover")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        monkeypatch.setattr("rproxy.service.takeover.user_of", lambda connection: 12345)
        with pytest.raises(OSError, match="belongs to another user's process"):
            _take(path)
