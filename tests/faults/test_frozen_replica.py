"""A replica that is stopped in the middle of its work: what waits there is read elsewhere, all but the command that it may be busy with."""

from __future__ import annotations

import select
from contextlib import ExitStack

import pytest

from tests.faults.load import planted
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster
from tests.integration.wire import Wire, eventually, pack

CLIENTS = 20


def answered(wires: list[Wire]) -> int:
    """How many have something to read."""
    return len(select.select([wire.socket for wire in wires], [], [], 0)[0])


def test_reads_that_wait_at_a_frozen_replica_are_answered_by_others_and_its_head_when_it_goes_on(
    proxy: Proxy, servers: Cluster
) -> None:
    frozen = servers.replicas[0]
    with ExitStack() as stack:
        wires = [stack.enter_context(proxy.connect()) for _ in range(CLIENTS)]
        frozen.stop()
        try:
            for number, wire in enumerate(wires):
                wire.send(pack("GET", f"planted:{number}"))
            eventually(lambda: answered(wires) >= CLIENTS - 1, "all but the head are answered")
        finally:
            frozen.cont()
        assert [wire.frame() for wire in wires] == [planted(number) for number in range(CLIENTS)]


@pytest.mark.parametrize("consistency", ["fresh", "eventual"])
def test_when_every_replica_is_frozen_the_leader_is_read(servers: Cluster, consistency: str) -> None:
    with rproxy(servers, "--consistency", consistency) as proxy, ExitStack() as stack:
        for replica in servers.replicas:
            replica.stop()
            stack.callback(replica.cont)
        wires: list[Wire] = []

        def one_more_until_probes_have_seen_it() -> bool:
            wires.append(stack.enter_context(proxy.connect()))
            wires[-1].send(pack("GET", "planted:1"))
            return all(f"replica 127.0.0.1:{replica.port} is not read" in proxy.log() for replica in servers.replicas)

        eventually(one_more_until_probes_have_seen_it, "the probes have seen it", pause=0.05)
        eventually(lambda: answered(wires) >= len(wires) - len(servers.replicas), "all but the heads are answered")


def test_with_timeouts_command_the_head_is_told_too(servers: Cluster) -> None:
    frozen = servers.replicas[0]
    with rproxy(servers, "--consistency", "eventual", "--timeouts.command", "1s") as proxy, ExitStack() as stack:
        wires = [stack.enter_context(proxy.connect()) for _ in range(CLIENTS)]
        frozen.stop()
        try:
            for wire in wires:
                wire.send(pack("GET", "planted:1"))
            replies = [wire.frame() for wire in wires]
        finally:
            frozen.cont()
        assert sum(reply != planted(1) for reply in replies) <= 1
        assert all(reply == planted(1) or b"the read was not answered" in reply for reply in replies)
