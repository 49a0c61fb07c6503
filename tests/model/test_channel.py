"""Which reply belongs to which command, and which frames are nobody's reply."""

from __future__ import annotations

import pytest

from tests.model.channel import Ledger, is_push
from tests.model.steps import Command


def ledger(*commands: Command) -> Ledger:
    filled = Ledger()
    for command in commands:
        filled.add(command)
    return filled


def test_replies_come_in_the_order_of_commands() -> None:
    found = ledger(("GET", "a"), ("SET", "a", "1"))
    assert found.take(b"$-1\r\n") == (("GET", "a"), [])
    assert found.next() == ("SET", "a", "1")


def test_each_channel_of_subscribe_is_confirmed() -> None:
    found = ledger(("SUBSCRIBE", "a", "b"), ("PING",))
    for channel in (b"a", b"b"):
        found.take(b">3\r\n$9\r\nsubscribe\r\n$1\r\n" + channel + b"\r\n:1\r\n")
    assert found.next() == ("PING",)


def test_what_is_under_way_behind_replies_is_found_by_their_number_for_each_command() -> None:
    found = ledger(("SUBSCRIBE", "a", "b"), ("UNSUBSCRIBE", "a", "b"), ("BRPOP", "l", "60"), ("PING",))
    frames = [b"*3\r\n$%d\r\n%b\r\n" % (len(name), name) for name in (b"subscribe", b"subscribe", b"unsubscribe")]
    assert found.behind(frames) == [("UNSUBSCRIBE", "a", "b")]
    assert found.behind([*frames, frames[2]]) == [("BRPOP", "l", "60")]
    assert found.behind([b"-NOPERM no\r\n"]) == [("UNSUBSCRIBE", "a", "b")]
    assert found.behind(frames * 3) == []
    assert found.next() == ("SUBSCRIBE", "a", "b")


def test_a_refused_subscribe_has_one_reply() -> None:
    found = ledger(("SUBSCRIBE", "a", "b"), ("PING",))
    found.take(b"-NOPERM no\r\n")
    assert found.next() == ("PING",)


def test_nothing_is_answered_while_replies_are_off() -> None:
    found = ledger(("CLIENT", "REPLY", "OFF"), ("GET", "a"), ("CLIENT", "REPLY", "ON"), ("PING",))
    assert found.next() == ("CLIENT", "REPLY", "ON")


def test_one_reply_is_skipped() -> None:
    found = ledger(("CLIENT", "REPLY", "SKIP"), ("GET", "a"), ("PING",))
    assert found.next() == ("PING",)


def test_reset_turns_replies_on() -> None:
    found = ledger(("CLIENT", "REPLY", "OFF"), ("RESET",))
    assert found.next() == ("RESET",)


def test_exec_names_the_commands_that_it_ran() -> None:
    found = ledger(("MULTI",), ("SMEMBERS", "t"), ("NOSUCH",), ("EXEC",))
    for frame in (b"+OK\r\n", b"+QUEUED\r\n", b"-ERR unknown\r\n"):
        found.take(frame)
    assert found.take(b"*1\r\n*0\r\n") == (("EXEC",), [("SMEMBERS", "t")])


@pytest.mark.parametrize(
    ("frame", "push"),
    [
        (b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", True),
        (b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nv\r\n", True),
        (b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nv\r\n", True),
        (b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", False),
        (b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", False),
        (b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", False),
    ],
)
def test_confirmations_are_replies_and_messages_are_pushes(frame: bytes, push: bool) -> None:
    assert is_push(frame) is push


def test_the_reply_to_reset_comes_behind_off_and_not_behind_skip() -> None:
    assert heard(("CLIENT", "REPLY", "OFF"), ("RESET",), ("PING",)) == [("RESET",), ("PING",)]
    assert heard(("CLIENT", "REPLY", "SKIP"), ("RESET",), ("PING",)) == [("PING",)]


def heard(*commands: Command) -> list[Command]:
    return [command for command, replies in ledger(*commands).waiting if replies]


def test_a_server_may_be_at_any_silent_command_before_the_next_reply() -> None:
    found = ledger(("GET", "a"), ("CLIENT", "REPLY", "OFF"), ("BLPOP", "l", "60"), ("CLIENT", "REPLY", "ON"), ("PING",))
    off, blocked, on = ("CLIENT", "REPLY", "OFF"), ("BLPOP", "l", "60"), ("CLIENT", "REPLY", "ON")
    assert found.behind([]) == [("GET", "a")]
    assert found.behind([b"$-1\r\n"]) == [off, blocked, on]
    assert found.behind([b"$-1\r\n", b"+OK\r\n"]) == [("PING",)]


def test_a_server_is_behind_an_unsubscribe_when_it_has_confirmed_all_channels() -> None:
    found = ledger(("UNSUBSCRIBE",), ("BLPOP", "l", "60"), ("PING",))
    confirmed = [b"*3\r\n$11\r\nunsubscribe\r\n$1\r\n%b\r\n:0\r\n" % channel for channel in (b"a", b"b")]
    assert found.behind(confirmed) == [("BLPOP", "l", "60")]


def test_a_transaction_that_began_in_silence_is_known_to_exec() -> None:
    found = ledger(("CLIENT", "REPLY", "SKIP"), ("MULTI",), ("SMEMBERS", "t"), ("EXEC",))
    found.take(b"+QUEUED\r\n")
    assert found.take(b"*1\r\n*0\r\n") == (("EXEC",), [("SMEMBERS", "t")])


def test_silent_commands_are_over_when_a_later_one_is_answered() -> None:
    found = ledger(("CLIENT", "REPLY", "SKIP"), ("GET", "a"))
    found.take_silent()
    assert not found.waiting


def test_replies_that_are_due_are_counted() -> None:
    assert ledger(("SUBSCRIBE", "a", "b"), ("CLIENT", "REPLY", "SKIP"), ("GET", "a"), ("PING",)).due() == 3


def test_an_empty_command_uses_up_a_skip() -> None:
    found = ledger(("CLIENT", "REPLY", "SKIP"))
    found.pass_over()
    found.add(("PING",))
    assert found.next() == ("PING",)


def test_an_unsubscribe_without_channels_has_a_reply_for_each_subscription() -> None:
    found = ledger(("UNSUBSCRIBE",), ("PING",))
    for channel in (b"a", b"b"):
        assert found.take(b"*3\r\n$11\r\nunsubscribe\r\n$1\r\n%b\r\n:0\r\n" % channel) == (("UNSUBSCRIBE",), [])
    assert found.take(b"+PONG\r\n") == (("PING",), [])
