"""What is set for a listener decides which commands its clients may give, whatever way they give them."""

from __future__ import annotations

import pytest

from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.policies import OPEN, Policy
from rproxy.dataplane.resp import encode
from rproxy.dataplane.session import Session
from rproxy.errors import HELLO_NOAUTH, LISTENER_READ_ONLY, NOAUTH, SettingsError
from tests.dataplane.kit import End, World

READS = Policy(read_only=True)


def client(world: World, **policy: object) -> End:
    return End(world, Session(world.plane, Policy(**policy)))  # type: ignore[arg-type]


def ask(client: End, line: str) -> bytes:
    client.send(encode([word.encode() for word in line.split()]))
    return client.take()


@pytest.mark.parametrize(
    "line", ["SET k v", "set k v", "BLPOP k 0", "EVAL x 0", "FLUSHALL", "no.such x", "SORT k", "XGROUP CREATE k g $"]
)
def test_a_read_only_listener_takes_no_writes(line: str) -> None:
    assert ask(client(World(), read_only=True), line) == LISTENER_READ_ONLY


@pytest.mark.parametrize(
    "line",
    """DEBUG FLUSHALL; CONFIG SET maxmemory 1; CONFIG RESETSTAT; ACL SETUSER x; ACL LOG RESET; SCRIPT FLUSH; SCRIPT KILL; FUNCTION FLUSH; CLIENT PAUSE 10;
    CLIENT KILL TYPE pubsub; CLIENT UNBLOCK 1; SLOWLOG RESET; LATENCY RESET; MEMORY PURGE; SAVE; BGREWRITEAOF; SWAPDB 0 1; CLUSTER RESET; MODULE LOAD x;
    clt REPLY OFF; MIGRATE h 1 k 0 1; FCALL f 0""".split(";"),
)
def test_a_read_only_listener_takes_nothing_that_changes_the_server_or_others(line: str) -> None:
    assert ask(client(World(), read_only=True), line) == LISTENER_READ_ONLY


@pytest.mark.parametrize(
    "line",
    [
        "CONFIG GET x",
        "CLIENT LIST",
        "SLOWLOG GET",
        "SCRIPT LOAD x",
        "EVAL_RO x 0",
        "PUBLISH c x",
        "INFO",
        "PUBSUB NUMPAT",
        "COMMAND",
    ],
)
def test_a_read_only_listener_takes_what_only_tells(line: str) -> None:
    world = World()
    ask(client(world, read_only=True), line)
    assert world.dialled


def test_a_read_only_listener_takes_inline_writes_no_more_than_others() -> None:
    reader = client(World(), read_only=True)
    reader.send(b"SET k v\r\n")
    assert reader.take() == LISTENER_READ_ONLY


@pytest.mark.parametrize("line", ["KEYS *", "keys *", "CONFIG SET a b", "config set a b"])
def test_what_is_on_the_deny_list_is_refused(line: str) -> None:
    reply = ask(client(World(), deny=("keys", "CONFIG|SET")), line)
    assert reply.startswith(b"-NOPERM rproxy: this listener does not allow ") and reply.endswith(b", not executed\r\n")


def test_only_what_is_on_the_allow_list_is_taken_and_what_connections_need() -> None:
    world = World()
    limited = client(world, allow=("get", "CLIENT|INFO"))
    assert ask(limited, "SET k v").startswith(b"-NOPERM") and ask(limited, "CLIENT KILL x").startswith(b"-NOPERM")
    assert ask(limited, "CLIENT SETNAME me") == b"+OK\r\n"
    limited.send(encode([b"GET", b"k"]))
    assert world.dialled, "it is on its way to a server"


def test_others_are_not_limited_by_it() -> None:
    world = World()
    ask(client(world, deny=("get",)), "GET k")
    assert not world.dialled
    world.client().send(encode([b"GET", b"k"]))
    assert world.dialled


def test_nothing_is_taken_before_a_listener_that_wants_it_knows_the_user() -> None:
    world = World()
    stranger = client(world, auth=True)
    for line in ("GET k", "SET k v", "CLIENT ID", "MULTI", "SUBSCRIBE c", "RPROXY STATUS", "no-such"):
        assert ask(stranger, line) == NOAUTH
    assert ask(stranger, "HELLO 3") == HELLO_NOAUTH
    assert not world.dialled

    stranger.send(encode([b"AUTH", b"secret"]))
    leader = world.open(0)
    leader.send(b"+OK\r\n")
    assert stranger.take() == b"+OK\r\n"
    assert ask(stranger, "CLIENT ID") == b":1\r\n"
    assert ask(stranger, "RESET") == b"+RESET\r\n"
    assert ask(stranger, "CLIENT ID") == NOAUTH


def test_a_wrong_password_opens_nothing() -> None:
    world = World()
    stranger = client(world, auth=True)
    stranger.send(encode([b"AUTH", b"guess"]) + encode([b"CLIENT", b"ID"]))
    world.open(0).send(b"-WRONGPASS invalid\r\n")
    assert stranger.take() == b"-WRONGPASS invalid\r\n" + NOAUTH


def test_commands_that_are_learnt_later_are_judged_too() -> None:
    table = CommandTable()
    reads, old = table.under(READS), table.under(READS).commands
    rows = [["j.get", 2, ["readonly"], 1, 1, 1], ["j.set", 3, ["write"], 1, 1, 1]]
    assert reads.find(b"j.get") is reads.unknown
    table.learn([[row[0].encode(), row[1], [flag.encode() for flag in row[2]], *row[3:]] for row in rows])  # type: ignore[attr-defined]
    assert reads.find(b"J.GET") is table.find(b"J.GET") and reads.find(b"j.set").refusal == LISTENER_READ_ONLY
    assert reads.commands is old and table.under(OPEN) is table


def test_a_policy_names_commands_that_exist() -> None:
    for policy in (Policy(deny=("kesy",)), Policy(allow=("CONFIG|GTE",))):
        with pytest.raises(SettingsError, match="no such command"):
            CommandTable().under(policy)
