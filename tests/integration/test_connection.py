"""Connection commands: a session's database, protocol, name and id are its own, and the answers are those of
a server.
"""

from __future__ import annotations

import re
import shlex

import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import Address, Wire, pack

# Conversations of one connection whose replies must be the leader's own bytes, a client id aside.
CONVERSATIONS = {
    "HELLO without arguments": "HELLO",
    "HELLO 2": "HELLO 2; GET nothing",
    "HELLO 3": "HELLO 3; GET nothing; HGETALL nothing",
    "HELLO there and back": "HELLO 3; HELLO 2; GET nothing; HELLO 3; GET nothing",
    "HELLO with a name": "HELLO 3 SETNAME me; CLIENT GETNAME",
    "HELLO with a bad name": "HELLO 3 SETNAME 'a b'; CLIENT GETNAME; GET nothing",
    "HELLO 1": "HELLO 1; GET nothing",
    "HELLO 4": "HELLO 4; GET nothing",
    "HELLO with a word": "HELLO three; GET nothing",
    "HELLO with a bad option": "HELLO 3 BOGUS; GET nothing",
    "HELLO with half an option": "HELLO 3 AUTH me; GET nothing",
    "HELLO with a wrong password": "HELLO 3 AUTH nobody wrong; GET nothing",
    "HELLO with a wrong password and a name": "HELLO 3 AUTH nobody wrong SETNAME x; CLIENT GETNAME",
    "AUTH without a password set": "AUTH secret",
    "AUTH of a user who isn't there": "AUTH nobody secret",
    "AUTH of the default user": "AUTH default anything",
    "AUTH with too much": "AUTH a b c",
    "AUTH alone": "AUTH",
    "SELECT": "SELECT 1; SET a in1; GET a; SELECT 0; GET a; SELECT 1; GET a",
    "SELECT out of range": "SET a in0; SELECT 16; GET a; SELECT 99999999999; SELECT -1; GET a",
    "SELECT of a word": "SELECT abc; SELECT ''; SELECT 1.5; SELECT 0x1",
    "SELECT with too much": "SELECT 1 2; SELECT",
    "SELECT with odd spellings of a number": "SELECT 01; SELECT +1; SELECT ' 1'",
    "CLIENT SETNAME": "CLIENT GETNAME; CLIENT SETNAME me; CLIENT GETNAME; CLIENT SETNAME ''; CLIENT GETNAME",
    "CLIENT SETNAME with a blank": "CLIENT SETNAME 'a b'; CLIENT GETNAME",
    "CLIENT SETNAME with too much": "CLIENT SETNAME a b; CLIENT SETNAME",
    "CLIENT GETNAME in RESP3": "HELLO 3; CLIENT GETNAME; CLIENT SETNAME me; CLIENT GETNAME",
    "CLIENT SETINFO": "CLIENT SETINFO LIB-NAME redis-py; CLIENT SETINFO LIB-VER 8.0; client setinfo lib-name x",
    "CLIENT SETINFO of what isn't there": "CLIENT SETINFO BOGUS x; CLIENT SETINFO LIB-NAME; CLIENT SETINFO LIB-NAME 'a b'",
    "CLIENT MAINT_NOTIFICATIONS": "CLIENT MAINT_NOTIFICATIONS ON",
    "PING": "PING; PING hello; ping; PING a b; PING ''",
    "ECHO": "ECHO hello; ECHO; ECHO a b; ECHO ''",
    "RESET": "SELECT 1; CLIENT SETNAME me; HELLO 3; RESET; CLIENT GETNAME; GET nothing; SET a in0; SELECT 0; GET a",
    "RESET with arguments": "RESET now",
    "COMMAND": "COMMAND COUNT; COMMAND INFO GET SET nosuch; COMMAND GETKEYS GET a; COMMAND NOSUCH",
    "COMMAND in RESP3": "HELLO 3; COMMAND INFO GET; COMMAND DOCS GET",
    "COMMAND whole": "COMMAND",
    "QUIT": "QUIT",
    "QUIT with arguments": "QUIT now",
}  # fmt: skip


def converse(address: Address, conversation: str) -> list[bytes]:
    with Wire(address) as wire:
        return [without_id(wire.ask(*shlex.split(line))) for line in conversation.split("; ")]


def without_id(reply: bytes) -> bytes:
    return re.sub(rb"\$2\r\nid\r\n:\d+\r\n", b"$2\r\nid\r\n:N\r\n", reply)


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_connection_commands_answer_as_the_leader(strict: Proxy, servers: Cluster, conversation: str) -> None:
    expected = converse(servers.leader.address, conversation)
    servers.leader.call("FLUSHALL")
    assert converse(strict.address, conversation) == expected


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_connection_commands_answer_so_in_one_packet(strict: Proxy, servers: Cluster, conversation: str) -> None:
    expected = converse(servers.leader.address, conversation)
    servers.leader.call("FLUSHALL")
    lines = conversation.split("; ")
    with strict.connect() as wire:
        wire.send(b"".join(pack(*shlex.split(line)) for line in lines))
        assert [without_id(reply) for reply in wire.frames(len(lines))] == expected


def test_client_ids_are_stable_and_differ(proxy: Proxy) -> None:
    with proxy.connect() as one, proxy.connect() as two:
        ids = [one.call("CLIENT", "ID"), one.call("CLIENT", "ID"), two.call("CLIENT", "ID")]
    assert ids[0] == ids[1] != ids[2]
    assert all(isinstance(number, int) and number > 0 for number in ids)


def test_hello_names_the_id_that_client_id_gives(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        reply = wire.call("HELLO", "2")
        assert dict(zip(reply[::2], reply[1::2], strict=True))[b"id"] == wire.call("CLIENT", "ID")


def test_names_belong_to_one_client(proxy: Proxy) -> None:
    with proxy.connect() as one, proxy.connect() as two:
        one.ask("CLIENT", "SETNAME", "first")
        two.ask("CLIENT", "SETNAME", "second")
        assert one.ask("CLIENT", "GETNAME") == b"$5\r\nfirst\r\n"
        assert two.ask("CLIENT", "GETNAME") == b"$6\r\nsecond\r\n"


def test_reads_on_replicas_use_the_selected_database(proxy: Proxy, servers: Cluster) -> None:
    with servers.leader.direct() as direct:
        for database in (0, 1, 5):
            direct.ask("SELECT", str(database))
            direct.ask("SET", "where", f"in{database}")
    servers.settle()
    servers.leader.forget()
    with proxy.connect() as one, proxy.connect() as two:
        for _ in range(20):
            one.send(pack("SELECT", "1") + pack("GET", "where") + pack("SELECT", "5") + pack("GET", "where"))
            assert one.frames(4) == [b"+OK\r\n", b"$3\r\nin1\r\n", b"+OK\r\n", b"$3\r\nin5\r\n"]
            assert two.ask("GET", "where") == b"$3\r\nin0\r\n"
    assert servers.leader.calls("get") == 0


def test_a_select_takes_effect_between_the_commands_around_it(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        wire.send(b"".join(pack("SELECT", str(n % 4)) + pack("RPUSH", "list", str(n)) for n in range(200)))
        replies = wire.frames(400)
    assert replies[0::2] == [b"+OK\r\n"] * 200
    assert replies[1::2] == [b":%d\r\n" % (n // 4 + 1) for n in range(200)]


def test_protocols_switch_between_the_commands_around_them(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        wire.send((pack("HELLO", "3") + pack("GET", "nothing") + pack("HELLO", "2") + pack("GET", "nothing")) * 20)
        replies = wire.frames(80)
    assert replies[1::4] == [b"_\r\n"] * 20
    assert replies[3::4] == [b"$-1\r\n"] * 20


def test_ping_is_answered_between_other_replies_in_its_place(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        wire.send((pack("INCR", "a") + pack("PING") + pack("GET", "nothing") + pack("ECHO", "x")) * 50)
        replies = wire.frames(200)
    assert replies[0::4] == [b":%d\r\n" % n for n in range(1, 51)]
    assert replies[1::4] == [b"+PONG\r\n"] * 50
    assert replies[2::4] == [b"$-1\r\n"] * 50
    assert replies[3::4] == [b"$1\r\nx\r\n"] * 50


def test_a_client_name_never_reaches_the_shared_connections(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        wire.ask("CLIENT", "SETNAME", "private-name")
        wire.ask("INCR", "a")
        wire.ask("GET", "a")
        listed = [node.call("CLIENT", "LIST") for node in servers.nodes]
    assert [b"private-name" in clients for clients in listed] == [False, False, False]
