"""More clients with a connection of their own than the leader takes: they are told so in Redis's words, and everybody else is served."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, Node, cluster
from tests.integration.wire import Wire, eventually, pack

TOO_MANY = b"-ERR max number of clients reached\r\n"
TAKEN = 100
RESERVED = 64


@pytest.fixture(scope="module", params=["1", "3"], ids=["one worker", "three workers"])
def small(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, Proxy]]:
    """A leader that takes few clients."""
    with cluster(0, arguments=("--maxclients", str(TAKEN))) as servers, rproxy(servers, "--workers", request.param) as proxy:
        eventually(lambda: b'"most_leases": 36' in status(proxy), "rproxy knows how many the leader takes")
        yield servers, proxy


def status(proxy: Proxy) -> bytes:
    with proxy.connect() as wire:
        return wire.ask("RPROXY", "STATUS")


@contextlib.contextmanager
def crowd(proxy: Proxy, count: int) -> Iterator[list[Wire]]:
    """So many clients, each of which waits in BLPOP or was told that it can't."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(proxy.connect()) for _ in range(count)]
        for wire in wires:
            wire.send(pack("BLPOP", "never", "0"))
        yield wires


def blocked(leader: Node) -> int:
    return leader.blocked_clients()


def test_leases_stay_below_what_the_leader_takes_and_all_else_goes_on(small: tuple[Cluster, Proxy]) -> None:
    servers, proxy = small
    with crowd(proxy, 200) as wires:
        eventually(lambda: blocked(servers.leader) == TAKEN - RESERVED, "as many wait as may")
        told = [wire for wire in wires if wire.until_closed(lambda seen: bool(seen), quiet=0.01)[0] == TOO_MANY]
        assert len(told) == 200 - (TAKEN - RESERVED)
        with proxy.connect() as wire:
            assert wire.ask("SET", "k", "v") == b"+OK\r\n"
            assert wire.ask("GET", "k") == b"$1\r\nv\r\n"
            assert wire.ask("MULTI") == TOO_MANY
            assert wire.ask("DISCARD").startswith(b"-ERR DISCARD without MULTI")
            assert wire.ask("SUBSCRIBE", "c") == TOO_MANY
            assert wire.ask("WAIT", "0", "0") == TOO_MANY
            assert wire.ask("AUTH", "nobody", "x").startswith(b"-WRONGPASS")  # logins are checked on a lane
            assert wire.ask("SELECT", "3") == b"+OK\r\n"
        assert told[0].ask("PING") == b"+PONG\r\n"
        for wire in wires:
            wire.close()
        eventually(lambda: blocked(servers.leader) == 0, "nobody waits any more")
    with proxy.connect() as wire:
        wire.send(b"".join(pack(*words) for words in (("MULTI",), ("INCR", "n"), ("EXEC",))))
        assert wire.frames(3)[2] == b"*1\r\n:1\r\n"


def test_a_changed_limit_is_followed(small: tuple[Cluster, Proxy]) -> None:
    servers, proxy = small
    try:
        servers.leader.call("CONFIG", "SET", "maxclients", str(TAKEN + 10))
        eventually(lambda: b'"most_leases": 46' in status(proxy), "rproxy knows of more")
        with crowd(proxy, 100):
            eventually(lambda: blocked(servers.leader) == TAKEN + 10 - RESERVED, "more may wait")
    finally:
        servers.leader.call("CONFIG", "SET", "maxclients", str(TAKEN))


def test_where_others_have_taken_all_places_clients_are_told_and_the_leader_stays(small: tuple[Cluster, Proxy]) -> None:
    servers, proxy = small
    with contextlib.ExitStack() as stack, proxy.connect() as known:
        assert known.ask("SET", "k", "v") == b"+OK\r\n"
        others = [stack.enter_context(servers.leader.direct()) for _ in range(TAKEN)]
        assert others[-1].ask("PING") == TOO_MANY
        for _ in range(3):
            with proxy.connect() as wire:
                assert wire.ask("BLPOP", "never", "1") == TOO_MANY
                assert wire.ask("SELECT", "7") == TOO_MANY
                assert known.ask("INCR", "n").startswith(b":")
        assert b'"leader_up": true' in status(proxy)
