"""Scripts through rproxy with real servers: readers on replicas, caches that a client can't tell from one server's."""

from __future__ import annotations

import hashlib
import time

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import Wire, eventually, pack

READER = "#!lua flags=no-writes\nreturn redis.call('GET', KEYS[1])"
PLAIN = "return redis.call('GET', KEYS[1])"
LIBRARY = "#!lua name=lib\nredis.register_function{function_name='read', callback=function(k) return redis.call('GET', k[1]) end, flags={'no-writes'}}"


def sha(source: str) -> str:
    return hashlib.sha1(source.encode()).hexdigest()


def ran(servers: Cluster, name: str) -> tuple[int, int]:
    """How often the leader ran it, and how often the replicas did."""
    leader, *replicas = (node.calls(name) - node.calls(name, "failed_calls") for node in servers.nodes)
    return leader, sum(replicas)


@pytest.fixture(autouse=True)
def no_scripts(servers: Cluster) -> None:
    for node in servers.nodes:
        node.call("SCRIPT", "FLUSH")


@pytest.mark.parametrize(("name", "source"), [("EVAL", READER), ("EVAL_RO", PLAIN), ("EVAL_RO", READER)])
def test_readers_run_on_replicas_but_for_the_first_time(proxy: Proxy, servers: Cluster, name: str, source: str) -> None:
    source = f"{source} -- {time.time_ns()}"
    with proxy.connect() as wire:
        for _ in range(20):
            assert wire.ask(name, source, "1", "nothing") == b"$-1\r\n"
        assert wire.ask("EVALSHA", sha(source), "1", "nothing") == b"$-1\r\n"
    assert ran(servers, name) == (1, 19)


def test_a_script_that_may_write_runs_on_the_leader(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        for source in (PLAIN, "#!lua flags=allow-stale\nreturn 1"):
            for _ in range(5):
                wire.ask("EVAL", source, "1", "nothing")
    assert ran(servers, "eval") == (10, 0)


def test_script_load_reaches_every_server_and_flush_too(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        assert wire.call("SCRIPT", "LOAD", PLAIN) == sha(PLAIN).encode()
        assert [node.call("SCRIPT", "EXISTS", sha(PLAIN)) for node in servers.nodes] == [[1], [1], [1]]
        for _ in range(20):
            assert wire.ask("EVALSHA_RO", sha(PLAIN), "1", "nothing") == b"$-1\r\n"
        assert ran(servers, "evalsha_ro") == (0, 20)
        assert wire.ask("SCRIPT", "FLUSH") == b"+OK\r\n"
        assert [node.call("SCRIPT", "EXISTS", sha(PLAIN)) for node in servers.nodes] == [[0], [0], [0]]
        for _ in range(5):
            assert wire.ask("EVALSHA_RO", sha(PLAIN), "1", "nothing").startswith(b"-NOSCRIPT")


def test_scripts_that_a_transaction_forgets_are_forgotten_everywhere(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        wire.ask("SCRIPT", "LOAD", PLAIN)
        wire.send(pack("MULTI") + pack("SCRIPT", "FLUSH") + pack("EXEC") + pack("EVALSHA_RO", sha(PLAIN), "1", "nothing") * 20)
        assert wire.frames(3)[2] == b"*1\r\n+OK\r\n"
        assert all(reply.startswith(b"-NOSCRIPT") for reply in wire.frames(20))
        eventually(
            lambda: [node.call("SCRIPT", "EXISTS", sha(PLAIN)) for node in servers.nodes] == [[0]] * 3, "all have forgotten it"
        )


def test_a_script_that_only_the_leader_knows_is_run_there(proxy: Proxy, servers: Cluster) -> None:
    servers.leader.call("SCRIPT", "LOAD", PLAIN)
    with proxy.connect() as wire:
        wire.send(pack("EVALSHA_RO", sha(PLAIN), "1", "nothing") * 20 + pack("STRLEN", "nothing"))
        assert wire.frames(21) == [b"$-1\r\n"] * 20 + [b":0\r\n"]


def test_replies_are_the_leaders_own(proxy: Proxy, servers: Cluster) -> None:
    lines: list[tuple[str, ...]] = [
        ("SCRIPT", "LOAD", "this is not lua"), ("SCRIPT", "LOAD"), ("SCRIPT", "FLUSH", "SIDEWAYS"), ("SCRIPT", "FLUSH", "ASYNC"),
        ("SCRIPT", "LOAD", PLAIN), ("SCRIPT", "EXISTS", sha(PLAIN), sha("x")), ("EVAL_RO", "return redis.call('SET', KEYS[1], 'v')", "1", "k"),
        ("EVAL", "#!lua flags=no-writes\nreturn redis.call('SET', KEYS[1], 'v')", "1", "k"), ("EVAL", "#!lua flags=no-writes,nosuch\nreturn 1", "0"),
        ("EVAL", "#!lua flags=no-writes", "0"), ("EVAL", "#!nosuch flags=no-writes\nreturn 1", "0"), ("EVAL_RO", "return 1"), ("EVAL_RO", "return 1", "9"),
        ("EVALSHA_RO", sha("nothing"), "0"), ("FCALL_RO", "nosuch", "0"), ("EVAL", "#!lua flags=no-writes\nreturn {1, 'two'}", "x"),
    ]  # fmt: skip
    with servers.leader.direct() as direct, proxy.connect() as wire:
        for line in lines * 3:
            assert wire.ask(*line) == direct.ask(*line), line


def test_functions_are_known_wherever_they_are_called(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        assert wire.ask("FUNCTION", "LOAD", "REPLACE", LIBRARY) == b"$3\r\nlib\r\n"
        for _ in range(20):
            assert wire.ask("FCALL_RO", "read", "1", "nothing") == b"$-1\r\n"
        servers.settle()
        for _ in range(20):
            assert wire.ask("FCALL_RO", "read", "1", "nothing") == b"$-1\r\n"
        assert wire.ask("FUNCTION", "FLUSH") == b"+OK\r\n"
    assert ran(servers, "fcall_ro")[1] >= 20


def test_a_large_reader_is_the_leaders(proxy: Proxy, servers: Cluster) -> None:
    source = f"{READER} -- {'x' * 300_000}"
    with proxy.connect() as wire:
        for _ in range(3):
            assert wire.ask("EVAL", source, "1", "nothing") == b"$-1\r\n"
    assert ran(servers, "eval") == (3, 0)


def test_a_replica_that_was_away_for_a_flush_gets_it_when_it_is_back() -> None:
    with cluster(replicas=1) as servers, rproxy(servers, "--consistency", "eventual") as proxy, proxy.connect() as wire:
        wire.ask("SCRIPT", "LOAD", PLAIN)
        (replica,) = servers.replicas
        replica.stop()
        try:
            assert wire.ask("SCRIPT", "FLUSH") == b"+OK\r\n"
        finally:
            replica.cont()
        eventually(lambda: replica.call("SCRIPT", "EXISTS", sha(PLAIN)) == [0], "the replica has forgotten the script")
        assert wire.ask("EVALSHA_RO", sha(PLAIN), "1", "nothing").startswith(b"-NOSCRIPT")
        _read_again(wire, servers)


def _read_again(wire: Wire, servers: Cluster) -> None:
    def so() -> bool:
        before = servers.replicas[0].calls("strlen")
        wire.ask("STRLEN", "nothing")
        return servers.replicas[0].calls("strlen") > before

    eventually(so, "the replica is read again")
