"""What one client does first, without waiting for the answer, happens before what another does then, as on one server."""

from __future__ import annotations

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
