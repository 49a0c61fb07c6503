"""What may differ is no more than the reasons allow."""

from __future__ import annotations

import pytest

from tests.model.differences import admissible, changed_keys, keys_named, late_to_tell, same, state, told_alike
from tests.model.steps import Command

AB, BA = b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$1\r\nb\r\n$1\r\na\r\n"


@pytest.mark.parametrize(
    ("command", "direct", "proxied", "alike"),
    [
        (("GET", "k"), b"$1\r\na\r\n", b"$1\r\nb\r\n", False),
        (("GET", "k"), b"$1\r\na\r\n", b"+a\r\n", False),
        (("GET", "k"), b"-ERR a\r\n", b"-ERR b\r\n", False),
        (("LRANGE", "k", "0", "-1"), AB, BA, False),
        (("SMEMBERS", "k"), AB, BA, True),
        (("SMEMBERS", "k"), AB, b"*2\r\n$1\r\na\r\n$1\r\na\r\n", False),
        (("HGETALL", "k"), AB, BA, False),
        (("TTL", "k"), b":100\r\n", b":99\r\n", True),
        (("TTL", "k"), b":100\r\n", b":-1\r\n", False),
        (("HELLO",), b"*4\r\n$2\r\nid\r\n:7\r\n$5\r\nproto\r\n:2\r\n", b"*4\r\n$2\r\nid\r\n:9\r\n$5\r\nproto\r\n:2\r\n", True),
        (("HELLO",), b"*4\r\n$2\r\nid\r\n:7\r\n$5\r\nproto\r\n:2\r\n", b"*4\r\n$2\r\nid\r\n:7\r\n$5\r\nproto\r\n:3\r\n", False),
    ],
)
def test_only_what_has_a_reason_may_differ(command: Command, direct: bytes, proxied: bytes, alike: bool) -> None:
    assert same(command, [], direct, proxied) is alike


def test_in_a_transaction_each_reply_is_judged_by_its_command() -> None:
    ran: list[Command] = [("SMEMBERS", "t"), ("LRANGE", "l", "0", "-1")]
    direct = b"*2\r\n" + AB + AB
    assert same(("EXEC",), ran, direct, b"*2\r\n" + BA + AB)
    assert not same(("EXEC",), ran, direct, b"*2\r\n" + AB + BA)


def test_keys_may_be_invalidated_by_one_push_or_by_several() -> None:
    one = [b">2\r\n$10\r\ninvalidate\r\n" + AB]
    two = [b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n%b\r\n" % key for key in (b"b", b"a")]
    assert changed_keys(one) == changed_keys(two) == ({b"a", b"b"}, [])


def test_what_rproxy_refuses_in_multi_is_left_out_there_alone() -> None:
    tracking = ("CLIENT", "TRACKING", "ON")
    commands: list[Command] = [tracking, ("MULTI",), tracking, ("EXEC",), tracking]
    assert admissible(commands, in_transaction=False) == ([tracking, ("MULTI",), ("EXEC",), tracking], False)
    assert admissible([tracking], in_transaction=True) == ([], True)


def test_what_may_wake_a_blocked_client_is_the_last_of_a_pipeline() -> None:
    commands = [("SWAPDB", "0", "1"), ("GET", "s0"), ("flushall",), ("RPUSH", "l0", "x"), ("LLEN", "l0")]
    assert admissible(commands, in_transaction=False, waited_for={"l0"}) == ([("GET", "s0"), ("RPUSH", "l0", "x")], False)
    assert admissible([("EXEC",), ("PING",)], in_transaction=True, waited_for={"l0"}) == ([("EXEC",)], False)
    assert admissible(commands, in_transaction=False) == (commands, False)


def test_the_keys_of_commands_are_known() -> None:
    assert keys_named([("BLMPOP", "60", "2", "none", "l0", "LEFT"), ("GET", "c1:s2")]) == {"l0", "c1:s2"}


def test_a_session_in_another_database_is_in_another_state() -> None:
    assert state({"db": "1", "flags": "N"}) != state({"db": "0", "flags": "N"})
    assert state({"db": "1", "flags": "N", "age": "5"}) == state({"db": "1", "flags": "N", "age": "7"})


def test_a_key_may_be_named_again_and_none_may_be_left_out() -> None:
    assert told_alike(({b"a"}, []), ({b"a", b"b"}, []), {b"b"})
    assert not told_alike(({b"a"}, []), ({b"a", b"b"}, []), set())
    assert not told_alike(({b"a"}, []), (set(), []), {b"a"})
    assert not told_alike((set(), [b"m"]), (set(), []), set())


@pytest.mark.parametrize("end", [("RESET",), ("client", "tracking", "off")])
def test_what_a_client_changes_in_one_step_with_the_end_of_its_tracking_may_be_told(end: Command) -> None:
    assert late_to_tell([("SETBIT", "b0", "2", "1"), end]) == {b"b0", b"*"}
    assert late_to_tell([("SETBIT", "b0", "2", "1")]) == set()
