"""Several workers: they share the clients, one that dies is replaced and shows nobody the past, and all end when they should."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.load import Load, planted, read
from tests.freshness.registers import Registers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, lagging_cluster
from tests.integration.wire import Wire, eventually, value_of

WORKERS = 3


@pytest.fixture
def proxy(servers: Cluster) -> Iterator[Proxy]:
    with rproxy(servers, "--workers", str(WORKERS)) as started:
        eventually(lambda: "listening on" in started.log(), "every worker has begun")
        yield started


def workers(proxy: Proxy) -> list[int]:
    """The workers' process ids."""
    children = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text().split()
    return [int(child) for child in children]


def replaced(proxy: Proxy, process: int, count: int = WORKERS) -> bool:
    return process not in workers(proxy) and len(workers(proxy)) == count


def status(wire: Wire) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wire.call("RPROXY", "STATUS"))
    return found


def worker_of(wire: Wire) -> int:
    number: int = status(wire)["worker"]
    return number


def gone(process: int) -> bool:
    """It has ended; as a zombie too."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextlib.contextmanager
def clients(proxy: Proxy, count: int) -> Iterator[list[Wire]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(proxy.connect()) for _ in range(count)]


@contextlib.contextmanager
def clients_of_all(proxy: Proxy, count: int) -> Iterator[list[Wire]]:
    """Clients of which every worker has some: the first ones may come while a worker still begins."""
    found: list[Wire] = []

    def spread() -> bool:
        for wire in found:
            wire.close()
        found[:] = [proxy.connect() for _ in range(count)]
        return len({worker_of(wire) for wire in found}) == WORKERS

    eventually(spread, "every worker has some clients")
    yield found
    for wire in found:
        wire.close()


def test_clients_are_shared_by_all_workers(proxy: Proxy) -> None:
    def shared() -> bool:
        with clients(proxy, 90) as wires:
            shares = Counter(worker_of(wire) for wire in wires)
            return len(shares) == WORKERS and min(shares.values()) >= 0.8 * max(shares.values())

    eventually(shared, "each has as many, within 20 %")


def test_ids_are_given_once_and_the_status_of_any_worker_counts_all(proxy: Proxy) -> None:
    with clients(proxy, 12) as wires:
        ids = {wire.call("CLIENT", "ID") for wire in wires}
        assert len(ids) == 12
        assert [status(wire)["clients"] for wire in wires] == [12] * 12
        for wire in wires:
            wire.call("SET", "k", "v")
        eventually(lambda: all(status(wire)["servers"][0]["writes"] >= 12 for wire in wires), "every worker knows of all writes")


def test_a_list_of_clients_is_of_all_workers_and_in_order(proxy: Proxy) -> None:
    with clients_of_all(proxy, 9) as wires:
        ids = sorted(int(wire.call("CLIENT", "ID")) for wire in wires)
        for wire in wires:
            listed = [int(line.split()[0].removeprefix(b"id=")) for line in wire.call("CLIENT", "LIST").splitlines()]
            assert listed == ids
        assert wires[0].call("CLIENT", "LIST", "ID", str(ids[4]), str(ids[7])).count(b"id=") == 2
        assert wires[0].call("CLIENT", "LIST", "TYPE", "pubsub") == b""


def test_a_client_is_killed_whatever_worker_it_has(proxy: Proxy) -> None:
    with clients_of_all(proxy, 9) as wires:
        killer, *others = wires
        for wire in others[:4]:
            assert killer.call("CLIENT", "KILL", "ID", str(wire.call("CLIENT", "ID"))) == 1
            assert wire.until_closed() == (b"", True)
        for wire in others[4:]:
            wire.ask("CLIENT", "SETNAME", "doomed")
        assert killer.call("CLIENT", "KILL", "NAME", "doomed") == len(others) - 4
        assert killer.call("CLIENT", "KILL", "NAME", "doomed") == 0
        assert killer.ask("CLIENT", "KILL", "1.2.3.4:5") == b"-ERR No such client\r\n"


def test_invalidations_are_told_to_a_client_whatever_worker_it_has(proxy: Proxy) -> None:
    with clients_of_all(proxy, 9) as wires:
        told, writer, *readers = wires
        identity = str(told.call("CLIENT", "ID"))
        told.ask("SUBSCRIBE", "__redis__:invalidate")
        for number, wire in enumerate(readers):
            assert wire.ask("CLIENT", "TRACKING", "ON", "REDIRECT", identity) == b"+OK\r\n"
            assert wire.call("CLIENT", "GETREDIR") == int(identity)
            wire.ask("GET", f"k{number}")
            writer.ask("SET", f"k{number}", "v")
            assert value_of(told.frame()) == [b"message", b"__redis__:invalidate", [b"k%d" % number]]
        assert writer.ask("CLIENT", "TRACKING", "ON", "REDIRECT", "999999").startswith(b"-ERR The client ID")


def test_a_client_is_unblocked_whatever_worker_it_has(proxy: Proxy, servers: Cluster) -> None:
    with clients_of_all(proxy, 6) as wires:
        waker, *sleepers = wires
        ids = [str(wire.call("CLIENT", "ID")) for wire in sleepers]
        for wire in sleepers:
            wire.send(b"BLPOP nothing 0\r\n")
        eventually(lambda: servers.leader.call("CLIENT", "LIST").count(b"cmd=blpop") == len(sleepers), "all are blocked")
        for number, (wire, identity) in enumerate(zip(sleepers, ids, strict=True)):
            assert waker.call("CLIENT", "UNBLOCK", identity, "ERROR" if number % 2 else "TIMEOUT") == 1
            assert wire.frame() == (b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n" if number % 2 else b"*-1\r\n")
            assert waker.call("CLIENT", "UNBLOCK", identity) == 0
        assert waker.call("CLIENT", "UNBLOCK", "987654321") == 0


def test_a_pause_holds_writes_of_all_workers_and_nobody_else(proxy: Proxy) -> None:
    with clients_of_all(proxy, 2 * WORKERS) as wires:
        assert wires[0].ask("CLIENT", "PAUSE", "60000", "WRITE") == b"+OK\r\n"
        writers, readers = wires[1 : 1 + WORKERS], wires[1 + WORKERS :]
        for number, wire in enumerate(writers):
            wire.send(b"SET paused:%d v\r\n" % number)
        for wire in (*readers, wires[0]):
            assert wire.ask("GET", "planted:1") == planted(1)
            assert wire.ask("GET", "paused:0") == b"$-1\r\n"
        assert wires[0].ask("CLIENT", "UNPAUSE") == b"+OK\r\n"
        for wire in writers:
            assert wire.frame() == b"+OK\r\n"


def test_there_are_no_more_clients_in_all_workers_than_there_may_be(servers: Cluster) -> None:
    with rproxy(servers, "--workers", "2", "--limits.clients", "6") as proxy, clients(proxy, 6) as wires:
        for wire in wires:
            assert wire.ask("PING") == b"+PONG\r\n"
        with proxy.connect() as one_more:
            assert one_more.frame().startswith(b"-ERR max number of clients reached")


def test_a_worker_that_dies_is_replaced_and_the_clients_of_the_others_notice_nothing(proxy: Proxy) -> None:
    with clients(proxy, 3 * WORKERS) as wires:
        here = {wire: worker_of(wire) for wire in wires}
        victim, process = status(wires[0])["worker"], status(wires[0])["process"]
        os.kill(process, signal.SIGKILL)
        eventually(partial(replaced, proxy, process), "another takes its place")
        for wire, worker in here.items():
            if worker != victim:
                assert wire.ask("GET", "planted:1") == planted(1)
        eventually(lambda: serves(proxy, victim), "the new one serves")
    assert f"worker {victim} has died, killed by SIGKILL" in proxy.log()


def serves(proxy: Proxy, worker: int) -> bool:
    with clients(proxy, 2 * WORKERS) as wires:
        return worker in {worker_of(wire) for wire in wires} and all(wire.ask("GET", "planted:2") == planted(2) for wire in wires)


def test_no_read_shows_the_past_while_workers_die() -> None:
    with lagging_cluster(0.02) as servers, rproxy(servers, "--workers", "2") as proxy:
        with Registers(proxy, rest=0.01) as registers:
            for turn in range(3):
                registers.go_on(500)
                victim = workers(proxy)[turn % 2]
                os.kill(victim, signal.SIGKILL)
                eventually(partial(replaced, proxy, victim, 2), "another takes its place")
            registers.go_on(1000)
        assert registers.stale == []
        assert not [error for error in registers.errors if "never written" in error]


def test_a_worker_that_stands_still_keeps_nobody_from_following_the_next_leader(proxy: Proxy, servers: Cluster) -> None:
    one, two = servers.replicas
    with clients(proxy, 2 * WORKERS) as wires:
        stopped = status(wires[0])["process"]
        awake = [wire for wire in wires if status(wire)["process"] != stopped]
        os.kill(stopped, signal.SIGSTOP)
        servers.leader.kill()
        one.call("REPLICAOF", "NO", "ONE")
        two.call("REPLICAOF", "127.0.0.1", str(one.port))
        for number, wire in enumerate(awake):
            eventually(lambda wire=wire, number=number: wire.ask("SET", f"k{number}", "v") == b"+OK\r\n", "writes go on")  # type: ignore[misc]
    eventually(lambda: gone(stopped), "the one that does not answer is killed")
    eventually(lambda: len(workers(proxy)) == WORKERS, "another takes its place")
    assert "does not leave the last leader" in proxy.log()


def test_reads_go_on_while_the_leader_is_gone_and_the_supervisor_stands_still(proxy: Proxy, servers: Cluster) -> None:
    with clients_of_all(proxy, 2 * WORKERS) as wires:
        assert wires[0].ask("SET", "k", "v") == b"+OK\r\n"
        eventually(lambda: all(server.call("GET", "k") == b"v" for server in servers.replicas), "the replicas have it")
        os.kill(proxy.process.pid, signal.SIGSTOP)
        try:
            servers.leader.kill()
            for wire in wires:
                eventually(lambda wire=wire: wire.ask("GET", "k") == b"$1\r\nv\r\n", "a replica answers")  # type: ignore[misc]
        finally:
            os.kill(proxy.process.pid, signal.SIGCONT)


def test_no_client_is_refused_while_a_worker_is_replaced(proxy: Proxy) -> None:
    with Load(proxy, read) as load:
        victim = workers(proxy)[1]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: gone(victim), "it has died, and the clients with it that it had accepted")
        for _ in range(60):
            with proxy.connect() as wire:
                assert wire.ask("GET", "planted:3") == planted(3)
        load.moves_on(100)


def test_what_is_in_flight_is_answered_before_all_end(proxy: Proxy, servers: Cluster) -> None:
    processes = workers(proxy)
    with clients(proxy, WORKERS) as wires:
        for number, wire in enumerate(wires):
            wire.send(b"BLPOP q%d 0\r\n" % number)
        eventually(lambda: servers.leader.call("CLIENT", "LIST").count(b"cmd=blpop") == WORKERS, "all are blocked")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: not listens(proxy), "nobody is accepted any more")
        for number, wire in enumerate(wires):
            servers.leader.call("RPUSH", f"q{number}", "x")
            assert wire.frame() == b"*2\r\n$2\r\nq%d\r\n$1\r\nx\r\n" % number
    assert proxy.wait(within=10) == 0
    assert all(map(gone, processes))


def test_a_second_signal_ends_all_at_once(proxy: Proxy, servers: Cluster) -> None:
    processes = workers(proxy)
    with proxy.connect() as wire:
        wire.send(b"BLPOP q 0\r\n")
        eventually(lambda: b"cmd=blpop" in servers.leader.call("CLIENT", "LIST"), "it is blocked")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: not listens(proxy), "nobody is accepted any more")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait(within=10) == 128 + signal.SIGTERM
    assert all(map(gone, processes))


def test_workers_do_not_outlive_the_supervisor(proxy: Proxy) -> None:
    processes = workers(proxy)
    proxy.process.kill()
    proxy.process.wait()
    eventually(lambda: all(map(gone, processes)), "they end")


def test_one_that_stands_still_does_not_keep_the_listener_when_the_supervisor_has_gone(proxy: Proxy) -> None:
    stopped = workers(proxy)[0]
    os.kill(stopped, signal.SIGSTOP)
    proxy.process.kill()
    proxy.process.wait()
    eventually(lambda: gone(stopped), "it ends")


def listens(proxy: Proxy) -> bool:
    try:
        socket.create_connection(("127.0.0.1", proxy.port), timeout=2).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_worker_that_hangs_is_killed_and_replaced(proxy: Proxy) -> None:
    hanging = workers(proxy)[0]
    os.kill(hanging, signal.SIGSTOP)
    eventually(lambda: replaced(proxy, hanging), "another has taken its place", within=30)
    assert "hangs, it has not answered" in proxy.log()
