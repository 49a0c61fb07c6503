"""Subscriptions, MONITOR, tracking and silence, each as a transcript: what is a reply, what the server says by itself, and when the lease comes back."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane.freshness import slot_of
from rproxy.dataplane.states import State
from tests.dataplane.kit import End, World, command

GET, SET = command("GET", "k"), command("SET", "k", "v")
PING = command("PING")
LARGE = command("SET", "k", "x" * 300_000)


def confirmed(kind: str, channel: str | None, count: int, mark: str = "*") -> bytes:
    name = "$-1\r\n" if channel is None else f"${len(channel)}\r\n{channel}\r\n"
    return f"{mark}3\r\n${len(kind)}\r\n{kind}\r\n{name}:{count}\r\n".encode()


def message(channel: str, text: str, mark: str = "*") -> bytes:
    return f"{mark}3\r\n$7\r\nmessage\r\n${len(channel)}\r\n{channel}\r\n${len(text)}\r\n{text}\r\n".encode()


def attached(*words: str, reply: bytes = b"+OK\r\n", resp3: bool = False) -> tuple[World, End, End]:
    """A client whose first command was `words`, and its lease."""
    world = World()
    client = world.client()
    if resp3:
        client.send(command("HELLO", "3"))
        world.open(0)
        client.take()
    client.send(command(*words))
    lease = world.open(0)
    assert lease.take() == command(*words)
    lease.send(reply)
    assert client.take() == reply
    return world, client, lease


def subscribed(resp3: bool = False) -> tuple[World, End, End]:
    return attached("SUBSCRIBE", "c", reply=confirmed("subscribe", "c", 1, ">" if resp3 else "*"), resp3=resp3)


def shares(client: End) -> bool:
    state: State = client.protocol.state
    return state is State.SHARED


def test_messages_reach_a_subscriber_whole_however_they_are_cut() -> None:
    _, client, lease = subscribed()
    for size in range(1, len(message("c", "hello"))):
        lease.send(message("c", "hello")[:size])
        assert client.take() == b""
        lease.send(message("c", "hello")[size:])
        assert client.take() == message("c", "hello")


BIG = "x" * 100_000


@pytest.mark.parametrize("resp3", [False, True])
def test_a_large_message_is_passed_on_as_it_comes(resp3: bool) -> None:
    _, client, lease = subscribed(resp3)
    whole = message("c", BIG, ">" if resp3 else "*")
    lease.send(whole[:50_000])
    assert client.take() == whole[:50_000]
    lease.send(whole[50_000:90_000])
    assert client.take() == whole[50_000:90_000]
    lease.send(whole[90_000:])
    assert client.take() == whole[90_000:]
    lease.send(message("c", "next", ">" if resp3 else "*"))
    assert client.take() == message("c", "next", ">" if resp3 else "*")


def test_what_is_answered_here_waits_for_the_end_of_a_large_message() -> None:
    _, client, lease = subscribed(resp3=True)
    whole = message("c", BIG, ">")
    lease.send(whole[:50_000])
    client.send(command("CLIENT", "ID") + GET)
    assert client.take() == whole[:50_000]
    lease.send(whole[50_000:])
    assert client.take() == whole[50_000:] + b":1\r\n"
    assert lease.take() == GET
    lease.send(b"$-1\r\n")
    assert client.take() == b"$-1\r\n"


def test_a_large_message_before_a_reply_keeps_its_place() -> None:
    _, client, lease = subscribed(resp3=True)
    client.send(GET)
    whole = message("c", BIG, ">")
    lease.send(whole[:50_000])
    lease.send(whole[50_000:] + b"$-1\r\n")
    assert client.take() == whole + b"$-1\r\n"
    assert client.protocol.inflight == 0 and not client.protocol.fifo


def test_a_long_line_of_monitor_is_passed_on_as_it_comes() -> None:
    _, client, lease = attached("MONITOR")
    line = b'+1700000000.000001 [0 127.0.0.1:1234] "set" "a" "' + b"x" * 60_000 + b'"\r\n'
    lease.send(line[:30_000])
    assert client.take() == line[:30_000]
    lease.send(line[30_000:])
    assert client.take() == line[30_000:]


def test_a_client_whose_server_is_lost_in_the_middle_of_a_message_is_closed() -> None:
    _, client, lease = subscribed()
    lease.send(message("c", BIG)[:50_000])
    lease.lose()
    assert not client.open


def test_what_has_to_be_read_whole_is_bounded() -> None:
    world = World(session_output=100_000)
    client = world.client()
    client.send(command("MULTI") + command("CLIENT", "ID") + command("GET", "k") + command("EXEC"))
    lease = world.open(0)
    lease.send(b"+OK\r\n")
    lease.send(b"+QUEUED\r\n" * 2)
    lease.send(b"*2\r\n:5\r\n$500000\r\n" + b"x" * 90_000)
    assert client.open
    lease.send(b"x" * 90_000)
    assert not client.open


@pytest.mark.parametrize("words", [("FOO",), ("",), ("9" * 5000,)])
def test_client_reply_with_other_words_is_answered_by_the_server(words: tuple[str, ...]) -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", *words) + PING)
    lease = world.open(0)
    assert lease.take() == command("CLIENT", "REPLY", *words) + PING
    lease.send(b"-ERR syntax error\r\n+PONG\r\n")
    assert client.take() == b"-ERR syntax error\r\n+PONG\r\n"
    assert shares(client)


@pytest.mark.parametrize("nothing", [b"*0\r\n", b"\r\n", b"  \r\n"])
def test_an_empty_command_is_the_one_whose_reply_is_skipped(nothing: bytes) -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "SKIP") + nothing + GET)
    end = world.open(world.dialled[-1][0].index)
    end.take()
    end.send(b"$-1\r\n")
    assert client.take() == b"$-1\r\n"


def test_the_last_unsubscription_gives_the_lease_back() -> None:
    world, client, lease = subscribed()
    client.send(command("UNSUBSCRIBE", "c") + GET)
    assert lease.take() == command("UNSUBSCRIBE", "c") + GET
    lease.send(confirmed("unsubscribe", "c", 0) + b"$-1\r\n")
    assert client.take() == confirmed("unsubscribe", "c", 0) + b"$-1\r\n"
    assert shares(client)
    client.send(command("MULTI"))
    assert lease.take() == command("MULTI")


def test_every_channel_is_confirmed_and_counted() -> None:
    _, client, lease = subscribed()
    client.send(command("SUBSCRIBE", "d", "e") + PING + command("UNSUBSCRIBE") + PING)
    lease.send(
        confirmed("subscribe", "d", 2) + message("d", "x") + confirmed("subscribe", "e", 3) + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    )
    assert len(client.protocol.fifo) == 2
    lease.send(confirmed("unsubscribe", "d", 2) + confirmed("unsubscribe", "c", 1))
    assert not shares(client)
    lease.send(confirmed("unsubscribe", "e", 0) + b"+PONG\r\n")
    assert shares(client)


def test_ending_what_never_was_is_confirmed_once_and_leaves_nothing() -> None:
    _, client, lease = attached("PUNSUBSCRIBE", reply=confirmed("punsubscribe", None, 0))
    assert shares(client)
    assert lease.open


def test_a_subscription_that_is_refused_is_answered_once() -> None:
    _, client, lease = attached("SUBSCRIBE", "c", "d", reply=b"-NOPERM no\r\n")
    assert shares(client)
    assert client.protocol.inflight == 0


def test_a_reply_that_looks_like_a_message_is_a_reply() -> None:
    _, client, lease = attached("CLIENT", "TRACKING", "ON")
    client.send(command("LRANGE", "l", "0", "-1") + PING)
    lease.send(message("c", "hello") + b"+PONG\r\n")
    assert client.take() == message("c", "hello") + b"+PONG\r\n"
    assert not client.protocol.fifo


def test_pushes_stand_between_replies() -> None:
    _, client, lease = subscribed(resp3=True)
    client.send(GET + GET)
    lease.send(b"$1\r\na\r\n" + message("c", "x", ">") + b"$1\r\nb\r\n")
    assert client.take() == b"$1\r\na\r\n" + message("c", "x", ">") + b"$1\r\nb\r\n"


def test_a_large_reply_is_passed_on_as_it_comes() -> None:
    _, client, lease = attached("CLIENT", "TRACKING", "ON")
    client.send(GET)
    lease.send(b"$1000\r\n" + b"x" * 100)
    assert client.take() == b"$1000\r\n" + b"x" * 100
    lease.send(b"x" * 900 + b"\r\n")
    assert client.take() == b"x" * 900 + b"\r\n"


def test_what_rproxy_answers_itself_keeps_its_place() -> None:
    _, client, lease = subscribed(resp3=True)
    client.send(GET + command("CLIENT", "ID"))
    assert client.take() == b""
    lease.send(b"$-1\r\n")
    assert client.take() == b"$-1\r\n:1\r\n"


def test_a_subscriber_in_resp2_can_give_few_commands() -> None:
    _, client, _ = subscribed()
    client.send(command("RPROXY", "HELP"))
    assert client.take() == errors.only_subscriptions(b"RPROXY|HELP")


def test_a_subscriber_in_resp2_with_too_few_words_is_told_that_first() -> None:
    _, client, _ = subscribed()
    client.send(command("RPROXY", "EXPLAIN"))
    assert client.take() == errors.wrong_arity(b"RPROXY|EXPLAIN")


@pytest.mark.parametrize("words", [("WAIT", "0", "0"), ("MULTI",), ("BLPOP", "k", "0"), ("CLIENT", "ID"), ("CLIENT", "SETNAME")])
def test_what_a_subscriber_in_resp2_may_not_give_is_refused_by_the_server(words: tuple[str, ...]) -> None:
    _, client, lease = subscribed()
    client.send(command(*words))
    assert lease.take() == command(*words)
    lease.send(b"-ERR Can't execute it\r\n")
    client.send(PING)
    assert (client.take(), lease.take()) == (b"-ERR Can't execute it\r\n", PING)


@pytest.mark.parametrize("words", [("SUBSCRIBE", "c"), ("MONITOR",), ("CLIENT", "TRACKING", "ON")])
def test_reset_leaves_everything(words: tuple[str, ...]) -> None:
    reply = confirmed("subscribe", "c", 1) if words[0] == "SUBSCRIBE" else b"+OK\r\n"
    _, client, lease = attached(*words, reply=reply)
    client.send(command("RESET") + command("CLIENT", "GETNAME"))
    assert (client.take(), lease.take()) == (b"", command("RESET"))  # the server counts it as a subscriber until it answers
    lease.send(b"+RESET\r\n")
    assert client.take() == b"+RESET\r\n$-1\r\n"
    assert (shares(client), lease.open) == (True, False)


def test_monitor_tells_its_lines_from_replies() -> None:
    _, client, lease = attached("MONITOR")
    line = b'+1700000000.123456 [0 127.0.0.1:5000] "ping"\r\n'
    client.send(PING)
    lease.send(line + b"+PONG\r\n" + line)
    assert client.take() == line + b"+PONG\r\n" + line
    assert not client.protocol.fifo


def test_tracking_ends_with_its_lease_closed_for_the_server_may_go_on_to_tell_of_keys_there() -> None:
    _, client, lease = attached("CLIENT", "TRACKING", "ON")
    client.send(command("CLIENT", "TRACKING", "OFF"))
    lease.send(b"+OK\r\n")
    assert (shares(client), lease.open) == (True, False)


def test_silence_is_rproxys_own_and_its_commands_are_run() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "OFF") + SET + command("CLIENT", "ID") + SET + command("CLIENT", "REPLY", "ON") + PING)
    lease = world.open(0)
    assert lease.take() == SET
    lease.send(b"+OK\r\n")
    assert lease.take() == SET + PING
    lease.send(b"+OK\r\n+PONG\r\n")
    assert client.take() == b"+OK\r\n+PONG\r\n"
    assert shares(client)


def test_the_reply_to_one_command_is_skipped() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "SKIP") + PING + GET)
    lease = world.open(0)
    lease.send(b"+PONG\r\n$-1\r\n")
    assert client.take() == b"$-1\r\n"
    assert shares(client)


def test_the_reply_to_a_large_command_is_kept_back_too() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "OFF") + LARGE[:280_000])
    lease = world.open(0)
    client.send(LARGE[280_000:])
    lease.send(b"+OK\r\n")
    client.send(command("CLIENT", "REPLY", "ON"))
    assert lease.take() == LARGE
    assert client.take() == b"+OK\r\n"


def test_the_reply_to_one_large_command_is_skipped_and_no_other() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "SKIP") + LARGE[:280_000])
    lease = world.open(0)
    client.send(LARGE[280_000:] + GET)
    lease.send(b"+OK\r\n$-1\r\n")
    assert client.take() == b"$-1\r\n"
    assert shares(client)


def test_the_answer_to_what_the_leader_is_asked_first_is_skipped_too() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "SKIP") + command("CLIENT", "KILL", "ID", "9"))
    lease, urgent = world.open(0), world.open(0)
    urgent.send(b":0\r\n")
    assert client.take() == b""
    client.send(PING)
    assert lease.take() == PING
    lease.send(b"+PONG\r\n")
    assert client.take() == b"+PONG\r\n"
    assert shares(client)


def test_a_select_that_is_refused_in_silence_changes_nothing() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "SKIP") + command("SELECT", "99"))
    world.open(0).send(b"-ERR DB index is out of range\r\n")
    assert (client.take(), client.protocol.key.database) == (b"", 0)


def test_a_select_in_a_silent_transaction_counts_when_exec_runs_it() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "OFF") + command("MULTI"))
    lease = world.open(0)
    lease.send(b"+OK\r\n")
    client.send(command("SELECT", "5"))
    world.open(0)
    client.send(command("EXEC") + command("CLIENT", "REPLY", "ON"))
    lease.send(b"+QUEUED\r\n*1\r\n+OK\r\n")
    assert (client.take(), client.protocol.key.database) == (b"+OK\r\n", 5)


def test_the_reply_to_wait_is_skipped_too() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "SKIP") + command("WAIT", "0", "0"))
    lease = world.open(0)
    lease.send(b":0\r\n")
    assert lease.take().endswith(command("WAIT", "0", "0"))
    lease.send(b":0\r\n")
    assert client.take() == b""
    assert shares(client)


def test_reset_ends_silence_and_is_skipped_like_others() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "OFF") + command("RESET"))
    assert client.take() == b"+RESET\r\n"
    client.send(command("CLIENT", "REPLY", "SKIP") + command("RESET") + command("CLIENT", "GETNAME"))
    assert client.take() == b"$-1\r\n"


def test_a_subscriber_in_resp2_cannot_switch_replies_off() -> None:
    _, client, lease = subscribed()
    client.send(command("CLIENT", "REPLY", "OFF") + PING)
    refused = errors.only_subscriptions(b"CLIENT|REPLY")
    lease.send(refused + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
    assert client.take() == refused + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"


def test_a_subscription_is_confirmed_although_replies_are_off() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "OFF") + command("SUBSCRIBE", "c"))
    world.open(0).send(confirmed("subscribe", "c", 1))
    assert client.take() == confirmed("subscribe", "c", 1)


def test_a_transaction_of_an_attached_client_stays_on_its_lease() -> None:
    _, client, lease = attached("CLIENT", "TRACKING", "ON")
    client.send(command("MULTI") + SET + command("EXEC") + GET)
    lease.send(b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
    assert lease.take() == command("MULTI") + SET + command("EXEC") + GET
    assert client.protocol.state is State.ATTACHED


def test_a_watching_client_may_attach_itself() -> None:
    _, client, lease = attached("WATCH", "k")
    client.send(command("CLIENT", "TRACKING", "ON"))
    lease.send(b"+OK\r\n")
    assert client.protocol.state is State.ATTACHED
    client.send(command("CLIENT", "TRACKING", "OFF") + command("UNWATCH"))
    lease.send(b"+OK\r\n+OK\r\n")
    assert shares(client)


def test_hello_changes_the_version_of_an_attached_client_on_its_lease() -> None:
    _, client, lease = attached("CLIENT", "TRACKING", "ON")
    client.send(command("HELLO", "3"))
    lease.send(b"%1\r\n$2\r\nid\r\n:7\r\n")
    assert client.take() == b"%1\r\n$2\r\nid\r\n:1\r\n"
    assert client.protocol.key.resp == 3


def test_writes_of_an_attached_client_are_stamped_when_they_leave_and_when_they_are_answered() -> None:
    world = World(consistency="fresh")
    client = world.client()
    client.send(command("CLIENT", "TRACKING", "ON"))
    lease = world.open(0)
    lease.send(b"+OK\r\n")
    slot = slot_of(b"k", 0, 1)
    client.send(SET)
    sent = world.plane.freshness.need(slot)
    assert sent == int(world.now * 1e9)
    world.now += 1
    lease.send(b"+OK\r\n")
    assert world.plane.freshness.need(slot) == int(world.now * 1e9)


def test_bytes_that_nothing_asked_for_end_an_attached_client() -> None:
    world, client, lease = subscribed()
    lease.send(b"+OK\r\n")
    assert (client.open, lease.open) == (False, False)
    assert "nothing asked for" in world.notices[0]


def test_a_client_that_sends_no_more_is_closed_when_all_it_asked_for_is_done() -> None:
    world = World()
    client = world.client()
    client.send(command("CLIENT", "REPLY", "OFF") + SET)
    client.protocol.eof_received()
    world.turn()
    lease = world.open(0)
    assert lease.take() == SET
    assert client.open
    lease.send(b"+OK\r\n")
    assert (client.take(), client.open, lease.open) == (b"", False, False)


def test_a_subscriber_that_sends_no_more_is_closed() -> None:
    world, client, lease = subscribed()
    client.protocol.eof_received()
    world.turn()
    assert (client.open, lease.open) == (False, False)


def test_what_is_refused_is_refused_to_an_attached_client_too() -> None:
    _, client, lease = attached("CLIENT", "TRACKING", "ON")
    client.send(command("REPLICAOF", "NO", "ONE"))
    assert client.take() == errors.denied(b"REPLICAOF")
    assert lease.take() == b""


def test_a_subscription_inside_a_transaction_of_an_attached_client_is_refused_and_it_stays_attached() -> None:
    _, client, lease = attached("CLIENT", "TRACKING", "ON")
    client.send(command("MULTI") + command("SUBSCRIBE", "c"))
    lease.send(b"+OK\r\n")
    lease.send(b"-ERR unknown command\r\n")
    assert client.take() == b"+OK\r\n" + errors.NOT_IN_TRANSACTION
    client.send(command("EXEC"))
    lease.send(b"-EXECABORT no\r\n")
    assert client.protocol.state is State.ATTACHED
