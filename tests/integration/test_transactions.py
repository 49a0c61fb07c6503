"""MULTI, EXEC, DISCARD and WATCH: the leader's own answers, everything on the leader, and never a part of a
transaction outside it.
"""

from __future__ import annotations

import shlex

import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import Address, Wire, pack, value_of

# Each is a conversation of its own on a server without keys: one connection's commands, and with "other:"
# another's.
CONVERSATIONS = {
    "a plain transaction": "MULTI; SET a 1; INCR a; GET a; EXEC; GET a",
    "an empty transaction": "MULTI; EXEC",
    "a failing command inside": "SET s x; MULTI; INCR s; SET a 1; EXEC; GET a",
    "a discarded transaction": "SET a 0; MULTI; INCR a; DISCARD; GET a",
    "an unknown command while queueing": "MULTI; SET a 1; NOSUCH x; EXEC; GET a; EXEC",
    "a wrong number of arguments while queueing": "MULTI; SET a; SET b 1; EXEC; GET b",
    "EXEC without MULTI": "EXEC; SET a 1; GET a",
    "DISCARD without MULTI": "DISCARD",
    "EXEC with arguments": "MULTI; EXEC now; SET a 1; EXEC; GET a",
    "MULTI with arguments": "MULTI now; EXEC",
    "MULTI inside MULTI": "MULTI; SET a 1; MULTI; SET a 2; EXEC; GET a",
    "WATCH inside MULTI": "MULTI; WATCH a; SET a 1; EXEC; GET a",
    "UNWATCH inside MULTI": "WATCH a; other: SET a 9; MULTI; UNWATCH; EXEC",
    "WATCH without arguments": "WATCH; MULTI; EXEC",
    "WATCH without a conflict": "SET a 1; WATCH a; GET a; MULTI; INCR a; EXEC; GET a",
    "WATCH with a conflict": "SET a 1; WATCH a; GET a; other: SET a 5; MULTI; INCR a; EXEC; GET a",
    "WATCH with a conflict after MULTI": "SET a 1; WATCH a; MULTI; INCR a; other: SET a 5; EXEC; GET a",
    "WATCH with a conflict by itself": "WATCH a; SET a 1; MULTI; INCR a; EXEC; GET a",
    "WATCH twice": "WATCH a; WATCH b; other: SET b 1; MULTI; SET c 1; EXEC; EXISTS c",
    "UNWATCH forgets": "WATCH a; other: SET a 5; UNWATCH; MULTI; INCR a; EXEC",
    "DISCARD forgets": "WATCH a; other: SET a 5; MULTI; DISCARD; MULTI; INCR a; EXEC",
    "EXEC forgets": "WATCH a; MULTI; EXEC; other: SET a 5; MULTI; INCR a; EXEC",
    "UNWATCH without WATCH": "UNWATCH; SET a 1; GET a",
    "ECHO and PING inside": "MULTI; PING; PING hello; ECHO hello; EXEC",
    "connection commands inside": "MULTI; CLIENT SETNAME inside; CLIENT GETNAME; EXEC",
    "SELECT inside": "MULTI; SELECT 3; SET a in3; EXEC; GET a; SELECT 0; GET a; SELECT 3; GET a",
    "SELECT inside, discarded": "SET a 0; MULTI; SELECT 3; DISCARD; GET a",
    "a wrong SELECT inside": "SET a 0; MULTI; SELECT 99; EXEC; GET a",
    "SELECT while watching": "WATCH a; SELECT 3; SET a in3; MULTI; GET a; EXEC; GET a; SELECT 0; GET a",
    "SELECT while watching, with a conflict": "WATCH a; SELECT 3; other: SET a 5; MULTI; SET b 1; EXEC; EXISTS b",
    "SELECT before": "SELECT 2; MULTI; SET a in2; GET a; EXEC; GET a",
    "QUIT inside": "MULTI; SET a 1; QUIT",
    "RESET inside": "MULTI; SET a 1; RESET; GET a; EXEC",
    "RESET while watching": "WATCH a; RESET; other: SET a 5; MULTI; SET a 1; EXEC",
    "a blocking command inside": "MULTI; BLPOP nothing 0; EXEC; GET a",
    "a script inside": "MULTI; EVAL \"return redis.call('INCR','a')\" 0; EXEC; GET a",
    "WATCH inside is refused but the rest goes on": "MULTI; WATCH a; INCR n; EXEC; GET n",
    "two transactions in a row": "MULTI; INCR a; EXEC; MULTI; INCR a; EXEC; GET a",
    "a denied arity inside aborts": "MULTI; GET; EXEC; GET a",
    "SUBSCRIBE without channels inside": "MULTI; SUBSCRIBE; EXEC; GET a",
    "SUBSCRIBE without channels while watching": "WATCH a; SUBSCRIBE; MULTI; SET a 1; EXEC",
    "CLIENT KILL without a client while watching": "WATCH a; CLIENT KILL; MULTI; SET a 1; EXEC",
}


def run(wire: Wire, other: Wire, conversation: str) -> list[bytes]:
    """The bytes of every reply of one conversation; QUIT's is the last."""
    replies = []
    for turn in conversation.split("; "):
        who, line = (other, turn[7:]) if turn.startswith("other: ") else (wire, turn)
        replies.append(who.ask(*shlex.split(line)))
    return replies


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_a_transaction_answers_as_on_the_leader(strict: Proxy, servers: Cluster, conversation: str, protocol: int) -> None:
    def answers(address: Address) -> list[bytes]:
        servers.leader.call("FLUSHALL")
        with Wire(address) as wire, Wire(address) as other:
            if protocol == 3:
                wire.ask("HELLO", "3")
            replies = run(wire, other, conversation)
        return [value_shape(reply) for reply in replies]

    assert answers(strict.address) == answers(servers.leader.address)


@pytest.mark.parametrize(
    "inside",
    [
        ("HELLO", "3"),
        ("AUTH", "alice", "wrong"),
        ("AUTH", "alice", "wonder"),
        ("CLIENT", "SETNAME", "inside"),
        ("CLIENT", "SETNAME", "a b"),
    ],
)
def test_what_changes_the_connection_does_so_with_exec(strict: Proxy, servers: Cluster, inside: tuple[str, ...]) -> None:
    servers.leader.call("ACL", "SETUSER", "alice", "on", ">wonder", "~*", "&*", "+@all")

    def answers(wire: Wire) -> list[bytes]:
        with wire:
            wire.send(pack("MULTI") + pack(*inside) + pack("SET", "a", "1") + pack("CLIENT", "GETNAME") + pack("EXEC"))
            wire.send(pack("CLIENT", "GETNAME") + pack("ACL", "WHOAMI") + pack("GET", "nothing"))
            return [without_hello(reply) for reply in wire.frames(8)]

    assert answers(strict.connect()) == answers(servers.leader.direct())
    servers.leader.call("ACL", "DELUSER", "alice")


def without_hello(reply: bytes) -> bytes:
    """Of a reply that holds HELLO's the ends alone: in its middle stands a client id."""
    before, mark, after = reply.partition(b"$2\r\nid\r\n")
    return before + mark + after[-10:] if mark else reply


def value_shape(reply: bytes) -> bytes:
    """HELLO's reply holds a client id, which differs with every connection; all other replies stay as they
    are.
    """
    return reply.split(b"$2\r\nid\r\n")[0] if b"$2\r\nid\r\n" in reply else reply


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_a_transaction_in_one_packet_answers_the_same(strict: Proxy, servers: Cluster, conversation: str) -> None:
    """What the other client does comes first; the rest is sent at once."""
    turns = conversation.split("; ")
    data = b"".join(pack(*shlex.split(turn)) for turn in turns if not turn.startswith("other: "))
    count = sum(not turn.startswith("other: ") for turn in turns)

    def answers(address: Address) -> list[bytes]:
        servers.leader.call("FLUSHALL")
        with Wire(address) as wire:
            wire.send(data)
            return [value_shape(reply) for reply in wire.frames(count)]

    assert answers(strict.address) == answers(servers.leader.address)


def test_every_command_of_a_transaction_lands_on_the_leader(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        for _ in range(20):
            wire.send(b"".join(pack(*line.split()) for line in ("MULTI", "GET a", "INCR a", "STRLEN b", "EXEC")))
            wire.frames(5)
    names = ["multi", "exec", "get", "strlen", "incr"]
    assert [servers.leader.calls(name) for name in names] == [20] * 5
    reads_on_replicas = [node.calls(name) for node in servers.replicas for name in ("get", "strlen")]
    assert reads_on_replicas == [0, 0, 0, 0]


def test_reads_after_watch_go_to_the_leader_until_exec(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        for _ in range(10):
            for line in ("WATCH a", "GET a", "MULTI", "INCR a", "EXEC"):
                wire.ask(*line.split())
    assert [node.calls("get") for node in servers.nodes] == [10, 0, 0]


@pytest.mark.parametrize("ending", ["EXEC", "DISCARD"])
def test_reads_go_to_replicas_again_after_a_transaction(proxy: Proxy, servers: Cluster, ending: str) -> None:
    with proxy.connect() as wire:
        for line in ("WATCH a", "MULTI", "INCR a", ending):
            wire.ask(*line.split())
        for _ in range(20):
            wire.ask("GET", "a")
    assert servers.leader.calls("get") == 0


def test_reads_go_to_replicas_again_after_unwatch(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        for line in ["WATCH a", "UNWATCH", *["GET a"] * 20]:
            wire.ask(*line.split())
    assert servers.leader.calls("get") == 0


def test_a_transaction_sees_the_writes_before_it_in_the_same_packet(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        for number in range(50):
            lines = [f"SET a {number}", "MULTI", "GET a", "INCR a", "EXEC", f"SET b {number}", "GET nothing"]
            wire.send(b"".join(pack(*line.split()) for line in lines))
            replies = wire.frames(7)
            assert value_of(replies[4]) == [str(number).encode(), number + 1]
            assert replies[5:] == [b"+OK\r\n", b"$-1\r\n"]


def test_a_packet_as_djangos_set_many_sends_it(proxy: Proxy, servers: Cluster) -> None:
    keys = [f":1:key{number}" for number in range(30)]
    lines = [["MULTI"], ["MSET", *(word for key in keys for word in (key, "v"))]]
    lines += [*(["EXPIRE", key, "300"] for key in keys), ["EXEC"]]
    with proxy.connect() as wire:
        wire.send(b"".join(pack(*line) for line in lines))
        replies = wire.frames(len(lines))
    assert replies[0] == b"+OK\r\n"
    assert set(replies[1:-1]) == {b"+QUEUED\r\n"}
    assert value_of(replies[-1]) == [b"OK", *[1] * 30]
    assert servers.leader.calls("exec") == 1


def test_transactions_of_many_clients_do_not_mix(proxy: Proxy) -> None:
    wires = [proxy.connect() for _ in range(30)]
    for step in (["MULTI"], ["INCR", "?"], ["ECHO", "?"], ["INCR", "?"], ["EXEC"]):
        for number, wire in enumerate(wires):
            wire.send(pack(*(word.replace("?", f"own{number}") for word in step)))
    for number, wire in enumerate(wires):
        assert value_of(wire.frames(5)[4]) == [1, f"own{number}".encode(), 2]
        wire.close()


def test_a_client_that_vanishes_inside_a_transaction_changes_nothing(proxy: Proxy, servers: Cluster) -> None:
    for _ in range(10):
        wire = proxy.connect()
        wire.send(pack("WATCH", "a") + pack("MULTI") + pack("INCR", "a"))
        wire.frames(3)
        wire.abort()
    with proxy.connect() as wire:
        wire.send(pack("MULTI") + pack("INCR", "b") + pack("EXEC"))
        assert wire.frames(3)[2] == b"*1\r\n:1\r\n"
    assert servers.leader.call("EXISTS", "a") == 0


def test_connections_to_the_leader_are_reused_after_transactions(proxy: Proxy, servers: Cluster) -> None:
    before = int(servers.leader.info("stats")["total_connections_received"])
    with proxy.connect() as wire:
        for _ in range(100):
            wire.send(pack("MULTI") + pack("INCR", "a") + pack("EXEC"))
            wire.frames(3)
    opened = int(servers.leader.info("stats")["total_connections_received"]) - before
    assert opened < 20


def cut(proxy: Proxy, servers: Cluster) -> None:
    """Close every connection of rproxy's to the leader; returns when rproxy knows.

    The ends have arrived at its host when the leader answers, so that they are seen in the loop pass of the first PING, or before it.
    """
    assert servers.leader.disconnect_clients() > 0
    with proxy.connect() as other:
        assert [other.ask("PING") for _ in range(2)] == [b"+PONG\r\n"] * 2


class TestLeaderConnectionLost:
    """The connection that a transaction had to the leader is cut before EXEC: errors, EXECABORT, and nothing
    ran.
    """

    def test_exec_answers_execabort(self, proxy: Proxy, servers: Cluster) -> None:
        with proxy.connect() as wire:
            wire.send(pack("MULTI") + pack("INCR", "a"))
            assert wire.frames(2) == [b"+OK\r\n", b"+QUEUED\r\n"]
            cut(proxy, servers)
            queued = wire.ask("INCR", "a")
            assert queued.startswith(b"-") and b"not executed" in queued
            assert wire.ask("EXEC").startswith(b"-EXECABORT")
            assert wire.ask("SET", "other", "1") == b"+OK\r\n"
        assert servers.leader.call("EXISTS", "a") == 0

    def test_exec_alone_after_the_loss_answers_execabort(self, proxy: Proxy, servers: Cluster) -> None:
        with proxy.connect() as wire:
            wire.send(pack("MULTI") + pack("INCR", "a"))
            wire.frames(2)
            cut(proxy, servers)
            assert wire.ask("EXEC").startswith(b"-EXECABORT")
        assert servers.leader.call("EXISTS", "a") == 0

    def test_discard_ends_a_lost_transaction(self, proxy: Proxy, servers: Cluster) -> None:
        with proxy.connect() as wire:
            wire.send(pack("MULTI") + pack("INCR", "a"))
            wire.frames(2)
            cut(proxy, servers)
            assert wire.ask("DISCARD") == b"+OK\r\n"
            assert wire.ask("INCR", "b") == b":1\r\n"
        assert servers.leader.call("EXISTS", "a") == 0

    def test_a_lost_watch_makes_exec_fail(self, proxy: Proxy, servers: Cluster) -> None:
        with proxy.connect() as wire:
            assert wire.ask("WATCH", "a") == b"+OK\r\n"
            cut(proxy, servers)
            servers.leader.call("SET", "a", "changed")
            wire.send(pack("MULTI") + pack("SET", "a", "mine") + pack("EXEC"))
            last = wire.frames(3)[2]
            assert last.startswith(b"-EXECABORT") or last == b"*-1\r\n"
        assert servers.leader.call("GET", "a") == b"changed"

    def test_the_next_transaction_works(self, proxy: Proxy, servers: Cluster) -> None:
        with proxy.connect() as wire:
            wire.send(pack("MULTI") + pack("INCR", "a"))
            wire.frames(2)
            cut(proxy, servers)
            wire.ask("EXEC")
            wire.send(pack("MULTI") + pack("INCR", "b") + pack("EXEC"))
            assert wire.frames(3)[2] == b"*1\r\n:1\r\n"


def test_a_transaction_may_have_a_hundred_thousand_commands(proxy: Proxy) -> None:
    with proxy.connect(timeout=60) as wire:
        wire.send(pack("MULTI") + pack("INCR", "n") * 100_000 + pack("EXEC"))
        begun, *queued, executed = wire.frames(100_002)
    assert begun == b"+OK\r\n" and set(queued) == {b"+QUEUED\r\n"}
    assert executed.startswith(b"*100000\r\n:1\r\n") and executed.endswith(b":100000\r\n")
