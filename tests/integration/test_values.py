"""Values of every size, both ways, and that a large or slow one costs nobody else anything."""

from __future__ import annotations

import hashlib
import random

import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import Wire, pack

KB, MB = 1 << 10, 1 << 20
SIZES = [0, 1, 100, 16 * KB, 64 * KB, 256 * KB - 40, 256 * KB, 256 * KB + 1, 300 * KB, MB, 9 * MB, 64 * MB]


def value(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def digest(frame: bytes) -> str:
    return hashlib.sha256(frame).hexdigest()


@pytest.mark.parametrize("size", SIZES)
def test_a_value_comes_back_as_it_was_set(proxy: Proxy, servers: Cluster, size: int) -> None:
    data = value(size)
    with proxy.connect(timeout=60) as wire:
        assert wire.ask("SET", "k", data) == b"+OK\r\n"
        servers.settle()
        reply = wire.ask("GET", "k")
    assert digest(reply) == digest(b"$%d\r\n%s\r\n" % (size, data))


def test_many_large_values_in_one_reply(proxy: Proxy, servers: Cluster) -> None:
    data = [value(size) for size in (8 * MB, 3 * MB, 0, 1, 12 * MB)]
    with proxy.connect(timeout=60) as wire:
        for number, item in enumerate(data):
            assert wire.ask("SET", f"k{number}", item) == b"+OK\r\n"
        servers.settle()
        reply = wire.ask("MGET", *(f"k{number}" for number in range(5)))
    assert digest(reply) == digest(b"*5\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(item), item) for item in data))


def test_one_command_with_many_arguments(proxy: Proxy, servers: Cluster) -> None:
    words = [word for number in range(50_000) for word in (f"key{number}", f"value{number}")]
    with proxy.connect(timeout=60) as wire:
        assert wire.ask("MSET", *words) == b"+OK\r\n"
        servers.settle()
        assert wire.call("MGET", *words[::2]) == [word.encode() for word in words[1::2]]


def test_a_large_command_keeps_its_place_among_small_ones(proxy: Proxy) -> None:
    large = value(300 * KB)
    before = b"".join(pack("ECHO", f"before{n}") + pack("INCR", "n") for n in range(20))
    after = b"".join(pack("INCR", "n") + pack("ECHO", f"after{n}") for n in range(20))
    with proxy.connect() as wire:
        wire.send(before + pack("SET", "k", large, "GET") + pack("STRLEN", "elsewhere") + after + pack("GETDEL", "k"))
        replies = wire.frames(83)
    assert replies[0:40:2] == [b"$%d\r\nbefore%d\r\n" % (len(f"before{n}"), n) for n in range(20)]
    assert replies[1:40:2] == [b":%d\r\n" % n for n in range(1, 21)]
    assert replies[40:42] == [b"$-1\r\n", b":0\r\n"]
    assert replies[42:82:2] == [b":%d\r\n" % n for n in range(21, 41)]
    assert replies[43:82:2] == [b"$%d\r\nafter%d\r\n" % (len(f"after{n}"), n) for n in range(20)]
    assert digest(replies[82]) == digest(b"$%d\r\n%s\r\n" % (len(large), large))


def test_large_commands_in_a_row_keep_their_order(proxy: Proxy) -> None:
    large = [value(size) for size in (300 * KB, 2 * MB, 257 * KB)]
    with proxy.connect(timeout=60) as wire:
        wire.send(b"".join(pack("SET", "k", item, "GET") for item in large) + pack("GETDEL", "k"))
        replies = wire.frames(4)
    assert [len(reply) for reply in replies] == [5, *(len(b"$%d\r\n\r\n" % len(item)) + len(item) for item in large)]


def test_others_are_served_while_a_large_value_arrives_slowly(proxy: Proxy, servers: Cluster) -> None:
    """64 MB in 64 KB pieces; after each piece another client's write and read are answered before the next one is sent."""
    data = pack("SET", "k", bytes(64 * MB))
    with proxy.connect(timeout=60) as slow, proxy.connect() as other:
        for start in range(0, len(data), 64 * KB):
            slow.send(data[start : start + 64 * KB])
            assert other.ask("SET", "other", "v") == b"+OK\r\n"
            assert other.ask("STRLEN", "third") == b":0\r\n"
        assert slow.frame() == b"+OK\r\n"
    assert servers.leader.call("STRLEN", "k") == 64 * MB


def test_a_slow_upload_costs_no_more_memory_than_the_value(proxy: Proxy) -> None:
    before = proxy.resident()
    data = pack("SET", "k", bytes(64 * MB))
    with proxy.connect(timeout=60) as slow, proxy.connect() as other:
        for start in range(0, len(data) - 64 * KB, 64 * KB):
            slow.send(data[start : start + 64 * KB])
            other.ask("PING")
        assert proxy.resident() - before < 64 * MB + 16 * MB


def test_an_upload_that_is_given_up_leaves_no_trace(proxy: Proxy, servers: Cluster) -> None:
    data = pack("SET", "k", bytes(4 * MB))
    with proxy.connect() as other:
        for size in (1000, 300 * KB, 3 * MB):
            gone = proxy.connect()
            gone.send(pack("INCR", "n") + data[:size])
            assert gone.frame().startswith(b":")
            gone.abort()
            assert other.ask("ECHO", "fine") == b"$4\r\nfine\r\n"
        assert other.ask("EXISTS", "k") == b":0\r\n"
    assert servers.leader.call("EXISTS", "k") == 0


def test_large_values_arrive_whole_at_many_clients_at_once(proxy: Proxy, servers: Cluster) -> None:
    data = value(3 * MB)
    with Wire(servers.leader.address) as direct:
        direct.ask("SET", "k", data)
    servers.settle()
    wires = [proxy.connect(timeout=60) for _ in range(12)]
    for wire in wires:
        wire.send(pack("GET", "k"))
    expected = digest(b"$%d\r\n%s\r\n" % (len(data), data))
    assert {digest(wire.frame()) for wire in wires} == {expected}
    for wire in wires:
        wire.close()
