"""SIGTERM drains: what was asked is answered, then rproxy leaves with 0. A second signal ends it at once."""

from __future__ import annotations

import signal
import threading

import pytest

from tests.faults.load import Load, read
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster
from tests.integration.wire import Wire, eventually, pack

# A write that keeps the leader busy for so many seconds (of its processor's time).
SLOW = "redis.call('INCR', KEYS[1]) local start = os.clock() repeat until os.clock() - start > %s"


def refused(proxy: Proxy) -> bool:
    try:
        with Wire(proxy.address, timeout=2) as wire:
            return wire.ask("PING").startswith(b"-ERR rproxy: shutting down")
    except (OSError, EOFError):
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_proxy_leaves_at_once_with_zero(servers: Cluster, number: signal.Signals) -> None:
    with rproxy(servers) as proxy:
        idle = [proxy.connect() for _ in range(20)]
        for wire in idle:
            wire.ask("PING")
        proxy.signal(number)
        assert proxy.wait(within=10) == 0  # long before the drain time
        for wire in idle:
            assert wire.until_closed() == (b"", True)
            wire.close()


def test_every_reply_that_was_owed_arrives(servers: Cluster) -> None:
    with rproxy(servers) as proxy:
        wires = [proxy.connect() for _ in range(10)]
        for number, wire in enumerate(wires):
            commands = [pack("ECHO", "begun"), pack("INCR", f"n{number}"), pack("EVAL", SLOW % 0.05, "1", f"slow{number}")]
            wire.send(b"".join([*commands, *(pack("GET", f"planted:{turn % 40}") for turn in range(100)), pack("ECHO", "last")]))
        for wire in wires:
            assert wire.frame() == b"$5\r\nbegun\r\n"
        proxy.signal(signal.SIGTERM)
        for wire in wires:
            replies = wire.frames(103)
            assert replies[0] == b":1\r\n"
            assert replies[-1] == b"$4\r\nlast\r\n"
            assert wire.until_closed() == (b"", True)
            wire.close()
        assert proxy.wait(within=10) == 0


def test_what_came_in_a_pause_of_everything_is_carried_out_when_it_drains(servers: Cluster) -> None:
    with (
        rproxy(servers, "--consistency", "leader", "--timeouts.drain", "30s") as proxy,
        proxy.connect() as wire,
        proxy.connect() as other,
    ):
        assert other.ask("PING") == b"+PONG\r\n"
        assert wire.ask("CLIENT", "PAUSE", "3600000") == b"+OK\r\n"
        try:
            other.send(pack("RPROXY", "NOTHING") + pack("ECHO", "held"))
            assert other.frame().startswith(b"-ERR unknown subcommand"), "both have come"
            proxy.signal(signal.SIGTERM)
            assert other.frame() == b"$4\r\nheld\r\n"
            assert proxy.wait(within=10) == 0
        finally:
            servers.leader.call("CLIENT", "UNPAUSE")


def test_new_connections_are_refused_while_it_drains(servers: Cluster) -> None:
    with rproxy(servers) as proxy, proxy.connect() as wire:
        wire.send(pack("EVAL", SLOW % 1.5, "1", "slow"))
        eventually(lambda: frozen_by_script(servers), "the leader runs the script")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: refused(proxy), "new connections are refused")
        assert wire.frame().startswith((b"$-1", b"*0", b"_"))
        assert proxy.wait(within=10) == 0


def frozen_by_script(servers: Cluster) -> bool:
    """Nothing but a running script keeps a server from answering PING for 200 ms."""
    try:
        with Wire(servers.leader.address, timeout=0.2) as wire:
            return wire.ask("PING") != b"+PONG\r\n"
    except TimeoutError:
        return True


def wrong(load: Load) -> list[str]:
    """Failures other than a refused or cleanly closed connection: half a reply, a wrong one."""
    halves = [failure for failure in load.failures if "EOFError" in failure and "b''" not in failure]
    return halves + [failure for failure in load.failures if "AssertionError" in failure and "shutting down" not in failure]


def test_no_acknowledged_write_is_lost_under_load(servers: Cluster) -> None:
    acknowledged = [0] * 8

    def count(wire: Wire, client: int, turn: int) -> None:
        reply = wire.ask("INCR", f"n{client}")
        assert reply.startswith(b":"), reply
        acknowledged[client] += 1

    with rproxy(servers) as proxy, Load(proxy, count, clients=8) as load:
        proxy.signal(signal.SIGTERM)
        assert proxy.wait(within=10) == 0
        load.over.set()
    for client, told in enumerate(acknowledged):
        assert told <= int(servers.leader.call("GET", f"n{client}")) <= told + 1
    assert wrong(load) == []


def test_a_blocked_client_holds_it_no_longer_than_the_drain_time(servers: Cluster) -> None:
    with rproxy(servers, "--timeouts.drain", "1s") as proxy, proxy.connect() as wire:
        wire.send(pack("BLPOP", "q", "0"))
        eventually(servers.leader.blocked_clients, "the leader blocks it")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait(within=4) == 0


def test_a_second_signal_ends_it_at_once(servers: Cluster) -> None:
    with rproxy(servers) as proxy, proxy.connect() as wire:
        wire.send(pack("EVAL", SLOW % 4, "1", "slow"))
        eventually(lambda: frozen_by_script(servers), "the leader runs the script")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: refused(proxy), "it drains")
        proxy.signal(signal.SIGTERM)
        proxy.wait(within=3)  # the script takes longer


def test_reads_under_load_are_answered_or_cleanly_refused(servers: Cluster) -> None:
    """Whoever loses its connection to the shutdown has had every reply whole: no half of one, no wrong one."""
    with rproxy(servers) as proxy:
        with Load(proxy, read, clients=8) as load:
            stopper = threading.Thread(target=lambda: proxy.signal(signal.SIGTERM))
            stopper.start()
            stopper.join()
            assert proxy.wait(within=10) == 0
        assert wrong(load) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_for_the_delay_it_serves_on_and_takes_new_clients_too(servers: Cluster, workers: str) -> None:
    with rproxy(servers, "--timeouts.drain_delay", "1h", "--workers", workers) as proxy, proxy.connect() as old:
        proxy.signal(signal.SIGTERM)
        for _ in range(5):
            with proxy.connect() as new:
                assert new.ask("PING") == old.ask("PING") == b"+PONG\r\n"
        proxy.signal(signal.SIGTERM)
        assert proxy.wait(within=10) == 128 + signal.SIGTERM
