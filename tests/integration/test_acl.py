"""Users that come, change and go while they are connected, with real servers: what one server does with its connections happens to sessions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, Node, cluster
from tests.integration.wire import Wire, eventually, pack

GONE = (EOFError, ConnectionError)


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A leader and a replica, each with an ACL file of its own; the administrator `root` may do all."""
    folder = tmp_path_factory.mktemp("acl")
    nodes = []
    for name in ("leader", "replica"):
        path = folder / f"{name}.acl"
        path.write_text("user default on nopass ~* &* +@all\nuser root on >root ~* &* +@all\n")
        nodes.append(("--aclfile", str(path)))
    with Node(arguments=nodes[0]) as leader, Node(of=leader, arguments=nodes[1]) as replica:
        servers = Cluster(leader, [replica])
        servers.settle()
        yield servers


@pytest.fixture(scope="module")
def front(filed: Cluster) -> Iterator[Proxy]:
    with rproxy(filed, "--consistency", "eventual") as proxy:
        yield proxy


@pytest.fixture
def root(filed: Cluster, front: Proxy) -> Iterator[Wire]:
    """The administrator, through rproxy; `bob` and `eve` are not there."""
    for node in filed.nodes:
        node.call("ACL", "DELUSER", "bob", "eve")
    eventually(lambda: read_by_the_replica(front, filed), "the replica is read", within=20)
    with front.connect() as wire:
        wire.ask("AUTH", "root", "root")
        yield wire


def read_by_the_replica(front: Proxy, filed: Cluster) -> bool:
    before = filed.replicas[0].calls("strlen")
    with front.connect() as wire:
        wire.ask("STRLEN", "nothing")
    return filed.replicas[0].calls("strlen") > before


def user(front: Proxy, name: str = "bob", password: str = "old") -> Wire:
    wire = front.connect()
    assert wire.ask("AUTH", name, password) == b"+OK\r\n"
    return wire


def closed(wire: Wire) -> bool:
    """Nothing comes but the end."""
    try:
        return wire.until_closed(quiet=5)[1]
    except GONE:
        return True


def test_a_user_who_is_made_and_changed_is_so_on_every_server(root: Wire, front: Proxy, filed: Cluster) -> None:
    assert root.ask("ACL", "SETUSER", "bob", "on", ">old", "~*", "+get", "+strlen", "+acl|whoami") == b"+OK\r\n"
    rules = [node.call("ACL", "GETUSER", "bob") for node in filed.nodes]
    assert None not in rules
    with user(front) as bob:
        for _ in range(10):
            assert bob.ask("STRLEN", "a") == b":0\r\n"
        assert root.ask("ACL", "SETUSER", "bob", "-strlen") == b"+OK\r\n"
        bob.send(pack("GET", "a") + pack("STRLEN", "a") + pack("ACL", "WHOAMI"))
        get, strlen, whoami = bob.frames(3)
        assert (get, strlen[:7], whoami) == (b"$-1\r\n", b"-NOPERM", b"$3\r\nbob\r\n")


def test_a_transaction_that_changes_a_user_does_so_on_every_server(root: Wire, front: Proxy) -> None:
    root.ask("ACL", "SETUSER", "bob", "on", ">old", "~*", "+get", "+strlen")
    with user(front) as bob:
        root.send(pack("MULTI") + pack("ACL", "SETUSER", "bob", "-strlen") + pack("EXEC"))
        assert root.frames(3) == [b"+OK\r\n", b"+QUEUED\r\n", b"*1\r\n+OK\r\n"]
        for _ in range(10):
            assert bob.ask("STRLEN", "a").startswith(b"-NOPERM")


def test_a_transaction_that_deletes_a_user_closes_his_connections(root: Wire, front: Proxy) -> None:
    root.ask("ACL", "SETUSER", "bob", "on", ">old", "~*", "+get")
    with user(front) as bob:
        root.send(pack("MULTI") + pack("ACL", "DELUSER", "bob") + pack("EXEC"))
        assert root.frames(3)[2] == b"*1\r\n:1\r\n"
        assert closed(bob)


def test_users_with_different_rights_read_and_write_at_the_same_time(root: Wire, front: Proxy) -> None:
    root.ask("ACL", "SETUSER", "bob", "on", ">old", "~bob:*", "+get", "+set")
    root.ask("ACL", "SETUSER", "eve", "on", ">old", "~eve:*", "+get", "+set", "+strlen")
    with user(front, "bob") as bob, user(front, "eve") as eve:
        for turn in range(50):
            for wire, name, other in ((bob, "bob", "eve"), (eve, "eve", "bob")):
                wire.send(pack("SET", f"{name}:k", turn) + pack("GET", f"{other}:k") + pack("STRLEN", f"{name}:nothing"))
            for wire, strlen in ((bob, b"-NOPERM"), (eve, b":0\r\n")):
                replies = wire.frames(3)
                assert [reply[:7] for reply in replies] == [b"+OK\r\n", b"-NOPERM", strlen]


def test_a_connection_stays_when_the_password_changes(root: Wire, front: Proxy) -> None:
    root.ask("ACL", "SETUSER", "bob", "on", ">old", "~*", "+@all")
    with user(front) as bob, user(front) as unused:
        assert bob.ask("SET", "a", "1") == b"+OK\r\n"
        assert root.ask("ACL", "SETUSER", "bob", "resetpass", ">new") == b"+OK\r\n"
        with front.connect() as late:
            assert late.ask("AUTH", "bob", "old").startswith(b"-WRONGPASS")
            assert late.ask("AUTH", "bob", "new") == b"+OK\r\n"
        for wire in (bob, unused):
            assert wire.ask("SET", "a", "2") == b"+OK\r\n"
            assert wire.ask("STRLEN", "nothing") == b":0\r\n"
            wire.send(pack("MULTI") + pack("ACL", "WHOAMI") + pack("EXEC"))
            assert wire.frames(3)[2] == b"*1\r\n$3\r\nbob\r\n"
            assert wire.ask("SELECT", "1") == b"+OK\r\n"


def test_a_connection_stays_when_its_password_is_taken_away_for_good(root: Wire, front: Proxy) -> None:
    root.ask("ACL", "SETUSER", "bob", "on", ">old", "~*", "+@all")
    with user(front) as bob:
        assert bob.ask("SET", "a", "1") == b"+OK\r\n"
        assert root.ask("ACL", "SETUSER", "bob", "off", "resetpass") == b"+OK\r\n"
        for _ in range(10):
            assert bob.ask("SET", "a", "2") == b"+OK\r\n"
            assert bob.ask("STRLEN", "nothing") == b":0\r\n"


@pytest.mark.parametrize("beside", [False, True], ids=["through rproxy", "beside rproxy"])
def test_the_connections_of_a_deleted_user_are_closed_and_nobody_elses(
    root: Wire, front: Proxy, filed: Cluster, beside: bool
) -> None:
    root.ask("ACL", "SETUSER", "bob", "on", ">old", "~*", "&*", "+@all")
    with user(front) as idle, user(front) as busy, user(front) as reading, user(front) as blocked, user(front) as listening:
        busy.ask("SET", "a", "1")
        reading.ask("STRLEN", "nothing")
        listening.ask("SUBSCRIBE", "news")
        blocked.send(pack("BLPOP", "q", 0))
        eventually(lambda: filed.leader.blocked_clients() == 1, "somebody is blocked")
        if beside:
            filed.leader.call("ACL", "DELUSER", "bob")
        else:
            assert root.ask("ACL", "DELUSER", "bob") == b":1\r\n"
        for wire in (idle, busy, reading, blocked, listening):
            assert closed(wire)
    assert root.ask("ACL", "WHOAMI") == b"$4\r\nroot\r\n"
    with front.connect() as wire:
        assert wire.ask("AUTH", "bob", "old").startswith(b"-WRONGPASS")


def test_the_connections_of_a_deleted_user_are_closed_in_every_worker(root: Wire, filed: Cluster) -> None:
    with rproxy(filed, "--consistency", "eventual", "--workers", "3") as many:
        root.ask("ACL", "SETUSER", "bob", "on", ">old", "~*", "+@all")
        with contextlib.ExitStack() as stack:
            bobs = [stack.enter_context(user(many)) for _ in range(9)]
            with many.connect() as another:
                assert another.ask("ACL", "DELUSER", "bob") == b":1\r\n"
            assert all(closed(bob) for bob in bobs)


def test_who_deletes_himself_has_his_reply(root: Wire, front: Proxy) -> None:
    root.ask("ACL", "SETUSER", "bob", "on", ">old", "~*", "+@all")
    with user(front) as bob:
        assert bob.ask("ACL", "DELUSER", "bob") == b":1\r\n"
        assert closed(bob)


def test_the_file_is_saved_and_loaded_on_every_server(root: Wire, filed: Cluster, tmp_path: Path) -> None:
    root.ask("ACL", "SETUSER", "bob", "on", ">old", "~*", "+get")
    assert root.ask("ACL", "SAVE") == b"+OK\r\n"
    paths = [Path(node.call("CONFIG", "GET", "aclfile")[1].decode()) for node in filed.nodes]
    assert ["user bob" in path.read_text() for path in paths] == [True, True]
    for path in paths:
        path.write_text(path.read_text().replace("user bob", "user eve"))
    assert root.ask("ACL", "LOAD") == b"+OK\r\n"
    assert [node.call("ACL", "GETUSER", "bob") for node in filed.nodes] == [None, None]
    assert None not in [node.call("ACL", "GETUSER", "eve") for node in filed.nodes]


def test_replies_are_the_leaders_own(root: Wire, filed: Cluster) -> None:
    lines = [
        "ACL SETUSER", "ACL SETUSER eve nonsense", "ACL SETUSER eve on", "ACL DELUSER", "ACL DELUSER eve eve", "ACL DELUSER nobody", "ACL DELUSER default",
        "ACL LOAD extra", "ACL SAVE extra",
    ]  # fmt: skip
    with filed.leader.direct() as direct:
        expected = [direct.ask(*line.split()) for line in lines]
    assert [root.ask(*line.split()) for line in lines] == expected


def test_a_replica_that_knows_the_user_less_well_leaves_the_reads_to_the_leader(root: Wire, front: Proxy, filed: Cluster) -> None:
    filed.leader.call("ACL", "SETUSER", "bob", "on", ">old", "~*", "+@all")
    with user(front) as bob:
        assert [bob.ask("STRLEN", "nothing") for _ in range(5)] == [b":0\r\n"] * 5
    filed.replicas[0].call("ACL", "SETUSER", "bob", "on", ">old", "~*", "-@all")
    filed.replicas[0].call("ACL", "LOG", "RESET")
    with user(front) as bob:
        bob.send(pack("GET", "a") + pack("STRLEN", "nothing") * 5 + pack("SET", "nothing2", "1") + pack("STRLEN", "nothing2"))
        assert bob.frames(8)[1:] == [b":0\r\n"] * 5 + [b"+OK\r\n", b":1\r\n"]


def test_without_files_the_leaders_word_is_the_answer() -> None:
    with cluster(replicas=1) as servers, rproxy(servers, "--consistency", "eventual") as proxy, proxy.connect() as wire:
        for command in ("LOAD", "SAVE"):
            with servers.leader.direct() as direct:
                assert wire.ask("ACL", command) == direct.ask("ACL", command)
