"""The same bytes sent to the leader and to rproxy must bring the same bytes back, whatever the type, the RESP
version and the cuts.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.transcript import LINES, commands
from tests.integration.wire import Address, Wire, pack

Sender = Callable[[Wire, list[bytes]], list[bytes]]


def one_by_one(wire: Wire, sent: list[bytes]) -> list[bytes]:
    replies = []
    for command in sent:
        wire.send(command)
        replies.append(wire.frame())
    return replies


def in_one_packet(wire: Wire, sent: list[bytes]) -> list[bytes]:
    wire.send(b"".join(sent))
    return wire.frames(len(sent))


def byte_by_byte(wire: Wire, sent: list[bytes]) -> list[bytes]:
    for byte in b"".join(sent):
        wire.send(bytes([byte]))
    return wire.frames(len(sent))


def in_pieces_of_seven(wire: Wire, sent: list[bytes]) -> list[bytes]:
    data = b"".join(sent)
    for start in range(0, len(data), 7):
        wire.send(data[start : start + 7])
    return wire.frames(len(sent))


def run(address: Address, servers: Cluster, protocol: int, sender: Sender) -> dict[str, bytes]:
    """Each line (numbered) with the bytes of its reply, on a server without keys."""
    servers.empty()
    with Wire(address) as wire:
        wire.ask("HELLO", protocol)
        replies = sender(wire, commands())
    lines = LINES.strip().splitlines()
    return {f"{number}: {line}": reply for number, (line, reply) in enumerate(zip(lines, replies, strict=True))}


@pytest.mark.parametrize("sender", [one_by_one, in_one_packet, byte_by_byte, in_pieces_of_seven])
@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_are_the_leaders_own_bytes(strict: Proxy, servers: Cluster, protocol: int, sender: Sender) -> None:
    direct = run(servers.leader.address, servers, protocol, one_by_one)
    proxied = run(strict.address, servers, protocol, sender)
    assert {line: (direct[line], proxied[line]) for line in direct if direct[line] != proxied[line]} == {}


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_replicas_replies_are_the_leaders_bytes_too(proxy: Proxy, servers: Cluster, protocol: int) -> None:
    """Reads of data that every server holds: the bytes don't tell who answered."""
    servers.empty()
    reads = [
        pack(*line.split())
        for line in ["GET s", "MGET s t", "HGETALL h", "LRANGE l 0 -1", "ZRANGE z 0 -1 WITHSCORES", "SMEMBERS st", "GET h", "GET"]
    ]
    with Wire(servers.leader.address) as direct:
        for line in ["SET s v", "HSET h a 1 b 2", "RPUSH l a b", "ZADD z 1.5 a 2 b", "SADD st 1 2 3"]:
            direct.ask(*line.split())
        direct.ask("HELLO", protocol)
        expected = one_by_one(direct, reads)
    servers.settle()
    with proxy.connect() as wire:
        wire.ask("HELLO", protocol)
        assert one_by_one(wire, reads * 4) == expected * 4


def test_a_client_that_closes_its_half_still_gets_what_it_asked_for(strict: Proxy) -> None:
    """What `printf ... | nc -N` does: the questions, then FIN."""
    with strict.connect() as wire:
        wire.send(pack("SET", "k", "v") + pack("GET", "k") + pack("STRLEN", "k"))
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.until_closed() == (b"+OK\r\n$1\r\nv\r\n:1\r\n", True)
