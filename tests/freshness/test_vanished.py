"""Writes whose client has gone before the reply came: nobody knows whether they will be run, but once any read has shown the new value, no later read
shows the old one.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.freshness.conftest import read_by_replicas
from tests.freshness.registers import Registers
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import LaggingCluster
from tests.integration.wire import eventually, pack

COUNT = 60
WATCHERS = 3


@dataclass(frozen=True)
class Way:
    """What a client says and has answered, and its last words."""

    last: Callable[[str], bytes]
    first: tuple[str, ...] = ("PING",)


def plain(key: str) -> bytes:
    return pack("SET", key, "new")


def transaction(key: str) -> bytes:
    return pack("MULTI") + plain(key) + pack("EXEC")


def script(key: str) -> bytes:
    return pack("EVAL", f"return redis.call('SET', '{key}', 'new')", 0)


def large(key: str) -> bytes:
    return pack("SET", key, b"new" + bytes(300_000))


def silenced(key: str) -> bytes:
    return pack("CLIENT", "REPLY", "OFF") + plain(key)


ATTACH = ("CLIENT", "NO-EVICT", "ON")
WAYS = {
    "SET": Way(plain),
    "MULTI and EXEC": Way(transaction),
    "EXEC": Way(lambda key: plain(key) + pack("EXEC"), ("MULTI",)),
    "a write while watching": Way(plain, ("WATCH", "other")),
    "a script": Way(script),
    "a large SET": Way(large),
    "an attached client's SET": Way(plain, ATTACH),
    "an attached client's SET without reply": Way(silenced, ATTACH),
}


class Watchers:
    """Clients that read all keys again and again; `unseen` are the keys that were new and then old."""

    def __init__(self, proxy: Proxy, keys: list[str]) -> None:
        self.proxy = proxy
        self.keys = keys
        self.seen: set[str] = set()
        self.unseen: list[str] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._watch, args=(number,)) for number in range(WATCHERS)]
        for thread in self.threads:
            thread.start()

    def _watch(self, number: int) -> None:
        own = self.keys[number:] + self.keys[:number]
        with self.proxy.connect() as wire:
            while not self.over.is_set():
                for key in own:
                    known = key in self.seen
                    new = wire.call("GETRANGE", key, 0, 2) == b"new"
                    if new:
                        self.seen.add(key)
                    elif known:
                        self.unseen.append(key)

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def run(proxy: Proxy, servers: LaggingCluster, name: str) -> list[str]:
    """For each key a client that writes it and leaves; the keys that were unseen again."""
    way, dice = WAYS[name], random.Random(name)
    keys = [f"{name}:{number}".replace("'", "") for number in range(COUNT)]
    servers.lag(0.0, 0.1)
    with servers.leader.direct() as wire:
        wire.send(b"".join(pack("SET", key, "old") for key in keys))
        wire.frames(COUNT)
    servers.settle()
    read_by_replicas(proxy, servers, "EXISTS", keys[0])
    watchers = Watchers(proxy, keys)
    try:
        for key in keys:
            client = proxy.connect()
            client.ask(*way.first)
            client.send(way.last(key))
            time.sleep(dice.choice([0, 0.001, 0.003]))  # it leaves before its command is on its way, or after
            dice.choice([client.close, client.abort])()
        eventually(lambda: watchers.seen, "some of the writes are run")
        servers.settle()
    finally:
        watchers.end()
    return watchers.unseen


@pytest.mark.parametrize("name", WAYS)
def test_what_was_seen_of_a_client_that_has_gone_is_not_unseen(proxy: Proxy, servers: LaggingCluster, name: str) -> None:
    assert run(proxy, servers, name) == []


def test_this_test_would_find_what_is_unseen(careless: Proxy, servers: LaggingCluster) -> None:
    assert run(careless, servers, "SET")


def test_replicas_are_read_again_after_clients_that_left_before_their_lease_was_there(servers: LaggingCluster) -> None:
    """A new rproxy has no connection to lend them."""
    with rproxy(servers, "--consistency", "fresh") as proxy:
        for words in (transaction("k"), pack("WATCH", "j") + plain("k"), large("k")) * 5:
            client = proxy.connect()
            client.send(words)
            client.abort()
        with proxy.connect() as wire:
            wire.ask("SET", "k", "v")
        read_by_replicas(proxy, servers)


def test_registers_of_clients_that_keep_leaving_never_sink(proxy: Proxy, servers: LaggingCluster) -> None:
    with Registers(proxy, rest=0.01) as registers:
        for number in range(40):
            with proxy.connect() as wire:
                wire.send(pack("SET", f"string:{number % 2}x", number) + pack("EVAL", "return 1", 0))
            registers.go_on(10)
    assert registers.stale == registers.errors == []
