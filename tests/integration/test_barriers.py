"""What one client does first, without waiting for the answer, happens before what another does then, as on one server."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import eventually, pack

ROUNDS = 40
NEARLY_ALL = 36
"""Of so many rounds. Without barriers it is one or two of them, of elements a third: but two connections are ordered by nobody but the kernel, which on a busy
machine delivers the packets of one of them later, for a single server as well.
"""


@pytest.mark.parametrize("name", ["SUBSCRIBE", "PSUBSCRIBE"])
def test_a_message_reaches_who_has_asked_for_it_before(proxy: Proxy, name: str) -> None:
    reached = 0
    with proxy.connect() as publisher:
        publisher.ask("PING")
        for number in range(ROUNDS):
            with proxy.connect() as subscriber:
                subscriber.ask("PING")
                subscriber.send(pack(name, f"news{number}"))
                reached += publisher.ask("PUBLISH", f"news{number}", "x") == b":1\r\n"
    assert reached >= NEARLY_ALL


def test_a_message_reaches_who_has_asked_for_one_channel_more(proxy: Proxy) -> None:
    reached = 0
    with proxy.connect() as publisher, proxy.connect() as subscriber:
        subscriber.ask("SUBSCRIBE", "first")
        for number in range(ROUNDS):
            subscriber.send(pack("SUBSCRIBE", f"more{number}"))
            reached += publisher.ask("PUBLISH", f"more{number}", "x") == b":1\r\n"
    assert reached >= NEARLY_ALL


@pytest.mark.parametrize("how", ["close", "reset", "shut"])
def test_an_element_is_not_given_to_a_client_that_has_gone_before_it_was_pushed(proxy: Proxy, servers: Cluster, how: str) -> None:
    kept = 0
    with proxy.connect() as pusher:
        pusher.ask("PING")
        for number in range(ROUNDS):
            waiting = socket.create_connection(("127.0.0.1", proxy.port))
            waiting.sendall(pack("BLPOP", f"q{number}", "0"))
            eventually(lambda: servers.leader.blocked_clients() == 1, "it waits", pause=0.001)
            if how == "reset":
                waiting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if how == "shut":
                waiting.shutdown(socket.SHUT_WR)
            else:
                waiting.close()
            assert pusher.ask("RPUSH", f"q{number}", "x") == b":1\r\n"
            eventually(lambda: servers.leader.blocked_clients() == 0, "it waits no more", pause=0.001)
            kept += servers.leader.call("LLEN", f"q{number}") == 1
            waiting.close()
    assert kept >= NEARLY_ALL


def one_after_the_other(proxy: Proxy, first: bytes, replies: int) -> int:
    """How often the key has the value that another client gave it after `first` was sent, by a client that is new each time and keeps its connection."""
    ordered = 0
    with contextlib.ExitStack() as clients, proxy.connect() as other:
        other.ask("PING")
        for _ in range(ROUNDS):
            client = clients.enter_context(proxy.connect())
            client.ask("PING")
            client.send(first)
            other.ask("SET", "key", "later")
            client.frames(replies)
            ordered += other.ask("GET", "key") == b"$5\r\nlater\r\n"
            client.ask("WATCH", "other")  # it keeps its connection to the leader
    return ordered


FIRST = pack("MULTI") + pack("SET", "key", "first") + pack("EXEC")
SCRIPT = pack("EVAL", "return redis.call('SET', KEYS[1], 'first')", "1", "key")


@pytest.mark.parametrize(("first", "replies"), [(FIRST, 3), (SCRIPT, 1)], ids=["MULTI", "EVAL"])
def test_a_write_is_not_undone_by_one_that_was_sent_before(proxy: Proxy, first: bytes, replies: int) -> None:
    assert one_after_the_other(proxy, first, replies) >= NEARLY_ALL


def test_a_write_is_not_undone_by_a_transaction_that_waits_for_a_reply_of_its_own_client(proxy: Proxy) -> None:
    assert one_after_the_other(proxy, pack("SET", "key", "earliest") + FIRST, 4) >= NEARLY_ALL


def test_what_another_client_writes_after_watch_was_sent_is_noticed(proxy: Proxy) -> None:
    noticed = 0
    with contextlib.ExitStack() as clients, proxy.connect() as other:
        other.ask("PING")
        for number in range(ROUNDS):
            client = clients.enter_context(proxy.connect())
            client.ask("PING")
            client.send(pack("WATCH", f"key{number}"))
            other.ask("SET", f"key{number}", "later")
            client.send(pack("MULTI") + pack("GET", "a") + pack("EXEC"))
            noticed += client.frames(4)[3] == b"*-1\r\n"
            client.ask("WATCH", "other")
    assert noticed >= NEARLY_ALL


@pytest.mark.parametrize("words", [("MONITOR",), ("CLIENT", "TRACKING", "ON", "BCAST")], ids=["MONITOR", "TRACKING"])
def test_who_asks_to_be_shown_what_others_write_is_shown_it(proxy: Proxy, words: tuple[str, ...]) -> None:
    shown = 0
    with proxy.connect() as other:
        other.ask("PING")
        for number in range(ROUNDS):
            with proxy.connect() as client:
                client.ask("HELLO", "3")
                client.send(pack(*words))
                other.ask("SET", f"key{number}", "later")
                other.ask("SET", "end", "x")
                assert client.frames(1) == [b"+OK\r\n"]
                while b"end" not in (frame := client.frames(1)[0]):
                    shown += f"key{number}".encode() in frame
                shown += words[0] == "CLIENT" and f"key{number}".encode() in frame  # one push may name both
    assert shown >= NEARLY_ALL


def test_a_reader_of_a_stream_has_what_is_added_after_it_has_asked(proxy: Proxy) -> None:
    seen = 0
    with contextlib.ExitStack() as clients, proxy.connect() as other:
        other.ask("PING")
        for number in range(ROUNDS):
            client = clients.enter_context(proxy.connect())
            client.ask("PING")
            client.send(pack("XREAD", "BLOCK", "200", "STREAMS", f"stream{number}", "$"))
            other.ask("XADD", f"stream{number}", "1-1", "f", "v")
            seen += b"1-1" in client.frames(1)[0]
            client.ask("WATCH", "other")
    assert seen >= NEARLY_ALL
