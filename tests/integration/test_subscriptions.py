"""Subscribers on real servers: what reaches them, and that a gap is never silent."""

from __future__ import annotations

import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import Wire, value_of


def subscriber(proxy: Proxy, version: int, *words: str) -> Wire:
    wire = proxy.connect()
    wire.ask("HELLO", version)
    wire.ask(*words)
    return wire


@pytest.mark.parametrize("version", [2, 3])
def test_notifications_about_keys_reach_a_subscriber(proxy: Proxy, servers: Cluster, version: int) -> None:
    before = servers.leader.call("CONFIG", "GET", "notify-keyspace-events")[1]
    servers.leader.call("CONFIG", "SET", "notify-keyspace-events", "KEA")
    try:
        with subscriber(proxy, version, "PSUBSCRIBE", "__key*__:*") as listening, proxy.connect() as writing:
            writing.ask("SET", "k", "v")
            told = [value_of(frame)[2:] for frame in listening.frames(2)]
    finally:
        servers.leader.call("CONFIG", "SET", "notify-keyspace-events", before)
    assert told == [[b"__keyspace@0__:k", b"set"], [b"__keyevent@0__:set", b"k"]]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("words", [("SUBSCRIBE", "c"), ("PSUBSCRIBE", "c*"), ("SSUBSCRIBE", "c")])
def test_a_subscriber_whose_server_connection_is_lost_is_closed(
    proxy: Proxy, servers: Cluster, words: tuple[str, ...], version: int
) -> None:
    with subscriber(proxy, version, *words) as listening:
        servers.leader.call("CLIENT", "KILL", "TYPE", "pubsub")
        assert listening.until_closed() == (b"", True)


@pytest.mark.parametrize(
    ("subscribe", "publish"), [("SUBSCRIBE", "PUBLISH"), ("PSUBSCRIBE", "PUBLISH"), ("SSUBSCRIBE", "SPUBLISH")]
)
def test_after_reset_nobody_is_counted_as_a_subscriber(proxy: Proxy, subscribe: str, publish: str) -> None:
    with proxy.connect() as wire:
        told = [[wire.ask(*words)[:7] for words in ((subscribe, "c"), ("RESET",), (publish, "c", "m"))][1:] for _ in range(50)]
    assert told == [[b"+RESET\r", b":0\r\n"]] * 50
