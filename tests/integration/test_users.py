"""Passwords and ACL users hold end to end: who a session is decides what it may do, on the leader and on the
replicas.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import Address, Wire, pack, value_of

SECRET = "s3cret"


@pytest.fixture(scope="module")
def locked() -> Iterator[Cluster]:
    """Servers with a password, and two ACL users with different rights on every one of them."""
    with cluster(password=SECRET) as servers:
        for node in servers.nodes:
            node.call("ACL", "SETUSER", "alice", "on", ">wonder", "~alice:*", "+@all", "-@dangerous")
            node.call("ACL", "SETUSER", "bob", "on", ">builder", "~bob:*", "+get", "+set", "+multi", "+exec", "+acl|whoami")
        yield servers


@pytest.fixture(scope="module")
def guarded(locked: Cluster) -> Iterator[Proxy]:
    """rproxy that knows no password: every session must bring its own."""
    with rproxy(locked, "--consistency", "eventual") as proxy:
        yield proxy


@pytest.fixture
def direct(locked: Cluster) -> Address:
    return locked.leader.address


@pytest.fixture(scope="module")
def asking(locked: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A listener that wants a password, of an rproxy whom the servers take without: it knows theirs."""
    socket = str(tmp_path_factory.mktemp("asking") / "socket")
    urls = [f"redis://:{SECRET}@127.0.0.1:{node.port}" for node in locked.nodes]
    with rproxy(locked, "-l", f"unix://{socket}?auth=required", urls=urls):
        yield socket


CONVERSATIONS = {
    "nothing works without a password": "GET a; SET a 1; MULTI; EXEC; SELECT 1; NOSUCH; WATCH a; BLPOP q 0; ECHO x",
    "PING without a password": "PING; PING hello",
    "COMMAND without a password": "COMMAND COUNT",
    "CLIENT ID without a password": "CLIENT ID; CLIENT SETNAME x; CLIENT SETINFO LIB-NAME x",
    "wrong arity without a password": "GET; AUTH",
    "QUIT without a password": "QUIT",
    "RESET without a password": "RESET",
    "HELLO without a password": "HELLO; HELLO 2; HELLO 3; GET a",
    "HELLO with a bad version without a password": "HELLO 9; HELLO x",
    "HELLO with the password": f"HELLO 3 AUTH default {SECRET}; SET a 1; STRLEN nothing; GET nothing",
    "HELLO with a wrong password": "HELLO 3 AUTH default wrong; GET a",
    "HELLO with a user": "HELLO 2 AUTH alice wonder SETNAME tea; CLIENT GETNAME; ACL WHOAMI; SET alice:a 1",
    "a wrong password": "AUTH wrong; GET a",
    "a wrong user": "AUTH nobody wrong; GET a",
    "the right password": f"AUTH {SECRET}; SET a 1; STRLEN nothing",
    "the right password of the default user": f"AUTH default {SECRET}; SET a 1; STRLEN nothing",
    "a wrong password after the right one": f"AUTH {SECRET}; AUTH wrong; SET a 2; ACL WHOAMI",
    "one user after another": "AUTH alice wonder; ACL WHOAMI; AUTH bob builder; ACL WHOAMI; SET alice:a 1",
    "HELLO with a name after the password": f"AUTH {SECRET}; HELLO 3 SETNAME tea; CLIENT GETNAME; HELLO 4; HELLO 2 NONSENSE; HELLO 2 SETNAME b",
    "a database that is no number": f"AUTH {SECRET}; SELECT 1; SELECT one; SELECT 01; AUTH bob builder; SELECT one",
    "CLIENT REPLY without a password": "CLIENT REPLY OFF; CLIENT REPLY ON; CLIENT REPLY SKIP; PING",
    "what rproxy refuses without a password": "SYNC; SHUTDOWN; REPLICAOF NO ONE",
    "the password behind what is refused": f"WATCH a; MULTI; AUTH {SECRET}; SET a 1; STRLEN nothing",
    "a user behind a refused WATCH": "WATCH a; GET a; HELLO 2 AUTH alice wonder; SET alice:a 1; UNWATCH",
    "a user's own keys": "AUTH alice wonder; SET alice:a 1; SET bob:a 1; GET bob:a; MGET alice:a bob:a",
    "a user's own commands": "AUTH bob builder; SET bob:a 1; DEL bob:a; INCR bob:a; GET alice:a; KEYS *; NOSUCH",
    "a transaction of a user": "AUTH bob builder; MULTI; SET bob:a 1; GET bob:a; EXEC; GET bob:b",
    "a transaction with a refused command": "AUTH bob builder; MULTI; DEL bob:a; SET bob:a 2; EXEC; GET bob:a",
    "RESET forgets the user": f"AUTH {SECRET}; RESET; GET a",
}  # fmt: skip


def converse(address: Address, conversation: str, packed: bool = False) -> list[bytes]:
    commands = [pack(*line.split()) for line in conversation.split("; ")]
    with Wire(address) as wire:
        if packed:
            wire.send(b"".join(commands))
            return [masked(reply) for reply in wire.frames(len(commands))]
        replies = []
        for command in commands:
            wire.send(command)
            replies.append(masked(wire.frame()))
        return replies


def masked(reply: bytes) -> bytes:
    """HELLO's map holds a client id."""
    return reply.split(b"$2\r\nid\r\n")[0]


@pytest.mark.parametrize("packed", [False, True], ids=["one by one", "one packet"])
@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_authentication_answers_as_on_the_leader(
    guarded: Proxy, locked: Cluster, direct: Address, conversation: str, packed: bool
) -> None:
    locked.empty()
    expected = converse(direct, conversation)
    locked.empty()
    assert converse(guarded.address, conversation, packed) == expected


@pytest.mark.parametrize("line", ["CLIENT ID", "CLIENT GETNAME", "CLIENT SETNAME me", "CLIENT SETINFO LIB-NAME x"])
def test_the_very_first_client_of_an_rproxy_is_a_stranger_too(locked: Cluster, line: str) -> None:
    with rproxy(locked) as proxy, proxy.connect() as wire:
        assert wire.ask(*line.split()) == b"-NOAUTH Authentication required.\r\n"


STRANGERS = (
    "EXEC", "DISCARD", "MULTI", "HELLO 4", "HELLO x", "HELLO 3", "HELLO 3 SETNAME", "HELLO 3 SETNAME a", "HELLO 3 SETNAME a b", "HELLO 3 NONSENSE",
    "HELLO 3 AUTH default wrong", "GET a", "NOSUCH a", "CLIENT ID", "SELECT 1", "SUBSCRIBE a", "AUTH", "RESET", "SYNC", "PING",
)  # fmt: skip


@pytest.mark.parametrize("line", STRANGERS)
def test_where_only_the_listener_wants_a_password_strangers_are_told_what_a_server_tells_them(
    asking: Address, direct: Address, line: str
) -> None:
    assert converse(asking, line) == converse(direct, line)


LARGE = {
    "ten arguments": pack("PING", *"a" * 9),
    "eleven arguments": pack("PING", *"a" * 10),
    "a million arguments": b"*1000000\r\n",
    "an argument of 16 KB": pack("PING", "a" * 16384),
    "an argument of more": pack("PING", "a" * 16385),
    "an argument of a megabyte": b"*2\r\n$4\r\nPING\r\n$1000000\r\n",
}


@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE.keys())
def test_strangers_may_not_send_large_commands(asking: Address, direct: Address, data: bytes) -> None:
    def said(address: Address) -> tuple[bytes, bool]:
        with Wire(address) as wire:
            wire.send(data)
            reply = wire.frame()
            return reply, reply.startswith(b"-ERR Protocol") and wire.until_closed() == (b"", True)

    assert said(asking) == said(direct)


def test_who_has_said_the_password_may_send_large_commands(asking: Address) -> None:
    with Wire(asking) as wire:
        wire.send(
            pack("AUTH", SECRET)
            + pack("MSET", *"abcdefghijklmn")
            + pack("SET", "a", "x" * 20000)
            + pack("RESET")
            + pack("GET", *"a" * 10)
        )
        replies = wire.frames(5)
    assert replies[:4] == [b"+OK\r\n"] * 3 + [b"+RESET\r\n"]
    assert replies[4] == b"-ERR Protocol error: unauthenticated multibulk length\r\n"


def test_two_users_at_once_each_get_their_own_refusals(guarded: Proxy, locked: Cluster) -> None:
    with locked.leader.direct() as wire:
        wire.ask("MSET", "alice:k", "a", "bob:k", "b")
    locked.settle()
    with guarded.connect() as alice, guarded.connect() as bob:
        assert alice.ask("AUTH", "alice", "wonder") == bob.ask("AUTH", "bob", "builder") == b"+OK\r\n"
        for _ in range(20):
            for wire in (alice, bob):
                wire.send(pack("GET", "alice:k") + pack("GET", "bob:k") + pack("SET", "alice:w", "1") + pack("SET", "bob:w", "1"))
            mine, others = alice.frames(4), bob.frames(4)
            assert [reply[:7] for reply in mine] == [b"$1\r\na\r\n", b"-NOPERM", b"+OK\r\n", b"-NOPERM"]
            assert [reply[:7] for reply in others] == [b"-NOPERM", b"$1\r\nb\r\n", b"-NOPERM", b"+OK\r\n"]


def test_nobody_may_speak_while_another_session_is_authenticated(guarded: Proxy) -> None:
    with guarded.connect() as known, guarded.connect() as stranger:
        known.ask("AUTH", SECRET)
        for _ in range(10):
            assert known.ask("SET", "a", "1") == b"+OK\r\n"
            assert known.ask("STRLEN", "nothing") == b":0\r\n"
            assert stranger.ask("SET", "a", "1").startswith(b"-NOAUTH")
            assert stranger.ask("GET", "a").startswith(b"-NOAUTH")


def test_every_auth_is_asked_of_the_leader(guarded: Proxy, locked: Cluster) -> None:
    """The password changes while connections with the old one are open: the old one no longer opens a
    session.
    """
    for node in locked.nodes:
        node.call("ACL", "SETUSER", "carol", "on", ">first", "~*", "+@all")
    with guarded.connect() as old, guarded.connect() as new:
        assert old.ask("AUTH", "carol", "first") == b"+OK\r\n"
        assert old.ask("SET", "a", "1") == b"+OK\r\n"
        for node in locked.nodes:
            node.call("ACL", "SETUSER", "carol", "resetpass", ">second")
        assert new.ask("AUTH", "carol", "first").startswith(b"-WRONGPASS")
        assert new.ask("AUTH", "carol", "second") == b"+OK\r\n"
        assert new.ask("SET", "a", "2") == b"+OK\r\n"


def test_a_users_reads_land_on_the_replicas(locked: Cluster) -> None:
    """The servers' own password stands in the URLs, for the probes; the session brings a user of its own."""
    urls = [f"redis://:{SECRET}@127.0.0.1:{node.port}" for node in locked.nodes]
    locked.empty()
    with rproxy(locked, urls=urls) as proxy, proxy.connect() as wire:
        assert wire.ask("AUTH", "alice", "wonder") == b"+OK\r\n"
        for _ in range(40):
            wire.ask("STRLEN", "alice:nothing")
    assert locked.leader.calls("strlen") == 0


def test_the_password_in_the_server_urls_serves_sessions_that_bring_none(locked: Cluster) -> None:
    urls = [f"redis://:{SECRET}@127.0.0.1:{node.port}" for node in locked.nodes]
    with rproxy(locked, urls=urls) as proxy, proxy.connect() as wire:
        assert wire.ask("SET", "a", "1") == b"+OK\r\n"
        assert wire.ask("STRLEN", "nothing") == b":0\r\n"
        wire.send(pack("MULTI") + pack("INCR", "a") + pack("EXEC"))
        assert value_of(wire.frames(3)[2]) == [2]


def test_a_session_without_a_password_begins_in_the_database_of_the_server_urls(servers: Cluster) -> None:
    with rproxy(servers, urls=[f"{url}/2" for url in servers.urls]) as proxy, proxy.connect() as wire:
        assert wire.ask("SET", "a", "in2") == b"+OK\r\n"
    with servers.leader.direct() as wire:
        assert wire.ask("GET", "a") == b"$-1\r\n"
        wire.ask("SELECT", "2")
        assert wire.ask("GET", "a") == b"$3\r\nin2\r\n"
