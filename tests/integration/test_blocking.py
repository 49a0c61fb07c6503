"""Blocking commands: served by another client's push, ended by their time-out, harmless to others, and gone
with their client.
"""

from __future__ import annotations

import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import Wire, eventually, pack


def block(proxy: Proxy, servers: Cluster, *words: str) -> Wire:
    """A client that waits on the leader for what `words` ask."""
    before = servers.leader.blocked_clients()
    wire = proxy.connect()
    wire.send(pack(*words))
    eventually(lambda: servers.leader.blocked_clients() > before, f"the leader blocks {words[0]}")
    return wire


SERVED = {
    "BLPOP": (["BLPOP", "q", "0"], ["RPUSH", "q", "x"], b"*2\r\n$1\r\nq\r\n$1\r\nx\r\n"),
    "BRPOP": (["BRPOP", "q", "q2", "0"], ["RPUSH", "q2", "x"], b"*2\r\n$2\r\nq2\r\n$1\r\nx\r\n"),
    "BLMOVE": (["BLMOVE", "q", "to", "LEFT", "LEFT", "0"], ["RPUSH", "q", "x"], b"$1\r\nx\r\n"),
    "BRPOPLPUSH": (["BRPOPLPUSH", "q", "to", "0"], ["RPUSH", "q", "x"], b"$1\r\nx\r\n"),
    "BLMPOP": (["BLMPOP", "0", "1", "q", "LEFT"], ["RPUSH", "q", "x"], b"*2\r\n$1\r\nq\r\n*1\r\n$1\r\nx\r\n"),
    "BZPOPMIN": (["BZPOPMIN", "z", "0"], ["ZADD", "z", "1", "x"], b"*3\r\n$1\r\nz\r\n$1\r\nx\r\n$1\r\n1\r\n"),
    "XREAD": (
        ["XREAD", "BLOCK", "0", "STREAMS", "s", "$"],
        ["XADD", "s", "9-1", "f", "v"],
        b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n9-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
    ),
    "XREAD in lower case": (
        ["xread", "count", "1", "block", "0", "streams", "s", "$"],
        ["XADD", "s", "9-1", "f", "v"],
        b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n9-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
    ),
}


@pytest.mark.parametrize(("waits", "pushes", "reply"), SERVED.values(), ids=SERVED.keys())
def test_a_blocked_client_is_served_by_another_clients_write(
    proxy: Proxy, servers: Cluster, waits: list[str], pushes: list[str], reply: bytes
) -> None:
    with block(proxy, servers, *waits) as waiting, proxy.connect() as other:
        assert not other.ask(*pushes).startswith(b"-")
        assert waiting.frame() == reply
        assert waiting.ask("ECHO", "on") == b"$2\r\non\r\n"


@pytest.mark.parametrize("words", [["BLPOP", "q", "0.05"], ["XREAD", "BLOCK", "50", "STREAMS", "s", "$"]])
def test_a_blocking_command_ends_with_its_time_out(proxy: Proxy, words: list[str]) -> None:
    with proxy.connect() as wire:
        assert wire.ask(*words) == b"*-1\r\n"
        assert wire.ask("SET", "k", "v") == b"+OK\r\n"


def test_a_time_out_in_resp3_is_its_null(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        wire.ask("HELLO", "3")
        assert wire.ask("BLPOP", "q", "0.05") == b"_\r\n"


def test_xread_without_block_reads_from_a_replica(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        for _ in range(10):
            wire.ask("XREAD", "STREAMS", "s", "0")
    assert servers.leader.calls("xread") == 0
    assert sum(node.calls("xread") for node in servers.replicas) == 10


def test_a_blocking_command_with_a_wrong_argument_gets_its_error(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire, Wire(servers.leader.address) as direct:
        for words in (["BLPOP", "q", "soon"], ["BLPOP", "q", "-1"], ["BLPOP"], ["XREAD", "BLOCK", "x", "STREAMS", "s", "$"]):
            assert wire.ask(*words) == direct.ask(*words)


def test_what_a_blocked_client_sent_before_and_after_keeps_its_order(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire, proxy.connect() as other:
        data = [pack("SET", "a", "1"), pack("BLPOP", "q", "0"), pack("INCR", "a"), pack("GET", "nothing"), pack("ECHO", "z")]
        wire.send(b"".join(data))
        assert wire.frame() == b"+OK\r\n"
        eventually(lambda: servers.leader.blocked_clients(), "the leader blocks BLPOP")
        assert other.ask("GET", "a") == b"$1\r\n1\r\n" or servers.leader.call("GET", "a") == b"1"
        other.ask("RPUSH", "q", "x")
        assert wire.frames(4) == [b"*2\r\n$1\r\nq\r\n$1\r\nx\r\n", b":2\r\n", b"$-1\r\n", b"$1\r\nz\r\n"]


def test_blocked_clients_slow_nobody(proxy: Proxy, servers: Cluster) -> None:
    waiting = [block(proxy, servers, "BLPOP", f"q{number}", "0") for number in range(30)]
    with proxy.connect() as other:
        for number in range(200):
            assert other.ask("SET", f"k{number}", "v") == b"+OK\r\n"
            assert other.ask("STRLEN", "nothing") == b":0\r\n"
        for number, wire in enumerate(waiting):
            other.ask("RPUSH", f"q{number}", "x")
            assert wire.frame().endswith(b"$1\r\nx\r\n")
            wire.close()


@pytest.mark.parametrize("leave", ["close", "abort"])
def test_a_client_that_vanishes_while_blocked_takes_no_element(proxy: Proxy, servers: Cluster, leave: str) -> None:
    before = servers.leader.blocked_clients()
    gone = [block(proxy, servers, "BLPOP", "q", "0") for _ in range(5)]
    for wire in gone:
        getattr(wire, leave)()
    eventually(lambda: servers.leader.blocked_clients() == before, "the leader no longer waits for clients that are gone")
    with proxy.connect() as other:
        assert other.ask("RPUSH", "q", "x") == b":1\r\n"
        assert servers.leader.call("LRANGE", "q", "0", "-1") == [b"x"]


def test_blocked_clients_are_served_in_the_order_in_which_they_came(proxy: Proxy, servers: Cluster) -> None:
    first, second = (block(proxy, servers, "BLPOP", "q", "0") for _ in range(2))
    with first, second, proxy.connect() as other:
        other.ask("RPUSH", "q", "1", "2")
        assert first.frame().endswith(b"$1\r\n1\r\n")
        assert second.frame().endswith(b"$1\r\n2\r\n")


@pytest.mark.parametrize(
    "words",
    [
        ("BLPOP", "q", "0"),
        ("BLMOVE", "q", "r", "LEFT", "RIGHT", "0"),
        ("BZPOPMIN", "z", "0"),
        ("XREAD", "BLOCK", "0", "STREAMS", "s", "$"),
        ("WAIT", "9", "0"),
    ],
    ids=lambda words: words[0],
)
def test_a_blocked_client_whose_server_connection_is_lost_is_closed_as_the_server_would_and_asked_for_no_more(
    proxy: Proxy, servers: Cluster, words: tuple[str, ...]
) -> None:
    with block(proxy, servers, *words) as wire:
        servers.leader.disconnect_clients()
        with pytest.raises(EOFError):
            wire.frame()
        assert servers.leader.blocked_clients() == 0
    servers.leader.call("RPUSH", "q", "x")
    assert servers.leader.call("LLEN", "q") == 1


def test_wait_covers_the_clients_own_writes_although_they_went_over_a_shared_lane(proxy: Proxy, servers: Cluster) -> None:
    frozen = servers.replicas[0]
    with proxy.connect() as wire:
        assert wire.ask("WAIT", "2", "5000") == b":2\r\n"
        frozen.stop()
        try:
            assert wire.ask("SET", "k", "v") == b"+OK\r\n"
            assert wire.ask("WAIT", "2", "300") == b":1\r\n"
        finally:
            frozen.cont()
        assert wire.ask("WAIT", "2", "5000") == b":2\r\n"


def test_waitaof_covers_them_too(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        assert wire.ask("SET", "k", "v") == b"+OK\r\n"
        assert wire.ask("WAITAOF", "0", "0", "100").startswith(b"*2\r\n")


def test_a_blocked_client_is_unblocked_by_another(proxy: Proxy, servers: Cluster) -> None:
    with block(proxy, servers, "BLPOP", "q", "0") as waiting, proxy.connect() as other:
        ids = [line.split()[0] for line in other.ask("CLIENT", "LIST").split(b"\n") if b"flags=b" in line]
        assert len(ids) == 1
        assert other.ask("CLIENT", "UNBLOCK", ids[0].removeprefix(b"id=").decode(), "ERROR") == b":1\r\n"
        assert waiting.frame().startswith(b"-UNBLOCKED")
        assert waiting.ask("ECHO", "on") == b"$2\r\non\r\n"
