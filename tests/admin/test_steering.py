"""Pauses, drained replicas and killed clients, by HTTP and by the commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rproxy.embedded import free_port
from tests.admin.asking import answers, ask
from tests.integration.harness import REPOSITORY, Proxy, rproxy
from tests.integration.servers import Cluster
from tests.integration.wire import eventually, pack


def steer(*words: str) -> tuple[int, str]:
    """The exit code of a command, and its one line."""
    done = subprocess.run([sys.executable, "-m", "rproxy", *words], capture_output=True, text=True, timeout=60, cwd=REPOSITORY)
    assert (done.stdout + done.stderr).count("\n") == 1
    return done.returncode, (done.stdout + done.stderr).strip()


def workers(proxy: Proxy) -> list[int]:
    """The process ids of its workers."""
    children = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text().split()
    return [int(child) for child in children if b"rproxy.service.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def why(admin: str, at: int) -> str:
    return str(ask(admin, "/api/status").json["servers"][at]["why"])


@pytest.fixture(scope="module")
def of_two(servers: Cluster) -> Iterator[tuple[Proxy, str]]:
    """An rproxy of two workers, and its admin listener."""
    admin = f"tcp://127.0.0.1:{free_port()}"
    with rproxy(servers, "--workers", "2", admin=admin) as proxy:
        eventually(lambda: answers(admin), "it answers")
        yield proxy, admin


def test_a_pause_holds_the_clients_of_all_workers_until_it_is_ended(of_two: tuple[Proxy, str], servers: Cluster) -> None:
    proxy, admin = of_two
    with proxy.connect() as one, proxy.connect() as other:
        for wire in (one, other):
            wire.ask("SET", "k", "before")
        assert ask(admin, "/api/pause?for=60s", "POST").json == {"done": "paused for 1m; nothing is under way"}
        writes = servers.leader.calls("set")
        for wire in (one, other):
            wire.send(pack("SET", "k", "in the pause"))
        with proxy.connect() as late:
            late.send(pack("GET", "k"))
            assert 0 < ask(admin, "/api/status").json["paused_s"] <= 60
            assert servers.leader.calls("set") == writes and servers.leader.call("GET", "k") == b"before"
            assert ask(admin, "/api/resume", "POST").status == 200
            assert one.frame() == other.frame() == b"+OK\r\n" and late.frame().startswith(b"$")
    assert servers.leader.calls("set") == writes + 2
    assert ask(admin, "/api/resume", "POST") == (409, '{"error":"there is no pause"}')


def test_a_worker_that_begins_in_a_pause_holds_its_clients_too(of_two: tuple[Proxy, str]) -> None:
    proxy, admin = of_two
    assert ask(admin, "/api/pause?for=60s", "POST").status == 200
    first, second = workers(proxy)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(workers(proxy)) == 2 and first not in workers(proxy), "it is replaced")
    os.kill(second, signal.SIGKILL)  # whoever connects now is a new one's client
    with proxy.connect() as one, proxy.connect() as other:
        for wire in (one, other):
            wire.send(pack("PING"))
            with pytest.raises(TimeoutError):
                wire.socket.settimeout(0.2)
                wire.frame()
            wire.socket.settimeout(10)
        assert ask(admin, "/api/resume", "POST").status == 200
        assert one.frame() == other.frame() == b"+PONG\r\n"


def test_a_pause_ends_by_itself(proxy: Proxy, admin: str) -> None:
    assert ask(admin, "/api/pause?for=100ms", "POST").status == 200
    with proxy.connect() as wire:
        assert wire.ask("PING") == b"+PONG\r\n"


@pytest.mark.parametrize(("given", "status"), [("1h", 409), ("0s", 400), ("soon", 400), ("5", 400)])
def test_a_pause_has_an_end_that_makes_sense(proxy: Proxy, admin: str, given: str, status: int) -> None:
    assert ask(admin, f"/api/pause?for={given}", "POST").status == status


def test_a_drained_replica_gets_no_new_reads_until_it_is_ready(proxy: Proxy, admin: str, servers: Cluster) -> None:
    name = f"127.0.0.1:{servers.replicas[0].port}"
    assert steer("drain", name, "--admin", admin) == (0, f"{name} is drained; 1 replica is read")
    assert why(admin, 1) == "is not read: an administrator has drained it"
    before = servers.replicas[0].calls("exists")
    with proxy.connect() as wire:
        for _ in range(20):
            wire.ask("EXISTS", "nothing")
    assert servers.replicas[0].calls("exists") == before
    assert steer("drain", name, "--admin", admin) == (1, f"rproxy: {name} is drained already")
    assert steer("ready", f"redis://{name}", "--admin", admin)[0] == 0
    eventually(lambda: why(admin, 1) == "is read", "it is read again")


def test_the_leader_and_strangers_are_not_drained(proxy: Proxy, admin: str, servers: Cluster) -> None:
    leader = f"127.0.0.1:{servers.leader.port}"
    code, said = steer("drain", leader, "--admin", admin)
    assert code == 1 and said == f"rproxy: {leader} leads: who would take the writes? Promote another server first"
    refusal = ask(admin, "/api/drain?server=redis://:secret@nobody:1", "POST")
    assert refusal.status == 404 and leader in refusal.json["error"] and "secret" not in refusal.text
    assert ask(admin, "/api/ready", "POST") == (400, '{"error":"?server= is missing"}')


def test_a_client_of_any_worker_is_killed_by_its_id(of_two: tuple[Proxy, str]) -> None:
    proxy, admin = of_two
    with proxy.connect() as one, proxy.connect() as other:
        for wire in (one, other):
            number = str(wire.call("CLIENT", "ID"))
            assert steer("kill", number, "--admin", admin) == (0, f"client {number} is closed")
            assert wire.until_closed() == (b"", True)
            assert steer("kill", number, "--admin", admin) == (1, f"rproxy: no client {number}")


def test_the_commands_find_the_listener_in_the_settings(proxy: Proxy, admin_socket: str) -> None:
    code, said = steer("resume", "--admin.listen", admin_socket)
    assert (code, said) == (1, "rproxy: there is no pause"), "over a unix socket"


def test_nothing_is_changed_by_asking(proxy: Proxy, admin: str) -> None:
    for name in ("pause", "resume", "drain", "ready", "kill"):
        assert ask(admin, f"/api/{name}").status == 405
