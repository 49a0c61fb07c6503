"""Clients that ask for much and read nothing: they cost bounded memory, and nobody else waits."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.load import Load, plant, read
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import pack

MB = 1 << 20


@pytest.fixture
def servers() -> Iterator[Cluster]:
    with cluster() as started:
        plant(started)
        started.leader.call("SET", "large", b"x" * MB)
        started.settle()
        yield started


@pytest.fixture
def proxy(servers: Cluster) -> Iterator[Proxy]:
    with rproxy(servers, "--limits.session_output", "8mb") as started:
        yield started


def grown(proxy: Proxy, servers: Cluster, question: bytes, clients: int) -> int:
    """By how many bytes rproxy's peak memory grew while `clients` asked and never read, with others reading
    beside them.
    """
    with Load(proxy, read, clients=2) as load:
        before = proxy.resident("VmHWM")
        deaf = [proxy.connect() for _ in range(clients)]
        for wire in deaf:
            wire.send(question)
        began = time.monotonic()
        while time.monotonic() - began < 2:
            load.moves_on(100)
        after = proxy.resident("VmHWM")
        for wire in deaf:
            wire.abort()
    assert load.failures == []
    return after - before


def test_a_client_that_asks_for_200_mb_and_never_reads_costs_no_more_than_its_limit(proxy: Proxy, servers: Cluster) -> None:
    # The limit, one reply, and what the allocator and the reads on their way may hold.
    assert grown(proxy, servers, pack("GET", "large") * 200, clients=1) < 8 * MB + 1 * MB + 24 * MB


def test_it_costs_no_more_on_the_leader(servers: Cluster) -> None:
    with rproxy(servers, "--limits.session_output", "8mb", "--consistency", "leader") as proxy:
        assert grown(proxy, servers, pack("GET", "large") * 200, clients=1) < 8 * MB + 1 * MB + 24 * MB


def test_several_such_clients_cost_no_more_than_their_limits(proxy: Proxy, servers: Cluster) -> None:
    assert grown(proxy, servers, pack("GET", "large") * 200, clients=4) < 4 * (8 + 1) * MB + 32 * MB


def test_one_enormous_reply_is_not_kept_in_memory_many_times(proxy: Proxy, servers: Cluster) -> None:
    servers.leader.call("SET", "larger", b"x" * 32 * MB)
    servers.settle()
    assert grown(proxy, servers, pack("GET", "larger"), clients=1) < 2 * 32 * MB + 16 * MB


def test_a_client_that_was_closed_for_its_output_sees_an_end(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        wire.send(pack("GET", "large") * 200)
        before = proxy.resident()
        deadline = time.monotonic() + 1
        with proxy.connect() as other:
            while time.monotonic() < deadline:
                other.ask("PING")
        # What was asked for and fits is delivered, then either everything (it reads now) or an end.
        seen, closed = wire.until_closed(lambda seen: len(seen) >= 200 * (MB + 12), quiet=5)
        assert closed or len(seen) == 200 * (MB + 12)
    assert proxy.resident() < before + 64 * MB


def test_a_hundred_thousand_small_commands_that_are_never_read_cost_little(proxy: Proxy, servers: Cluster) -> None:
    question = pack("GET", "planted:1") * 100_000
    with Load(proxy, read, clients=2) as load:
        before = proxy.resident("VmHWM")
        with proxy.connect(timeout=1) as deaf:
            try:
                deaf.send(question)
            except TimeoutError:
                pass  # rproxy stopped reading from it: as it should
            load.moves_on(500)
            assert proxy.resident("VmHWM") - before < 32 * MB
    assert load.failures == []


@pytest.mark.parametrize("consistency", ["fresh", "leader"])
@pytest.mark.parametrize("small", [0, 4096], ids=["at once", "behind small ones"])
def test_a_client_that_reads_all_the_time_gets_a_pipeline_of_large_replies(
    servers: Cluster, consistency: str, small: int
) -> None:
    with (
        rproxy(servers, "--limits.session_output", "8mb", "--consistency", consistency) as proxy,
        Load(proxy, read, clients=2) as load,
    ):
        with proxy.connect(timeout=30) as wire:
            for _ in range(small // 1024):
                wire.send(pack("GET", "nothing") * 1024)
                answered = 0
                while answered < 1024 * len(b"$-1\r\n"):
                    answered += len(wire.socket.recv(8192))
            before = proxy.resident("VmHWM")
            wire.send(pack("GET", "large") * 200)
            total, wanted = 0, 200 * (MB + len(b"$1048576\r\n\r\n"))
            while total < wanted:
                piece = wire.socket.recv(64 * 1024)
                assert piece, f"closed after {total >> 20} of {wanted >> 20} MB"
                total += len(piece)
                time.sleep(0.0005)  # slower than the servers
            load.moves_on(100)
            assert proxy.resident("VmHWM") - before < 64 * MB
    assert total == wanted
    assert load.failures == []


def test_a_client_that_reads_slowly_gets_everything(proxy: Proxy) -> None:
    with proxy.connect(timeout=30) as wire:
        for _ in range(6):
            wire.send(pack("GET", "large"))
        total, wanted = 0, 6 * (MB + len(b"$1048576\r\n\r\n"))
        while total < wanted:
            total += len(wire.socket.recv(8192))
    assert total == wanted
