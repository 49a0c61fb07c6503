"""Blocked clients whose command is served by another client's write: once that write is answered, reads show all that it set off."""

from __future__ import annotations

import pytest

from tests.freshness.conftest import read_by_replicas
from tests.freshness.twin import Twins
from tests.integration.harness import Proxy
from tests.integration.servers import LaggingCluster, Node
from tests.integration.wire import eventually, pack

# What waits (each on a client of its own), what is written, what is read then.
SERVED: dict[str, tuple[list[str], list[str], list[str]]] = {
    "BLMOVE": (["BLMOVE q to LEFT LEFT 0"], ["RPUSH q x"], ["LRANGE to 0 -1", "EXISTS q", "LLEN to"]),
    "BRPOPLPUSH": (["BRPOPLPUSH q to 0"], ["LPUSH q x y"], ["LRANGE to 0 -1", "LRANGE q 0 -1"]),
    "a chain of moves": (["BLMOVE q r LEFT LEFT 0", "BLMOVE r s LEFT LEFT 0"], ["RPUSH q x"], ["EXISTS q r", "LRANGE s 0 -1"]),
    "BLPOP": (["BLPOP q 0"], ["RPUSH q x y"], ["LRANGE q 0 -1"]),
    "BLPOP of all": (["BLPOP q 0"], ["RPUSH q x"], ["EXISTS q", "DBSIZE"]),
    "BLMPOP": (["BLMPOP 0 2 q p LEFT COUNT 2"], ["RPUSH q x y z"], ["LRANGE q 0 -1"]),
    "BZPOPMIN": (["BZPOPMIN z 0"], ["ZADD z 1 x 2 y"], ["ZRANGE z 0 -1", "ZCARD z"]),
    "BZMPOP": (["BZMPOP 0 1 z MAX"], ["ZADD z 1 x 2 y"], ["ZRANGE z 0 -1"]),
    "XREADGROUP": (["XREADGROUP GROUP g c BLOCK 0 STREAMS x >"], ["XADD x 5-1 f v"], ["XPENDING x g", "XLEN x"]),
    "a push in MULTI": (["BLMOVE q to LEFT LEFT 0"], ["MULTI", "RPUSH q x", "EXEC"], ["LRANGE to 0 -1"]),
    "a push by a script": (["BLMOVE q to LEFT LEFT 0"], ["EVAL \"redis.call('RPUSH', 'q', 'x')\" 0"], ["LRANGE to 0 -1"]),
    "a list that gets the name": (
        ["BLMOVE q to LEFT LEFT 0"],
        ["RPUSH other x", "RENAME other q"],
        ["LRANGE to 0 -1", "EXISTS other"],
    ),
    "a sorted list": (["BLPOP q 0"], ["RPUSH other 2 1", "SORT other STORE q"], ["LRANGE q 0 -1"]),
}


def wait(twins: Twins, servers: LaggingCluster, oracle: Node, command: str) -> None:
    """One more client that waits, here and there."""
    before = [server.blocked_clients() for server in (servers.leader, oracle)]
    twins.client().send([command])
    eventually(
        lambda: [server.blocked_clients() - 1 for server in (servers.leader, oracle)] == before, "both block it", pause=0.002
    )


def run(name: str, proxy: Proxy, servers: LaggingCluster, oracle: Node) -> list[str]:
    waiting, write, read = SERVED[name]
    for server in (servers.leader, oracle):
        server.call("XGROUP", "CREATE", "x", "g", "0", "MKSTREAM")
    servers.settle()
    with Twins(proxy.address, oracle.address) as twins:
        writer, reader = twins.client(), twins.client()
        read_by_replicas(proxy, servers)
        for command in waiting:
            wait(twins, servers, oracle, command)
        servers.hold()
        writer.run(*write)
        for client in (reader, writer):
            client.run(*read)
        for client, command in zip(twins.clients[2:], waiting, strict=True):
            client.compare([command])
            client.run(*read)
        servers.let_go()
        while not servers.settled():
            reader.run(*read)
        return twins.wrong


@pytest.mark.parametrize("name", SERVED)
def test_reads_show_what_a_push_to_a_blocked_client_set_off(
    proxy: Proxy, servers: LaggingCluster, oracle: Node, name: str
) -> None:
    assert run(name, proxy, servers, oracle) == []


def test_these_tests_would_find_stale_reads(careless: Proxy, servers: LaggingCluster, oracle: Node) -> None:
    for name in ("BLMOVE", "BZPOPMIN", "a push by a script"):
        assert run(name, careless, servers, oracle)
        servers.empty()
        oracle.call("FLUSHALL")


def test_a_push_beside_rproxy_is_seen_by_everybody_once_the_blocked_client_has_its_reply(
    proxy: Proxy, servers: LaggingCluster, oracle: Node
) -> None:
    with Twins(proxy.address, oracle.address) as twins:
        reader = twins.client()
        read_by_replicas(proxy, servers)
        wait(twins, servers, oracle, "BLMOVE q to LEFT LEFT 0")
        servers.hold()
        for server in (servers.leader, oracle):
            server.call("RPUSH", "q", "x")
        twins.clients[1].compare(["BLMOVE q to LEFT LEFT 0"])
        reader.run("LRANGE to 0 -1")
        reader.run("EXISTS q to")
        assert twins.wrong == []


def test_clients_that_wait_take_no_other_key_from_the_replicas(proxy: Proxy, servers: LaggingCluster, oracle: Node) -> None:
    with Twins(proxy.address, oracle.address) as twins:
        read_by_replicas(proxy, servers)
        for number in range(5):
            wait(twins, servers, oracle, f"BLMOVE q{number} to{number} LEFT LEFT 0")
        before = servers.leader.calls("llen")
        twins.client().run(*[f"LLEN other{number}" for number in range(200)])
        assert servers.leader.calls("llen") == before


@pytest.mark.parametrize("end", ["time", "close", "abort"])
def test_keys_of_a_client_that_waited_in_vain_are_read_from_replicas_again(
    proxy: Proxy, servers: LaggingCluster, end: str
) -> None:
    with proxy.connect() as waiting:
        waiting.send(pack("BLMOVE", "q", "to", "LEFT", "LEFT", "0.1"))
        eventually(servers.leader.blocked_clients, "the leader blocks it", pause=0.002)
        if end == "time":
            waiting.frame()
        else:
            getattr(waiting, end)()

    def not_by_the_leader() -> bool:
        before = servers.leader.calls("llen")
        with proxy.connect() as wire:
            for _ in range(10):
                assert wire.ask("LLEN", "to") == b":0\r\n"
        return servers.leader.calls("llen") == before

    eventually(not_by_the_leader, "reads of its keys go to the replicas")
