"""The leader gone, returned, or lost in the middle of a write: what a client is told is true, and nothing is
done twice.
"""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest

from tests.faults.load import Load, planted, read
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, Node
from tests.integration.wire import Wire, eventually, pack

BUDGET = 1.5
MARGIN = 0.7


def writable(proxy: Proxy) -> bool:
    with proxy.connect() as wire:
        return wire.ask("SET", "probe", "v") == b"+OK\r\n"


def test_writes_say_not_executed_within_the_budget_while_the_leader_is_gone(proxy: Proxy, servers: Cluster) -> None:
    servers.leader.kill()
    with proxy.connect() as wire:
        for _ in range(3):
            began = time.monotonic()
            reply = wire.ask("SET", "k", "v")
            assert reply.startswith(b"-") and b"not executed" in reply
            assert time.monotonic() - began < BUDGET + MARGIN


def test_a_pipeline_of_writes_fails_as_a_whole_within_the_budget(proxy: Proxy, servers: Cluster) -> None:
    servers.leader.kill()
    with proxy.connect() as wire:
        began = time.monotonic()
        wire.send(b"".join(pack("SET", f"k{number}", "v") + pack("ECHO", str(number)) for number in range(200)))
        replies = wire.frames(400)
        assert time.monotonic() - began < BUDGET + MARGIN
    assert all(b"not executed" in reply for reply in replies[0::2])
    assert [reply.split(b"\r\n")[1] for reply in replies[1::2]] == [b"%d" % number for number in range(200)]


def test_a_transaction_without_a_leader_is_refused_within_the_budget(proxy: Proxy, servers: Cluster) -> None:
    servers.leader.kill()
    with proxy.connect() as wire:
        began = time.monotonic()
        wire.send(pack("MULTI") + pack("INCR", "n") + pack("EXEC") + pack("ECHO", "after"))
        replies = wire.frames(4)
        assert time.monotonic() - began < BUDGET + MARGIN
    assert [reply[:1] for reply in replies[1:]] == [b"-", b"-", b"$"]
    assert replies[2].startswith(b"-EXECABORT")


def test_a_client_whose_blocking_command_finds_no_leader_is_closed_within_the_budget(proxy: Proxy, servers: Cluster) -> None:
    servers.leader.kill()
    with proxy.connect() as wire:
        began = time.monotonic()
        with pytest.raises(EOFError):
            wire.ask("BLPOP", "q", "0")
        assert time.monotonic() - began < BUDGET + MARGIN


def test_reads_go_on_while_the_leader_is_gone(proxy: Proxy, servers: Cluster) -> None:
    with Load(proxy, read) as load:
        servers.leader.kill()
        load.moves_on(2000)
    assert load.failures == []


def test_reads_go_on_while_the_leader_is_frozen(proxy: Proxy, servers: Cluster) -> None:
    with Load(proxy, read) as load:
        servers.leader.stop()
        try:
            load.moves_on(2000)
        finally:
            servers.leader.cont()
    assert load.failures == []


def test_one_client_may_read_while_its_write_waits_for_the_leader(proxy: Proxy, servers: Cluster) -> None:
    """The failed write's error comes first, then the read's value: in order, on an open connection."""
    servers.leader.kill()
    with proxy.connect() as wire:
        wire.send(pack("SET", "k", "v") + pack("GET", "planted:1"))
        error, value = wire.frames(2)
        assert b"not executed" in error
        assert value == planted(1)


def test_writes_work_again_when_the_leader_returns(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        assert wire.ask("INCR", "n") == b":1\r\n"
        servers.leader.kill()
        assert wire.ask("INCR", "n").startswith(b"-")
        servers.leader.restart()
        eventually(lambda: wire.ask("SET", "probe", "v") == b"+OK\r\n", "the same client can write again", within=5)
        assert wire.ask("INCR", "n") == b":2\r\n"
        wire.send(pack("MULTI") + pack("INCR", "n") + pack("EXEC"))
        assert wire.frames(3)[2] == b"*1\r\n:3\r\n"


def test_a_write_that_arrives_while_the_leader_restarts_waits_for_it(proxy: Proxy, servers: Cluster) -> None:
    """Within its budget: nothing of it was sent, so it may wait and go to the leader when that is back."""
    servers.leader.kill()
    with rproxy(servers, "--consistency", "eventual", "--timeouts.budget", "10s") as patient, patient.connect() as wire:
        wire.send(pack("INCR", "n"))
        servers.leader.restart()
        assert wire.frame() == b":1\r\n"


def test_rproxy_starts_and_reads_without_a_leader(servers: Cluster) -> None:
    servers.leader.kill()
    with rproxy(servers, "--consistency", "eventual") as proxy:
        with proxy.connect() as wire:
            assert wire.ask("GET", "planted:1") == planted(1)
            assert b"not executed" in wire.ask("SET", "k", "v")
        servers.leader.restart()
        eventually(lambda: writable(proxy), "writes work when the leader has come", within=5)


def unread(node: Node) -> int:
    """Bytes that have arrived at this server and that it hasn't read (Linux: /proc/net/tcp, column rx_queue)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = [fields for fields in lines if int(fields[1].split(":")[1], 16) == node.port and fields[3] == "01"]
    return sum(int(fields[4].split(":")[1], 16) for fields in here)


def lose(servers: Cluster, wire: Wire, commands: bytes) -> None:
    """Have `commands` sent to the leader and lost: it is frozen when they arrive, and then killed."""
    servers.settle()
    servers.leader.stop()
    before = unread(servers.leader)
    wire.send(commands)
    eventually(lambda: unread(servers.leader) >= before + len(commands), "the bytes have reached the leader's host")
    servers.leader.kill()


def test_a_write_that_was_sent_and_lost_says_so_on_an_open_connection(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        assert wire.ask("SET", "warm", "up") == b"+OK\r\n"
        lose(servers, wire, pack("INCR", "n"))
        reply = wire.frame()
        assert reply.startswith(b"-ERR") and b"may or may not have been executed" in reply
        assert wire.ask("ECHO", "open") == b"$4\r\nopen\r\n"


def test_a_write_that_was_sent_and_lost_is_never_sent_again(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        assert wire.ask("SET", "warm", "up") == b"+OK\r\n"
        lose(servers, wire, pack("INCR", "n") * 50)
        assert all(b"executed" in reply for reply in wire.frames(50))
        servers.leader.restart()
        eventually(lambda: wire.ask("SET", "probe", "v") == b"+OK\r\n", "the same client can write again", within=5)
    assert servers.leader.call("EXISTS", "n") == 0


def test_an_exec_that_was_sent_and_lost_says_so_and_is_never_sent_again(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        wire.send(pack("MULTI") + pack("INCR", "n"))
        assert wire.frames(2) == [b"+OK\r\n", b"+QUEUED\r\n"]
        lose(servers, wire, pack("EXEC"))
        reply = wire.frame()
        assert reply.startswith(b"-") and b"may or may not have been executed" in reply
        servers.leader.restart()
        eventually(lambda: wire.ask("SET", "probe", "v") == b"+OK\r\n", "the same client can write again", within=5)
    assert servers.leader.call("EXISTS", "n") == 0


def test_a_discard_that_was_sent_and_lost_has_discarded(proxy: Proxy, servers: Cluster) -> None:
    """What was queued ended with the connection: DISCARD has what it wanted."""
    with proxy.connect() as wire:
        wire.send(pack("MULTI") + pack("INCR", "n"))
        assert wire.frames(2) == [b"+OK\r\n", b"+QUEUED\r\n"]
        lose(servers, wire, pack("DISCARD"))
        assert wire.frame() == b"+OK\r\n"
        servers.leader.restart()
        eventually(lambda: wire.ask("SET", "probe", "v") == b"+OK\r\n", "the same client can write again", within=5)
    assert servers.leader.call("EXISTS", "n") == 0


def test_a_transaction_whose_leader_is_killed_before_exec_is_aborted(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        wire.send(pack("MULTI") + pack("INCR", "n"))
        assert wire.frames(2) == [b"+OK\r\n", b"+QUEUED\r\n"]
        servers.leader.kill()
        servers.leader.restart()
        eventually(lambda: writable(proxy), "writes work again", within=5)
        assert wire.ask("INCR", "n").startswith(b"-")
        assert wire.ask("EXEC").startswith(b"-EXECABORT")
    assert servers.leader.call("EXISTS", "n") == 0


@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "large"])
def test_what_a_client_wrote_before_it_gave_up_does_not_replace_what_was_written_then(
    proxy: Proxy, servers: Cluster, size: int
) -> None:
    """Both wait for the leader; the second speaks RESP3, so that its small values too travel on a connection of their own."""
    padding = b"." * size
    for number in range(8):
        servers.leader.kill()
        with proxy.connect() as given_up:
            given_up.send(pack("SET", f"k{number}", b"old" + padding))
        with proxy.connect() as again:
            again.send(pack("HELLO", 3) * (size < 1000) + pack("SET", f"k{number}", b"new" + padding))
            servers.leader.restart()
            while (reply := again.frame()).startswith((b"%", b"-")):
                pass
            assert reply == b"+OK\r\n"
            eventually(lambda: again.ask("CLIENT", "LIST").count(b"id=") == 1, "the other has gone")
        assert servers.leader.call("GETRANGE", f"k{number}", 0, 2) == b"new"


class Ledger:
    """What clients were told about each of their numbered attempts."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.unknown: list[str] = []
        self.refused: list[str] = []
        self.odd: list[str] = []
        self.lock = threading.Lock()

    def note(self, attempt: str, reply: bytes) -> None:
        with self.lock:
            if b"may or may not have been executed" in reply:
                self.unknown.append(attempt)
            elif reply.startswith(b"-") and (b"not executed" in reply or reply.startswith(b"-EXECABORT")):
                self.refused.append(attempt)
            elif reply[:1] in b":*" and reply != b"*-1\r\n":
                self.done.append(attempt)
            else:
                self.odd.append(f"{attempt}: {reply!r}")

    def check(self, executed: list[str]) -> None:
        assert self.odd == []
        assert len(executed) == len(set(executed)), "executed twice"
        assert set(self.done) <= set(executed), "acknowledged and not executed"
        assert not set(self.refused) & set(executed), "said not executed, and was"
        assert set(executed) <= set(self.done) | set(self.unknown)
        assert len(self.done) > 100


def cut_often(servers: Cluster, load: Load, seconds: float) -> int:
    """Close all client connections of the leader about ten times a second."""
    cut, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        cut += servers.leader.disconnect_clients()
        load.over.wait(0.1)
    return cut


def test_no_write_is_executed_twice_while_the_leaders_connections_are_cut(proxy: Proxy, servers: Cluster) -> None:
    ledger, numbers = Ledger(), itertools.count()

    def push(wire: Wire, client: int, turn: int) -> None:
        attempts = [f"{client}:{next(numbers)}" for _ in range(5)]
        wire.send(b"".join(pack("RPUSH", f"log:{client}", attempt) for attempt in attempts))
        for attempt, reply in zip(attempts, wire.frames(5), strict=True):
            ledger.note(attempt, reply)

    with Load(proxy, push, clients=8) as load:
        assert cut_often(servers, load, 3) > 20
    assert load.failures == []
    ledger.check([item.decode() for client in range(8) for item in servers.leader.call("LRANGE", f"log:{client}", 0, -1)])


COUNTERS = 20


def transaction(wire: Wire, client: int, attempt: str) -> list[bytes]:
    """Three increments and a note of the attempt; odd clients send it in one packet, even ones command by command, until MULTI is refused."""
    counter = f"counter:{client}"
    commands = [pack("MULTI"), pack("INCR", counter), pack("RPUSH", f"log:{client}", attempt)]
    commands += [pack("INCR", counter), pack("INCR", counter), pack("EXEC")]
    if client % 2:
        wire.send(b"".join(commands))
        return wire.frames(6)
    replies = []
    for command in commands:
        wire.send(command)
        replies.append(wire.frame())
        if replies[0].startswith(b"-"):
            return replies * len(commands)  # there is no transaction, as where a server refuses MULTI
    return replies


def noted(servers: Cluster) -> list[str]:
    """The attempts that ran, as the leader's lists tell."""
    lists = [servers.leader.call("LRANGE", f"log:{client}", 0, -1) for client in range(COUNTERS)]
    return [item.decode() for items in lists for item in items]


def test_no_part_of_a_transaction_runs_outside_it_while_the_leaders_connections_are_cut(proxy: Proxy, servers: Cluster) -> None:
    ledger, numbers = Ledger(), itertools.count()

    def transact(wire: Wire, client: int, turn: int) -> None:
        attempt = f"{client}:{next(numbers)}"
        replies = transaction(wire, client, attempt)
        if replies[0] != b"+OK\r\n":
            assert all(reply.startswith(b"-") for reply in replies), replies
        ledger.note(attempt, replies[5])

    with Load(proxy, transact, clients=COUNTERS) as load:
        assert cut_often(servers, load, 5) > 20
    assert load.failures == []
    counters = [int(servers.leader.call("GET", f"counter:{client}") or 0) for client in range(COUNTERS)]
    assert [counter % 3 for counter in counters] == [0] * COUNTERS
    assert len(noted(servers)) == sum(counters) // 3
    ledger.check(noted(servers))


def test_no_command_of_a_transaction_is_called_not_executed_when_it_was(proxy: Proxy, servers: Cluster) -> None:
    called_not_executed: set[str] = set()
    numbers = itertools.count()

    def transact(wire: Wire, client: int, turn: int) -> None:
        attempt = f"{client}:{next(numbers)}"
        if any(b"not executed" in reply for reply in transaction(wire, client, attempt)):
            called_not_executed.add(attempt)

    with Load(proxy, transact, clients=COUNTERS) as load:
        cut_often(servers, load, 3)
    assert load.failures == []
    assert called_not_executed & set(noted(servers)) == set()
