"""Iterations through rproxy with real servers: whoever continues them, nothing is missed, and a server that was restarted says so."""

from __future__ import annotations

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import Wire, eventually, pack

KEYS = 100_000


def fill(servers: Cluster, *words: str, count: int) -> set[bytes]:
    """Write so many elements, `{}` in the words being the element's name."""
    names = [f"element:{number}" for number in range(count)]
    with servers.leader.direct() as wire:
        for at in range(0, count, 10_000):
            some = names[at : at + 10_000]
            wire.send(b"".join(pack(*(word.format(name) for word in words)) for name in some))
            wire.frames(len(some))
    servers.settle()
    return {name.encode() for name in names}


def iterate(clients: list[Wire], *words: str, count: int, step: int = 1) -> tuple[set[bytes], int]:
    """All that an iteration finds which the clients continue in turn, and how many steps it took. Each step is a packet with other reads around it."""
    name, *key = words
    found: set[bytes] = set()
    cursor, steps = b"0", 0
    while not steps or cursor != b"0":
        wire = clients[steps % len(clients)]
        wire.send(pack("STRLEN", "nothing") + pack(name, *key, cursor, "COUNT", count) + pack("STRLEN", "nothing"))
        before, batch, after = wire.frames(3)
        assert before == after == b":0\r\n"
        cursor, elements = _parsed(batch)
        assert int(cursor) < 1 << 63
        found.update(elements[::step])
        steps += 1
    return found, steps


def _parsed(reply: bytes) -> tuple[bytes, list[bytes]]:
    lines = reply.split(b"\r\n")
    assert lines[0] == b"*2", reply
    return lines[2], lines[5::2]


@pytest.mark.parametrize(("consistency", "workers"), [("eventual", 1), ("fresh", 1), ("fresh", 3)])
def test_three_clients_share_an_iteration_over_all_keys(servers: Cluster, consistency: str, workers: int) -> None:
    names = fill(servers, "SET", "{}", "v", count=KEYS)
    with rproxy(servers, "--consistency", consistency, "--workers", str(workers)) as proxy:
        clients = [proxy.connect() for _ in range(3)]
        calls = [node.calls("scan") for node in servers.nodes]
        found, steps = iterate(clients, "SCAN", count=30)
        assert found == names
        assert steps > 2000
        began = {steps_here for node, seen in zip(servers.nodes, calls, strict=True) if (steps_here := node.calls("scan") - seen)}
        assert began == {steps}, "one server answered every step"
        for wire in clients:
            wire.close()


@pytest.mark.parametrize(
    ("scan", "write", "step"), [("HSCAN", "HSET big {} v", 2), ("SSCAN", "SADD big {}", 1), ("ZSCAN", "ZADD big 1 {}", 2)]
)
def test_several_iterations_over_a_key_go_on_at_once_on_different_replicas(
    proxy: Proxy, servers: Cluster, scan: str, write: str, step: int
) -> None:
    names = fill(servers, *write.split(), count=5000)
    with proxy.connect() as one, proxy.connect() as two, proxy.connect() as three:

        def all_have_begun_one() -> bool:
            found, _ = iterate([one, two, three], scan, "big", count=40, step=step)
            assert found == names
            return all(node.calls(scan) for node in servers.replicas)

        eventually(all_have_begun_one, "every replica has begun an iteration", pause=0)
    assert not servers.leader.calls(scan)


def test_the_replies_are_the_leaders_but_for_the_cursor(proxy: Proxy, servers: Cluster) -> None:
    with servers.leader.direct() as direct, proxy.connect() as wire:
        for words in ("HSET small a 1", "SADD set x", "ZADD sorted 1 m", "SET text v", "HSET small b 2"):
            direct.ask(*words.split())
        servers.settle()
        lines = [
            "HSCAN small 0", "hscan small 0 MATCH a*", "HSCAN small 0 NOVALUES", "SSCAN set 0", "ZSCAN sorted 0 COUNT 5", "SCAN 0 MATCH none*",
            "SCAN 0 TYPE hash", "SCAN 0 COUNT 0", "SCAN 0 COUNT x", "SCAN abc", "HSCAN small abc", "HSCAN small", "SCAN", "HSCAN text 0",
            "HSCAN nothing 0", "SCAN 0 NOSUCH x", "SCAN -1", "SCAN 99999999999999999999999",
        ]  # fmt: skip
        for protocol in ("2", "3"):
            for connection in (direct, wire):
                connection.ask("HELLO", protocol)
            for line in lines:
                assert wire.ask(*line.split()) == direct.ask(*line.split()), line


def test_in_a_transaction_an_iteration_is_the_leaders(proxy: Proxy, servers: Cluster) -> None:
    names = fill(servers, "SADD", "big", "{}", count=1000)
    with proxy.connect() as wire:
        found: set[bytes] = set()
        cursor = b""
        while cursor != b"0":
            wire.send(pack("MULTI") + pack("SSCAN", "big", cursor or "0", "COUNT", "100") + pack("EXEC"))
            cursor, elements = _parsed(wire.frames(3)[2].removeprefix(b"*1\r\n"))
            found.update(elements)
        wire.send(pack("MULTI") + pack("SSCAN", "big", "0", "COUNT", "100") + pack("EXEC"))
        cursor, elements = _parsed(wire.frames(3)[2].removeprefix(b"*1\r\n"))
        rest, _ = _parsed(wire.ask("SSCAN", "big", cursor, "COUNT", "100000"))
    assert found == names
    assert rest == b"0"


def test_an_iteration_outlives_rproxy_but_not_its_server() -> None:
    with cluster(replicas=1) as servers:
        fill(servers, "SADD", "big", "{}", count=1000)
        with rproxy(servers, "--consistency", "eventual") as proxy, proxy.connect() as wire:
            cursor, first = _parsed(wire.ask("SSCAN", "big", "0", "COUNT", "10"))
        with rproxy(servers, "--consistency", "eventual") as proxy, proxy.connect() as wire:
            cursor, second = _parsed(wire.ask("SSCAN", "big", cursor, "COUNT", "10"))
            assert cursor != b"0" and not set(first) & set(second)
            servers.replicas[0].kill()
            assert wire.ask("SSCAN", "big", cursor).startswith(b"-ERR rproxy: ")
            servers.replicas[0].restart()
            eventually(servers.settled, "the replica is back")
            answer = eventually(
                lambda: (reply := wire.ask("SSCAN", "big", cursor)).startswith(b"-ERR rproxy: the server that began") and reply,
                "it is known that the server was restarted",
            )
    assert b"gone or was restarted" in answer and b"not executed" in answer
