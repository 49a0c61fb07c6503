"""Clients as clients see them, and what ends what, on real servers."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster
from tests.integration.wire import Wire, eventually, pack


def gone(wire: Wire) -> bool:
    try:
        return not wire.ask("PING")
    except (OSError, EOFError):
        return True


def test_a_client_is_listed_with_its_own_address_and_killed_by_it(proxy: Proxy) -> None:
    with proxy.connect() as wire, proxy.connect() as other:
        host, port = other.socket.getsockname()
        assert other.ask("CLIENT", "SETNAME", "bob") == b"+OK\r\n"
        (line,) = [line for line in wire.ask("CLIENT", "LIST").split(b"\n") if b"name=bob" in line]
        assert f"addr={host}:{port}".encode() in line
        assert f"laddr=127.0.0.1:{proxy.port}".encode() in line
        assert wire.ask("CLIENT", "KILL", "ADDR", f"{host}:{port}") == b":1\r\n"
        assert gone(other)
        assert wire.ask("PING") == b"+PONG\r\n"


@pytest.mark.parametrize(
    "words",
    [("CLIENT", "KILL", "COLOUR"), ("CLIENT", "KILL", "ID", "0"), ("CLIENT", "LIST", "TYPE", "x"), ("CLIENT", "UNBLOCK", "x")],
)
def test_errors_are_the_servers_own(strict: Proxy, servers: Cluster, words: tuple[str, ...]) -> None:
    with strict.connect() as wire, servers.leader.direct() as direct:
        reply = wire.ask(*words)
        assert reply.startswith(b"-ERR")
        assert reply == direct.ask(*words)


def test_a_busy_script_is_killed_by_another_client_and_others_are_told(strict: Proxy, servers: Cluster) -> None:
    servers.leader.call("CONFIG", "SET", "busy-reply-threshold", "50")
    with strict.connect() as busy, strict.connect() as other:
        busy.send(pack("SET", "k", "v") + pack("EVAL", "while true do end", "0"))
        assert busy.frame() == b"+OK\r\n"
        eventually(lambda: other.ask("GET", "k").startswith(b"-BUSY"), "others are told that it is busy")
        assert other.ask("SCRIPT", "KILL") == b"+OK\r\n"
        assert b"killed" in busy.frame()
        assert busy.ask("PING") == b"+PONG\r\n"
        eventually(lambda: other.ask("GET", "k") == b"$1\r\nv\r\n", "it is busy no more")


def test_a_pause_holds_back_writes_alone_and_ends_when_it_is_ended(strict: Proxy) -> None:
    with strict.connect() as wire, strict.connect() as other:
        assert wire.ask("CLIENT", "PAUSE", "60000", "WRITE") == b"+OK\r\n"
        other.send(pack("SET", "k", "v"))
        assert wire.ask("GET", "k") == b"$-1\r\n"
        assert wire.ask("CLIENT", "UNPAUSE") == b"+OK\r\n"
        assert other.frame() == b"+OK\r\n"


@pytest.mark.parametrize("workers", ["1", "3"])
@pytest.mark.parametrize("mode", [(), ("ALL",)], ids=["", "ALL"])
def test_a_pause_of_everything_is_waited_out_by_all_and_can_be_ended(
    servers: Cluster, mode: tuple[str, ...], workers: str
) -> None:
    with rproxy(servers, "--workers", workers, "--timeouts.probe_interval", "50ms") as proxy, ExitStack() as stack:
        wires = [stack.enter_context(proxy.connect()) for _ in range(6)]
        assert [wire.ask("SET", "k", "v") for wire in wires] == [b"+OK\r\n"] * 6
        assert wires[0].ask("CLIENT", "PAUSE", "3600000", *mode) == b"+OK\r\n"
        for wire in wires[:4]:
            wire.send(pack("GET", "k") + pack("INCR", "n"))
        wires[4].send(pack("MULTI") + pack("INCR", "n") + pack("EXEC"))
        servers.leader.forget()
        eventually(
            lambda: servers.leader.calls("info") > 30, "probes go on for as long as a write waits for a leader that is away"
        )
        assert wires[5].ask("CLIENT", "UNPAUSE") == b"+OK\r\n"
        replies = [wire.frames(2) for wire in wires[:4]]
        assert [first for first, _ in replies] == [b"$1\r\nv\r\n"] * 4
        assert wires[4].frames(3)[:2] == [b"+OK\r\n", b"+QUEUED\r\n"]
        assert wires[0].ask("GET", "n") == b"$1\r\n5\r\n"


@pytest.mark.parametrize("version", ["2", "3"])
def test_a_subscriber_that_has_ended_its_subscriptions_shares_connections_again(
    proxy: Proxy, servers: Cluster, version: str
) -> None:
    with proxy.connect() as wire, proxy.connect() as other:
        wire.ask("HELLO", version)
        mark = b">" if version == "3" else b"*"
        assert wire.ask("SUBSCRIBE", "news") == mark + b"3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
        assert other.ask("PUBLISH", "news", "x") == b":1\r\n"
        assert wire.frame() == mark + b"3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"
        assert wire.ask("UNSUBSCRIBE") == mark + b"3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n"
        assert b"flags=N" in wire.ask("CLIENT", "INFO")
        before = sum(node.calls("get") for node in servers.replicas)
        wire.ask("GET", "k")
        assert sum(node.calls("get") for node in servers.replicas) == before + 1


def test_a_user_without_the_right_lists_and_kills_nobody(strict: Proxy, servers: Cluster) -> None:
    for node in servers.nodes:
        node.call("ACL", "SETUSER", "poor", "on", ">pw", "~*", "+@all", "-client|list", "-client|kill", "-client|info")
    with strict.connect() as wire, strict.connect() as other:
        assert wire.ask("AUTH", "poor", "pw") == b"+OK\r\n"
        for words in (("CLIENT", "LIST"), ("CLIENT", "INFO"), ("CLIENT", "KILL", "TYPE", "normal")):
            assert wire.ask(*words).startswith(b"-NOPERM")
        assert other.ask("PING") == b"+PONG\r\n"
