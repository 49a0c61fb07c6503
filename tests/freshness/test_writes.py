"""Whatever is written, in whatever way: nobody reads the old value afterwards, on any connection, while no replica has the new one, and while
they get it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.freshness.cases import CASES, Case
from tests.freshness.conftest import LAG, read_by_replicas
from tests.freshness.twin import Twins, words_of
from tests.integration.harness import Proxy
from tests.integration.servers import LaggingCluster, Node
from tests.integration.wire import eventually


def prepare(case: Case, proxy: Proxy, servers: LaggingCluster, oracle: Node) -> None:
    """What was there before, everywhere, and not through rproxy; then the replicas stop hearing of the leader."""
    servers.let_go()
    servers.lag(0)
    for server in (servers.leader, oracle):
        with server.direct() as wire:
            for command in ["FLUSHALL", "FUNCTION FLUSH", *case.commands(case.before)]:
                reply = wire.ask(*words_of(command))
                assert not reply.startswith(b"-"), (command, reply)
    eventually(servers.settled, "the replicas have it", pause=0.001)
    read_by_replicas(proxy, servers)
    servers.hold()
    servers.lag(LAG)


@contextlib.contextmanager
def run(case: Case, proxy: Proxy, servers: LaggingCluster, oracle: Node, together: bool) -> Iterator[Twins]:
    """Write, and read on the writer's connection and on another's, while no replica hears of it."""
    write, read = case.commands(case.write), case.commands(case.read)
    with Twins(proxy.address, oracle.address) as twins:
        writer, other = twins.client(), twins.client()
        prepare(case, proxy, servers, oracle)
        for packet in [write + read] if together else [[command] for command in write + read]:
            writer.run(*packet)
        for command in read:
            other.run(command)
        yield twins


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_read_shows_what_was_there_before(proxy: Proxy, started: LaggingCluster, started_oracle: Node, case: Case) -> None:
    with run(case, proxy, started, started_oracle, together=False) as twins:
        started.let_go()
        while not started.settled():
            for client in twins.clients:
                client.run(*case.commands(case.read))
        read_by_replicas(proxy, started)
        for _ in range(3):
            twins.clients[1].run(*case.commands(case.read))
        assert twins.wrong == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_read_in_the_same_packet_as_the_write_does(
    proxy: Proxy, started: LaggingCluster, started_oracle: Node, case: Case
) -> None:
    with run(case, proxy, started, started_oracle, together=True) as twins:
        assert twins.wrong == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_these_tests_would_find_stale_reads(careless: Proxy, started: LaggingCluster, started_oracle: Node, case: Case) -> None:
    with run(case, careless, started, started_oracle, together=False) as twins:
        assert twins.wrong
