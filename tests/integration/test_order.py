"""Reply i belongs to command i, and no client ever sees another's: with values that say which command they
answer.

Reads of keys that never change may be answered by any server; everything else has one right answer, which a
small model knows.
"""

from __future__ import annotations

import asyncio
import random

import hiredis
import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import Wire, pack

FIXED = 50


def plant(servers: Cluster) -> None:
    """Keys that every server holds and nobody changes; each value names its key."""
    with Wire(servers.leader.address) as wire:
        for number in range(FIXED):
            wire.ask("SET", f"fixed:{number}", f"value of fixed:{number}" + "." * (number * 37 % 500))
    servers.settle()


def bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text.encode())


class Mix:
    """A random mix of commands for one client, each with the one reply that is right."""

    def __init__(self, seed: int, name: str) -> None:
        self.random = random.Random(seed)
        self.name = name
        self.counter = 0
        self.last = ""
        self.serial = 0

    def next(self) -> tuple[bytes, bytes]:
        self.serial += 1
        tag = f"{self.name}:{self.serial}"
        match self.random.randrange(6):
            case 0:
                return pack("ECHO", tag), bulk(tag)
            case 1:
                self.counter += 1
                return pack("INCR", f"counter:{self.name}"), b":%d\r\n" % self.counter
            case 2:
                before, self.last = self.last, tag
                return pack("SET", f"own:{self.name}", tag, "GET"), bulk(before) if before else b"$-1\r\n"
            case 3:
                return pack("NOSUCH", tag), f"-ERR unknown command 'NOSUCH', with args beginning with: '{tag}' \r\n".encode()
            case _:
                key = f"fixed:{self.random.randrange(FIXED)}"
                return pack("GET", key), bulk(f"value of {key}" + "." * (int(key[6:]) * 37 % 500))

    def take(self, count: int) -> tuple[bytes, list[bytes]]:
        commands, replies = zip(*(self.next() for _ in range(count)), strict=True)
        return b"".join(commands), list(replies)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100, 1000, 2000])
def test_reply_i_belongs_to_command_i_in_one_packet(proxy: Proxy, servers: Cluster, count: int) -> None:
    plant(servers)
    mix = Mix(count, f"packet{count}")
    with proxy.connect() as wire:
        for _ in range(max(1, 4000 // count // 4)):
            data, expected = mix.take(count)
            wire.send(data)
            assert wire.frames(count) == expected


def test_order_holds_however_the_packets_are_cut(proxy: Proxy, servers: Cluster) -> None:
    plant(servers)
    mix, cuts = Mix(1, "cuts"), random.Random(2)
    data, expected = mix.take(1500)
    with proxy.connect() as wire:
        position = 0
        while position < len(data):
            size = cuts.choice([1, 2, 5, 30, 200, 3000])
            wire.send(data[position : position + size])
            position += size
        assert wire.frames(1500) == expected


def test_order_holds_while_answers_are_large_and_slow_to_read(proxy: Proxy, servers: Cluster) -> None:
    with Wire(servers.leader.address) as direct:
        direct.ask("SET", "large", "x" * 300_000)
    plant(servers)
    with proxy.connect() as wire:
        wire.send(b"".join(pack("ECHO", f"tag{n}") + pack("GET", "large") + pack("INCR", "n") for n in range(60)))
        for number in range(60):
            assert wire.frame() == bulk(f"tag{number}")
            assert len(wire.frame()) == 300_000 + len(b"$300000\r\n\r\n")
            assert wire.frame() == b":%d\r\n" % (number + 1)


def test_a_pipeline_that_is_sent_whole_before_a_reply_is_read_is_answered_whole(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        names = [f"{number}:" + "n" * 1000 for number in range(20_000)]
        wire.send(b"".join(pack("ECHO", name) for name in names))
        assert wire.frames(len(names)) == [bulk(name) for name in names]


async def exchange(proxy: Proxy, mix: Mix, rounds: int, quits: random.Random | None) -> int:
    """Talk in rounds of up to 60 commands; with `quits`, drop the connection in the middle of some. Returns
    crossed replies.
    """
    crossed = 0
    reader, writer = await asyncio.open_connection(*proxy.address)
    for _ in range(rounds):
        data, expected = mix.take(mix.random.randrange(1, 60))
        writer.write(data)
        if quits is not None and quits.random() < 0.4:
            await reader.read(quits.choice([1, 100, 1000]))
            writer.transport.abort()
            mix = Mix(quits.randrange(1 << 30), f"{mix.name}+")
            reader, writer = await asyncio.open_connection(*proxy.address)
            continue
        seen = b""
        while len(seen) < sum(map(len, expected)):
            chunk = await asyncio.wait_for(reader.read(1 << 16), 20)
            assert chunk, "rproxy closed the connection"
            seen += chunk
        crossed += seen != b"".join(expected)
    writer.close()
    return crossed


async def crowd(proxy: Proxy, clients: int, quitters: int) -> list[int]:
    quiet = [exchange(proxy, Mix(number, f"c{number}"), 12, None) for number in range(clients)]
    rude = [exchange(proxy, Mix(number, f"r{number}"), 12, random.Random(number)) for number in range(quitters)]
    return await asyncio.gather(*quiet, *rude)


def test_200_clients_at_once_get_their_own_replies(proxy: Proxy, servers: Cluster) -> None:
    plant(servers)
    assert sum(asyncio.run(crowd(proxy, 200, 0))) == 0


def test_clients_that_vanish_in_the_middle_cross_nobodys_replies(proxy: Proxy, servers: Cluster) -> None:
    plant(servers)
    assert sum(asyncio.run(crowd(proxy, 120, 80))) == 0


def test_both_resp_versions_at_once_get_their_own_kind_of_reply(proxy: Proxy, servers: Cluster) -> None:
    with Wire(servers.leader.address) as direct:
        direct.ask("HSET", "h", "f", "v")
    servers.settle()
    with proxy.connect() as old, proxy.connect() as new:
        new.ask("HELLO", "3")
        for wire in (old, new) * 20:
            wire.send(pack("HGETALL", "h") + pack("GET", "nothing"))
        assert old.frames(40) == [b"*2\r\n$1\r\nf\r\n$1\r\nv\r\n", b"$-1\r\n"] * 20
        assert new.frames(40) == [b"%1\r\n$1\r\nf\r\n$1\r\nv\r\n", b"_\r\n"] * 20


def test_hiredis_reads_what_rproxy_forwards(proxy: Proxy) -> None:
    reader = hiredis.Reader()
    with proxy.connect() as wire:
        reader.feed(wire.ask("COMMAND", "INFO", "GET"))
    assert reader.gets()[0][0] == b"get"
