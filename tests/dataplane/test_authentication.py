"""AUTH and HELLO: the leader judges logins, and nothing but its OK makes a client somebody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy import errors
from rproxy.dataplane.authentication import FAILURES, LARGEST_WORD, LONGEST_WAIT, MOST_PASSWORDS, Hello, parse_hello
from rproxy.dataplane.users import SPARE_LANES
from tests.dataplane.kit import HELLO, End, World, command

GET = command("GET", "k")
WRONGPASS = errors.WRONG_PASSWORD


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("HELLO", Hello(None, None, None)),
        ("HELLO 3", Hello(3, None, None)),
        ("HELLO 2 SETNAME a", Hello(2, None, b"a")),
        ("HELLO 3 AUTH u p", Hello(3, (b"u", b"p"), None)),
        ("HELLO 3 auth u p setname a", Hello(3, (b"u", b"p"), b"a")),
        ("HELLO 3 SETNAME a AUTH u p", Hello(3, (b"u", b"p"), b"a")),
        ("HELLO 3 AUTH u p AUTH v q", Hello(3, (b"v", b"q"), None)),
        ("HELLO 3 SETNAME AUTH AUTH u p", Hello(3, (b"u", b"p"), b"AUTH")),
        ("HELLO 3 AUTH SETNAME a SETNAME AUTH", Hello(3, (b"SETNAME", b"a"), b"AUTH")),
        ("HELLO 3 SETNAME a SETNAME b", Hello(3, None, b"b")),
        ("HELLO 4", None),
        ("HELLO 03", None),
        ("HELLO x", None),
        ("HELLO 3 AUTH u", None),
        ("HELLO 3 SETNAME", None),
        ("HELLO 3 NONSENSE", None),
        ("HELLO AUTH u p", None),
    ],
)
def test_hello_is_read_as_a_server_reads_it(line: str, expected: Hello | None) -> None:
    assert parse_hello(line.encode().split()) == expected


@given(st.lists(st.sampled_from([b"AUTH", b"SETNAME", b"auth", b"u", b"", b"3", b"a b"]), max_size=8))
def test_what_is_sent_for_a_hello_can_be_read_in_one_way_only(options: list[bytes]) -> None:
    hello = parse_hello([b"HELLO", b"3", *options])
    if hello is not None:
        words = hello.words()
        assert parse_hello(words) == hello
        assert [word.upper() for word in words[2::3]].count(b"AUTH") <= 1


def test_a_login_is_checked_on_a_lane_without_any_login() -> None:
    world = World()
    client = world.client()
    client.send(command("AUTH", "bob", "x") + GET)
    checks = world.accept(0)
    assert checks.take() == command("HELLO", "2")
    checks.send(b"-NOAUTH no\r\n")
    assert checks.take() == command("AUTH", "bob", "x")
    checks.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    assert world.accept(1).take() == command("AUTH", "bob", "x") + command("HELLO", "2")


def test_many_logins_take_one_connection() -> None:
    world = World()
    checks: End | None = None
    for number in range(5):
        client = world.client()
        client.send(command("AUTH", "bob", f"wrong{number}"))
        checks = checks or world.open(0)
        assert checks.take() == command("AUTH", "bob", f"wrong{number}")
        checks.send(WRONGPASS)
        assert client.take() == WRONGPASS
    assert not world.dialled


def test_each_login_is_asked_also_where_the_password_is_known() -> None:
    world = World()
    checks: End | None = None
    for _ in range(2):
        client = world.client()
        client.send(command("AUTH", "secret"))
        checks = checks or world.open(0)
        assert checks.take() == command("AUTH", "secret")
        checks.send(b"+OK\r\n")
        assert client.take() == b"+OK\r\n"


def test_a_client_that_leaves_while_it_waits_disturbs_no_other_login() -> None:
    world = World()
    one, other = world.client(), world.client()
    one.send(command("AUTH", "bob", "x"))
    other.send(command("AUTH", "eve", "y"))
    checks = world.open(0)
    one.lose()
    checks.send(b"+OK\r\n" + WRONGPASS)
    assert other.take() == WRONGPASS and checks.open


def test_a_login_whose_check_is_lost_is_checked_once_more_and_then_answered_with_an_error() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(command("AUTH", "bob", "x"))
    for _ in range(2):
        checks = world.open(0)
        assert checks.take() == command("AUTH", "bob", "x")
        checks.lose()
    assert client.take() == errors.LEADER_LOST
    assert client.protocol.key.user is None


@pytest.mark.parametrize(
    "reply", [b"-ERR AUTH <password> called without any password configured\r\n", b"+QUEUED\r\n", b":1\r\n", WRONGPASS]
)
def test_only_ok_is_a_yes(reply: bytes) -> None:
    world = World()
    client = world.client()
    client.send(command("AUTH", "secret"))
    world.open(0).send(reply)
    assert client.take() == reply
    assert client.protocol.key is world.plane.first_key()


def test_a_word_for_which_a_server_closes_its_connection_is_a_wrong_password() -> None:
    world = World()
    client = world.client()
    client.send(command("AUTH", "x" * (LARGEST_WORD + 1)))
    assert client.take() == WRONGPASS and not world.dialled


def test_the_answers_to_failed_logins_come_at_a_bounded_rate_and_those_to_right_ones_at_once() -> None:
    world = World()
    guesser, honest = world.client(), world.client()
    guesser.send(command("AUTH", "wrong"))
    checks = world.open(0)
    checks.send(WRONGPASS)
    for _ in range(FAILURES):
        guesser.send(command("AUTH", "wrong"))
        checks.send(WRONGPASS)
    assert guesser.take().count(WRONGPASS) == FAILURES
    honest.send(command("AUTH", "right"))
    checks.send(b"+OK\r\n")
    assert honest.take() == b"+OK\r\n"
    world.wait(LONGEST_WAIT)
    assert guesser.take() == WRONGPASS


def test_one_user_has_a_bounded_number_of_passwords_at_once() -> None:
    world = World()
    checks: End | None = None
    clients = []
    for number in range(MOST_PASSWORDS + 1):
        client = world.client()
        client.send(command("AUTH", "default", f"anything{number}"))
        checks = checks or world.open(0)
        checks.send(b"+OK\r\n")
        clients.append(client)
    assert [client.take() for client in clients] == [b"+OK\r\n"] * MOST_PASSWORDS + [errors.TOO_MANY_PASSWORDS]
    assert clients[-1].protocol.key is world.plane.first_key()


def test_one_client_that_logs_in_anew_for_ever_keeps_few_lanes_open() -> None:
    world = World()
    client = world.client()
    checks: End | None = None
    for number in range(3 * MOST_PASSWORDS):
        client.send(command("AUTH", "default", f"anything{number}"))
        checks = checks or world.open(0)
        checks.send(b"+OK\r\n")
        assert client.take() == b"+OK\r\n"
    assert len(world.plane.leader.lanes) <= SPARE_LANES + 2


def test_hello_with_a_login_is_answered_by_the_lane_of_its_user() -> None:
    world = World()
    client = world.client()
    client.send(
        command("HELLO", "3", "AUTH", "", "", "SETNAME", "AUTH", "AUTH", "bob", "secret", "SETNAME", "web")
        + command("CLIENT", "GETNAME")
    )
    checks = world.open(0)
    assert checks.take() == command("AUTH", "bob", "secret")
    checks.send(b"+OK\r\n")
    lane = world.accept(0)
    assert lane.take() == command("AUTH", "bob", "secret") + command("HELLO", "3")
    lane.send(b"+OK\r\n" + HELLO)
    assert client.take() == b"%1\r\n$2\r\nid\r\n:1\r\n$3\r\nweb\r\n"
    assert (client.protocol.key.user, client.protocol.key.resp) == (b"bob", 3)


def test_hello_with_a_wrong_password_changes_nothing() -> None:
    world = World()
    client = world.client()
    client.send(command("HELLO", "3", "AUTH", "bob", "wrong", "SETNAME", "web") + command("CLIENT", "GETNAME"))
    world.open(0).send(WRONGPASS)
    assert client.take() == WRONGPASS + b"$-1\r\n"
    assert client.protocol.key is world.plane.first_key()


def test_on_a_lease_hello_is_sent_as_it_was_understood() -> None:
    world = World()
    client = world.client()
    client.send(command("WATCH", "k"))
    lease = world.open(0)
    lease.take()
    lease.send(b"+OK\r\n")
    client.send(command("HELLO", "3", "AUTH", "", "", "AUTH", "bob", "secret"))
    assert lease.take() == command("HELLO", "3", "AUTH", "bob", "secret")
    lease.send(HELLO)
    client.take()
    key = client.protocol.key
    assert (key.user, key.resp, client.protocol.lease.key) == (b"bob", 3, key)
