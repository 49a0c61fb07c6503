"""What came first over a connection of its own is at the leader before what came later."""

from __future__ import annotations

from typing import Any

import pytest

from rproxy.dataplane.barriers import MOMENT, Concern
from rproxy.dataplane.session import Session
from rproxy.dataplane.states import BARRIER
from tests.dataplane.kit import End, World, command

SUBSCRIBE, PUBLISH = command("SUBSCRIBE", "news"), command("PUBLISH", "news", "x")
SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
BLPOP, RPUSH = command("BLPOP", "q", "0"), command("RPUSH", "q", "x")
NOPERM = b"-NOPERM this user has no permissions\r\n"
SET, GET = command("SET", "k", "v"), command("GET", "k")


class Leader:
    """A leader to which a lane is open, and `other`, a client that uses it."""

    def __init__(self) -> None:
        self.world = World()
        self.other = self.world.client()
        self.other.send(SET)
        self.lane = self.world.open(0)
        self.lane.take()
        self.lane.send(b"+OK\r\n")
        self.other.take()

    def subscribing(self, words: bytes = SUBSCRIBE) -> tuple[End, End]:
        """A client that has asked for a subscription, and the connection on which that is."""
        client = self.world.client()
        client.send(words)
        lease = self.world.open(0)
        assert lease.take() == words
        return client, lease

    def blocked(self, words: bytes = BLPOP) -> tuple[End, End]:
        """A client that waits, and the connection on which it does."""
        return self.subscribing(words)


@pytest.fixture
def leader() -> Leader:
    return Leader()


@pytest.mark.parametrize("words", [PUBLISH, command("SPUBLISH", "news", "x")], ids=["PUBLISH", "SPUBLISH"])
def test_a_message_waits_until_the_subscription_before_it_is_confirmed(leader: Leader, words: bytes) -> None:
    _, lease = leader.subscribing()
    leader.other.send(words + SET)
    assert leader.lane.take() == b""
    lease.send(SUBSCRIBED)
    assert leader.lane.take() == words + SET


@pytest.mark.parametrize(
    "words", [command("EVAL", "return redis.call('publish', 'news', 'x')", "0"), command("UNHEARD.OF")], ids=["EVAL", "unknown"]
)
def test_what_may_publish_waits_too(leader: Leader, words: bytes) -> None:
    _, lease = leader.subscribing()
    leader.other.send(words)
    assert not leader.world.dialled
    lease.send(SUBSCRIBED)
    assert leader.world.open(0).take() == words


def test_it_waits_for_the_next_subscription_too(leader: Leader) -> None:
    for _ in range(3):
        _, lease = leader.subscribing()
        leader.other.send(PUBLISH)
        assert leader.lane.take() == b""
        lease.send(SUBSCRIBED)
        assert leader.lane.take() == PUBLISH


def test_it_waits_from_the_moment_in_which_the_subscription_is_asked_for(leader: Leader) -> None:
    client = leader.world.client()
    client.send(SUBSCRIBE)
    leader.other.send(PUBLISH)
    assert leader.lane.take() == b""
    leader.world.open(0).send(SUBSCRIBED)
    assert leader.lane.take() == PUBLISH


def test_it_waits_for_every_channel_that_was_asked_for(leader: Leader) -> None:
    _, lease = leader.subscribing(command("SUBSCRIBE", "news", "more"))
    leader.other.send(PUBLISH)
    lease.send(SUBSCRIBED)
    assert leader.lane.take() == b""
    lease.send(SUBSCRIBED.replace(b"news", b"more").replace(b":1", b":2"))
    assert leader.lane.take() == PUBLISH


def test_what_follows_a_message_that_waits_stays_behind_it(leader: Leader) -> None:
    _, lease = leader.subscribing()
    leader.other.send(PUBLISH)
    leader.other.send(SET)
    assert leader.lane.take() == b""
    lease.send(SUBSCRIBED)
    assert leader.lane.take() == PUBLISH + SET


def test_nobody_else_waits_for_a_subscription(leader: Leader) -> None:
    leader.subscribing()
    leader.other.send(SET + GET)
    assert leader.lane.take() == SET


@pytest.mark.parametrize("words", [("PSUBSCRIBE", "__key*__:*"), ("SUBSCRIBE", "__keyspace@0__:k")])
def test_writes_wait_for_a_subscription_to_what_happens_to_keys(leader: Leader, words: tuple[str, ...]) -> None:
    leader.subscribing(command(*words))
    leader.other.send(SET)
    assert leader.lane.take() == b""


@pytest.mark.parametrize("how", ["lost", "gone", "never"])
def test_a_subscription_that_is_never_confirmed_holds_nobody_for_longer_than_the_budget(leader: Leader, how: str) -> None:
    client, lease = leader.subscribing()
    leader.other.send(PUBLISH)
    if how == "lost":
        lease.lose()
    elif how == "gone":
        client.lose()
    else:
        assert leader.lane.take() == b""
        leader.world.wait(leader.world.plane.options.budget + 0.1)
    assert leader.lane.take() == PUBLISH


def test_a_message_waits_for_subscriptions_that_came_before_it_alone(leader: Leader) -> None:
    _, first = leader.subscribing()
    leader.other.send(PUBLISH)
    leader.subscribing()
    first.send(SUBSCRIBED)
    assert leader.lane.take() == PUBLISH
    leader.other.send(PUBLISH)
    assert leader.lane.take() == b""


def test_thousands_of_subscriptions_and_messages_cost_no_more_than_their_number() -> None:
    """As where a site connects anew: nothing looks at all barriers for each of them."""
    looked = 0

    class Counting(dict[int, Session | None]):
        def items(self) -> Any:
            nonlocal looked
            for item in super().items():
                looked += 1
                yield item

    world = World()
    barriers = world.plane.barriers
    barriers._standing[Concern.PUBLISHERS] = Counting()
    sessions = [Session(world.plane) for _ in range(2000)]
    for session in sessions:
        barriers.attaches(session, b"SUBSCRIBE", [b"SUBSCRIBE", b"news"])
    publish, write = (world.plane.table.find(name) for name in (b"PUBLISH", b"SET"))
    others = [Session(world.plane) for _ in range(2000)]
    assert all(barriers.stops(session, publish) for session in others)
    assert not any(barriers.stops(session, write) for session in sessions)
    for session in sessions:
        barriers.confirmed(session)
    assert looked <= len(others)
    assert not any(session.halted & BARRIER or barriers.stops(session, publish) for session in others)
    assert not world.plane.barred


def test_a_subscriber_may_publish_itself(leader: Leader) -> None:
    client = leader.world.client()
    client.send(command("HELLO", "3"))
    leader.world.open(0)
    client.send(SUBSCRIBE + PUBLISH)
    assert leader.world.open(0).take() == SUBSCRIBE + PUBLISH


def test_a_long_message_waits_too(leader: Leader) -> None:
    _, lease = leader.subscribing()
    long = command("PUBLISH", "news", "x" * 400_000)
    leader.other.send(long[:300_000], long[300_000:])
    assert not leader.world.dialled
    lease.send(SUBSCRIBED)
    assert leader.world.open(0).take() == long


def test_what_is_pushed_after_a_waiting_client_has_gone_is_not_given_to_it(leader: Leader) -> None:
    client, _ = leader.blocked()
    client.protocol.hang_up()
    leader.other.send(RPUSH + SET)
    urgent = leader.world.open(0)
    assert urgent.take() == command("CLIENT", "KILL", "ID", "7")
    assert leader.lane.take() == b""
    urgent.send(b":1\r\n")
    assert leader.lane.take() == RPUSH + SET


def test_where_the_user_may_not_close_connections_the_client_is_unblocked(leader: Leader) -> None:
    client, _ = leader.blocked()
    client.lose()
    leader.other.send(RPUSH)
    urgent = leader.world.open(0)
    urgent.take()
    urgent.send(NOPERM)
    assert (urgent.take(), leader.lane.take()) == (command("CLIENT", "UNBLOCK", "7"), b"")
    urgent.send(b":1\r\n")
    assert leader.lane.take() == RPUSH


def test_it_is_so_too_where_its_connection_has_ended_in_the_same_loop_pass(leader: Leader) -> None:
    client, _ = leader.blocked()
    client.protocol.connection_lost(None)
    leader.other.send(RPUSH)
    assert leader.lane.take() == b""
    leader.world.open(0).send(b":0\r\n")
    assert leader.lane.take() == RPUSH


@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "silent"])
def test_where_the_leader_cannot_be_told_writes_go_on(leader: Leader, refuses: bool) -> None:
    client, _ = leader.blocked()
    client.lose()
    leader.other.send(RPUSH)
    if not refuses:
        leader.world.wait(leader.world.plane.options.budget + 0.1)
    else:
        urgent = leader.world.open(0)
        urgent.send(NOPERM)
        urgent.send(NOPERM)
    assert leader.lane.take() == RPUSH


@pytest.mark.parametrize("words", [command("XREAD", "BLOCK", "0", "STREAMS", "s", "$"), command("WATCH", "k"), SUBSCRIBE])
def test_a_client_that_takes_nothing_may_go_unseen(leader: Leader, words: bytes) -> None:
    client, _ = leader.blocked(words)
    client.lose()
    leader.other.send(RPUSH)
    assert leader.lane.take() == RPUSH


def leave(client: End) -> None:
    """The client closes its connection; what it has sent is there to be taken."""
    client.protocol.eof_received()
    client.protocol.hang_up()


LARGE = command("SET", "k", "x" * 400_000)
IN_PIECES = (LARGE[:300_000], LARGE[300_000:])
LARGE_READ = command("GET", "x" * 400_000)


def test_what_a_client_wrote_before_it_left_comes_before_what_others_write_then(leader: Leader) -> None:
    client = leader.world.client()
    client.send(*IN_PIECES)
    leave(client)
    leader.other.send(SET)
    assert leader.lane.take() == b""
    lease = leader.world.open(0)
    assert (lease.take(), leader.lane.take()) == (LARGE, b"")
    lease.send(b"+OK\r\n")
    assert leader.lane.take() == SET


def test_it_comes_before_them_where_it_waited_for_another_command_when_the_client_left(leader: Leader) -> None:
    client = leader.world.client()
    client.send(SET + IN_PIECES[0], IN_PIECES[1])
    leave(client)
    assert leader.lane.take() == SET
    leader.lane.send(b"+OK\r\n")
    leader.other.send(SET)
    assert (leader.world.open(0).take(), leader.lane.take()) == (LARGE, b"")


def test_it_comes_before_them_where_it_waits_for_a_shared_connection_too(leader: Leader) -> None:
    client = leader.world.client()
    client.send(command("SELECT", "1"))
    lane = leader.world.open(0)
    lane.lose()
    client.send(SET)
    leave(client)
    leader.other.send(SET)
    leader.world.wait(0.05)
    lane = leader.world.open(0)
    assert (lane.take(), leader.lane.take()) == (SET, b"")
    lane.send(b"+OK\r\n")
    assert leader.lane.take() == SET


def test_a_large_command_keeps_its_place_before_what_others_write_while_all_wait_for_the_leader(leader: Leader) -> None:
    leader.lane.lose()
    client = leader.world.client()
    client.send(*IN_PIECES)
    leader.other.send(SET)
    assert [server.index for server, _ in leader.world.dialled] == [0]
    assert leader.world.open(0).take() == LARGE
    assert leader.world.open(0).take() == SET


def test_nobody_waits_for_longer_than_the_budget_for_what_a_client_wrote_before_it_left(leader: Leader) -> None:
    client = leader.world.client()
    client.send(*IN_PIECES)
    leave(client)
    leader.other.send(SET)
    leader.world.wait(leader.world.plane.options.budget + 0.1)
    assert leader.lane.take() == SET


@pytest.mark.parametrize(
    "words", [(SET,), (GET,), (LARGE_READ[:300_000], LARGE_READ[300_000:])], ids=["a small write", "a read", "a large read"]
)
def test_nobody_waits_for_what_needs_no_connection_of_its_own_or_changes_nothing(
    leader: Leader, words: tuple[bytes, ...]
) -> None:
    client = leader.world.client()
    client.send(*words)
    leave(client)
    leader.lane.take()
    leader.other.send(SET)
    assert leader.lane.take() == SET


@pytest.mark.parametrize("before", [b"", SET], ids=["alone", "behind another command"])
def test_a_large_command_that_waits_is_read_so_that_the_end_behind_it_is_seen(leader: Leader, before: bytes) -> None:
    client = leader.world.client()
    client.send(before + IN_PIECES[0], IN_PIECES[1])
    if before:
        assert leader.lane.take() == before
        leader.lane.send(b"+OK\r\n")
    client.send(*[command("SET", "k", "x" * 100_000)] * 5)
    assert client.transport.reading
    client.send(command("SET", "k", "x" * 500_000))
    assert not client.transport.reading


MULTI, WATCH, MONITOR = command("MULTI"), command("WATCH", "k"), command("MONITOR")
TRACKING = command("CLIENT", "TRACKING", "ON", "BCAST")
EVAL = command("EVAL", "return redis.call('set', KEYS[1], 'x')", "1", "k")
XREAD = command("XREAD", "BLOCK", "0", "STREAMS", "x", "$")


@pytest.mark.parametrize("words", [MULTI, WATCH, BLPOP, XREAD, EVAL], ids=["MULTI", "WATCH", "BLPOP", "XREAD", "EVAL"])
def test_a_write_does_not_overtake_what_waits_for_a_connection(leader: Leader, words: bytes) -> None:
    leader.world.client().send(words)
    leader.other.send(SET)
    assert leader.lane.take() == b""
    assert leader.world.open(0).take() == words
    assert leader.lane.take() == SET


@pytest.mark.parametrize("words", [MULTI, WATCH, BLPOP, MONITOR], ids=["MULTI", "WATCH", "BLPOP", "MONITOR"])
def test_a_write_does_not_overtake_what_waits_for_a_reply_of_its_own_client(leader: Leader, words: bytes) -> None:
    client = leader.world.client()
    client.send(SET + words)
    leader.other.send(GET.replace(b"GET", b"DEL"))
    assert leader.lane.take() == SET
    leader.lane.send(b"+OK\r\n")
    assert (leader.world.open(0).take(), leader.lane.take()) == (
        words,
        GET.replace(b"GET", b"DEL") if words is not MONITOR else b"",
    )


def test_a_message_does_not_overtake_a_subscription_that_waits_for_a_reply_of_its_own_client(leader: Leader) -> None:
    client = leader.world.client()
    client.send(SET + SUBSCRIBE)
    leader.other.send(PUBLISH)
    assert leader.lane.take() == SET
    leader.lane.send(b"+OK\r\n")
    lease = leader.world.open(0)
    assert (lease.take(), leader.lane.take()) == (SUBSCRIBE, b"")
    lease.send(SUBSCRIBED)
    assert leader.lane.take() == PUBLISH


@pytest.mark.parametrize("words", [MONITOR, TRACKING], ids=["MONITOR", "TRACKING"])
def test_a_write_waits_until_the_leader_is_sure_to_show_it(leader: Leader, words: bytes) -> None:
    client = leader.world.client()
    if words is TRACKING:
        client.send(command("HELLO", "3"))
        leader.world.open(0)
    client.send(words)
    lease = leader.world.open(0)
    leader.other.send(SET)
    assert (lease.take(), leader.lane.take()) == (words, b"")
    lease.send(b"+OK\r\n")
    assert leader.lane.take() == SET


@pytest.mark.parametrize("words", [MULTI, BLPOP, EVAL], ids=["MULTI", "BLPOP", "EVAL"])
def test_for_a_connection_alone_nobody_waits_for_longer_than_a_moment(leader: Leader, words: bytes) -> None:
    leader.world.client().send(words)
    leader.other.send(SET)
    leader.world.wait(MOMENT + 0.06)
    assert leader.lane.take() == SET
    leader.world.client().send(words)
    leader.other.send(SET)
    assert leader.lane.take() == b""


def test_many_who_need_connections_wait_for_one_another_once(leader: Leader) -> None:
    for _ in range(50):
        leader.world.client().send(BLPOP)
    assert len(leader.world.dialled) == 1
    leader.world.open(0)
    assert len(leader.world.dialled) == 49


def test_nobody_waits_for_a_connection_that_is_there(leader: Leader) -> None:
    client = leader.world.client()
    client.send(MULTI)
    lease = leader.world.open(0)
    client.send(command("DISCARD"))
    lease.send(b"+OK\r\n+OK\r\n")
    lease.take()
    client.send(MULTI)
    leader.other.send(SET)
    assert (lease.take(), leader.lane.take(), leader.world.plane.barred) == (MULTI, SET, False)


def test_nobody_waits_for_a_script_that_waits_for_a_reply_of_its_own_client(leader: Leader) -> None:
    """Some clients' scripts always do, and each would hold up all that others write."""
    client = leader.world.client()
    client.send(SET + EVAL)
    leader.other.send(SET)
    assert (leader.lane.take(), leader.world.plane.barred) == (SET + SET, False)


def test_nobody_waits_for_what_others_cannot_see(leader: Leader) -> None:
    leader.world.client().send(command("CLIENT", "NO-TOUCH", "ON"))
    leader.other.send(SET)
    assert leader.lane.take() == SET


def test_a_write_waits_a_moment_for_a_large_one_that_waits_for_a_connection(leader: Leader) -> None:
    leader.world.client().send(*IN_PIECES)
    leader.other.send(SET)
    assert leader.lane.take() == b""
    assert leader.world.open(0).take() == LARGE
    assert leader.lane.take() == SET


def test_reads_do_not_wait_for_anybody(leader: Leader) -> None:
    client, _ = leader.blocked()
    client.lose()
    leader.other.send(GET)
    assert leader.world.open(1).take() == GET
