"""One client: runs, order, limits, backpressure, the end."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy import errors
from rproxy.dataplane.policies import Policy, adopt
from rproxy.dataplane.states import RefusedTransition, State
from tests.dataplane.kit import End, World, command

GET = command("GET", "k")
SET = command("SET", "k", "v")
GETDEL = command("GETDEL", "k")
MB = 1024 * 1024


def bulk(size: int, name: bytes = b"") -> bytes:
    """A reply of so many bytes, or of as many as its name has."""
    value = name.ljust(size, b".")
    return b"$%d\r\n%b\r\n" % (len(value), value)


def test_a_write_goes_to_the_leader_and_a_read_to_a_replica() -> None:
    world = World()
    client = world.client()
    client.send(SET)
    leader = world.open(0)
    assert leader.take() == SET
    leader.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    world.dice = 0.9
    client.send(GET)
    assert world.open(2).take() == GET


def test_a_name_in_any_case_is_known() -> None:
    world = World()
    client = world.client()
    client.send(command("get", "k") + command("GeT", "k"))
    assert world.open(1).take() == command("get", "k") + command("GeT", "k")


def test_unknown_commands_go_to_the_leader() -> None:
    world = World()
    world.client().send(command("NO.SUCH", "k"))
    assert world.open(0).take() == command("NO.SUCH", "k")


def test_commands_of_one_piece_for_one_server_travel_as_one_slice() -> None:
    world = World()
    client = world.client()
    client.send(GET * 3 + SET * 2 + GET)
    lane = world.open(1)
    assert lane.take() == GET * 4
    assert world.open(0).take() == SET * 2
    fifo = lane.protocol.fifo
    assert [pending.left for pending in fifo] == [3, 1]


def test_replies_leave_in_the_clients_order() -> None:
    world = World()
    client = world.client()
    client.send(GET + SET + GET)
    replica, leader = world.open(1), world.open(0)
    replica.send(b"$1\r\n1\r\n$1\r\n3\r\n")
    assert client.take() == b"$1\r\n1\r\n"
    leader.send(b"+2\r\n")
    assert client.take() == b"+2\r\n$1\r\n3\r\n"


def test_a_reply_goes_on_as_it_comes() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    replica = world.open(1)
    replica.send(b"$10\r\n12345")
    assert client.take() == b"$10\r\n12345"
    replica.send(b"67890\r\n")
    assert client.take() == b"67890\r\n"


@given(st.integers(1, 2**31))
def test_any_mix_of_reads_and_writes_in_any_cuts_is_answered_in_order(seed: int) -> None:
    dice = random.Random(seed)
    world = World()
    client = world.client()
    kinds = [dice.choice("rw") for _ in range(dice.randint(1, 40))]
    sent = b"".join(command("GET" if kind == "r" else "SET", str(number)) for number, kind in enumerate(kinds))
    while sent:
        cut = dice.randint(1, 60)
        client.send(sent[:cut])
        sent, world.dice = sent[cut:], dice.random()
    waiting: list[tuple[object, bytes]] = []
    ends = [world.open(server.index) for server, _ in list(world.dialled)]
    for end in ends:
        numbers = [word for word in end.take().split(b"\r\n") if word.isdigit()]
        waiting += [(end, b"+" + number + b"\r\n") for number in numbers]
    queues = {end: [reply for whose, reply in waiting if whose is end] for end in ends}
    while any(queues.values()):
        end = dice.choice([end for end in ends if queues[end]])
        end.send(queues[end].pop(0))
    assert client.take() == b"".join(b"+%d\r\n" % number for number in range(len(kinds)))


def test_an_inline_command_is_sent_as_an_array() -> None:
    world = World()
    world.client().send(b"set k 'v w'\r\n")
    assert world.open(0).take() == command("set", "k", "v w")


def test_empty_lines_and_empty_arrays_are_ignored() -> None:
    world = World()
    client = world.client()
    client.send(b"\r\n*0\r\n*-5\r\n  \r\n" + GET)
    assert world.open(1).take() == GET


def test_a_protocol_error_is_answered_in_order_and_closes() -> None:
    world = World()
    client = world.client()
    client.send(GET + b"*1\r\n:1\r\n")
    assert client.open
    world.open(1).send(b"$-1\r\n")
    assert client.take() == b"$-1\r\n-ERR Protocol error: expected '$', got ':'\r\n"
    assert not client.open


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\n", b"Host: example\r\n", command("post", "x")])
def test_http_is_closed_without_an_answer(line: bytes) -> None:
    world = World()
    client = world.client()
    client.send(line)
    assert (client.take(), client.open) == (b"", False)


def test_a_refused_command_says_how_to_allow_it() -> None:
    world = World()
    client = world.client()
    client.send(command("SHUTDOWN"))
    reply = client.take()
    assert b"SHUTDOWN" in reply and b"not executed" in reply and b"commands" in reply


def test_at_first_512_commands_may_be_in_flight_and_1024_when_their_replies_are_seen_to_be_small() -> None:
    world = World()
    client = world.client()
    client.send(GET * 4000)
    replica = world.open(1)
    flights = []
    while asked := replica.take().count(b"GET"):
        flights.append(asked)
        replica.send(b"$-1\r\n" * asked)
    assert flights[:2] == [512, 1024]
    assert sum(flights) == 4000 and max(flights) == 1024


def test_fewer_may_be_in_flight_when_the_client_did_not_take_its_replies() -> None:
    world = World()
    client = world.client()
    client.send(GET * 512)
    replica = world.open(1)
    replica.take()
    replica.send(b"$-1\r\n" * 512)
    assert client.protocol.most_inflight == 1024
    client.protocol.pause_writing()
    assert client.protocol.most_inflight == 512


def test_no_more_than_one_megabyte_of_requests_is_in_flight() -> None:
    world = World()
    client = world.client()
    large = command("SET", "k", b"x" * 100_000)
    for _ in range(30):
        client.send(large)
    leader = world.open(0)
    assert len(leader.take()) <= 1024 * 1024 + len(large)
    assert not client.transport.reading
    for _ in range(30):
        leader.send(b"+OK\r\n")
    assert client.transport.reading
    assert client.take() == b"+OK\r\n" * 30


def test_no_command_is_taken_while_the_client_does_not_take_its_replies() -> None:
    world = World()
    client = world.client()
    client.protocol.pause_writing()
    client.send(GET)
    assert not world.dialled
    client.protocol.resume_writing()
    world.turn()
    assert world.open(1).take() == GET


def test_replies_to_writes_are_kept_up_to_the_limit_and_one_reply_more() -> None:
    world = World(session_output=1000)
    client = world.client()
    client.send(GETDEL * 3)
    leader = world.open(0)
    client.protocol.pause_writing()
    leader.send(b"$5000\r\n" + b"x" * 5000 + b"\r\n")
    assert client.open
    leader.send(b"$-1\r\n")
    assert not client.open
    leader.send(b"$-1\r\n")
    assert leader.open


def test_the_limit_holds_wherever_the_pieces_of_replies_are_cut() -> None:
    world = World(session_output=1000)
    client = world.client()
    client.send(GETDEL * 5)
    leader = world.open(0)
    client.protocol.pause_writing()
    replies = bulk(700) * 5
    for at in range(0, len(replies), 333):
        leader.send(replies[at : at + 333])
    assert not client.open


def test_reads_that_a_slow_client_has_asked_for_are_taken_back_and_asked_again_when_it_reads() -> None:
    world = World(session_output=1000)
    client = world.client()
    client.send(b"".join(command("GET", str(number)) for number in range(10)))
    replica = world.open(1)
    replica.take()
    client.protocol.pause_writing()
    replica.send(b"".join(bulk(700, b"%d" % number) for number in range(10)))
    assert client.open
    assert client.protocol.held < 8000
    seen = client.take()
    for _ in range(20):
        client.protocol.resume_writing()
        world.turn()
        seen += client.take()
        for word in replica.take().split(b"\r\n"):
            if word.isdigit():
                replica.send(bulk(700, word))
    assert seen + client.take() == b"".join(bulk(700, b"%d" % number) for number in range(10))


@given(st.integers(1, 2**31))
def test_a_client_gets_every_reply_in_order_however_slowly_it_reads(seed: int) -> None:
    dice = random.Random(seed)
    world = World(session_output=80_000)  # of which a quarter may be held before reads are taken back
    client = world.client()
    count = dice.randint(1, 60)
    kinds = [dice.choice("rrrrw") for _ in range(count)]
    sizes = [dice.choice((1, 1, 10, 300, 1200)) for _ in range(count)]
    sent = b"".join(command("GET" if kind == "r" else "SET", f"k{number}") for number, kind in enumerate(kinds))
    writes: list[int] = []
    ends: dict[int, End] = {}
    owed: dict[int, bytearray] = {0: bytearray(), 1: bytearray(), 2: bytearray()}
    seen = b""
    for _ in range(5000):
        what = dice.random()
        if sent and what < 0.2:
            cut = dice.randint(1, 200)
            client.send(sent[:cut])
            sent = sent[cut:]
        elif what < 0.3:
            client.protocol.pause_writing()
        elif what < 0.5:
            client.protocol.resume_writing()
            world.turn()
        for server in {server.index for server, _ in world.dialled} - set(ends):
            ends[server] = world.open(server)
        for server, end in ends.items():
            for word in end.take().split(b"\r\n"):
                if word.startswith(b"k"):
                    number = int(word[1:])
                    writes += [number] * (kinds[number] == "w")
                    owed[server] += bulk(1 if kinds[number] == "w" else sizes[number], word)
            if owed[server] and dice.random() < 0.4:
                cut = dice.randint(1, 900)
                end.send(bytes(owed[server][:cut]))
                del owed[server][:cut]
        world.dice = dice.random()
        seen += client.take()
        assert client.open
    client.protocol.resume_writing()
    world.turn()
    assert not sent and not client.protocol.fifo
    assert seen + client.take() == b"".join(
        bulk(1 if kind == "w" else size, b"k%d" % number) for number, (kind, size) in enumerate(zip(kinds, sizes, strict=True))
    )
    assert writes == [number for number, kind in enumerate(kinds) if kind == "w"]


def test_what_is_in_flight_is_bounded_by_the_size_of_the_replies_so_far() -> None:
    world = World(session_output=8 * MB)
    client = world.client()
    client.send(GET * 2)
    replica = world.open(1)
    replica.take()
    replica.send(bulk(100_000) * 2)
    client.send(GET * 1000)
    most = replica.take().count(b"GET")
    assert 5 < most <= 20
    for _ in range(30):
        replica.send(b"$-1\r\n" * most)
        most = replica.take().count(b"GET")
        if most == 1024:
            break
        client.send(GET * 1000)
    assert client.protocol.most_inflight == 1024


def test_reads_that_another_server_has_answered_already_are_taken_back_with_those_before_them() -> None:
    world = World(session_output=4000)
    client = world.client()
    client.send(b"".join(command("GET", f"a{number}") for number in range(20)))
    first = world.open(1)
    first.take()
    world.dice = 0.9
    client.send(b"".join(command("GET", f"b{number}") for number in range(3)))
    second = world.open(2)
    second.take()
    client.protocol.pause_writing()
    second.send(bulk(300, b"b0") + bulk(300, b"b1"))
    for number in range(20):
        first.send(bulk(500, b"a%d" % number))
    second.send(bulk(300, b"b2"))
    assert client.open and client.protocol.held < 4000
    seen = client.take()
    for _ in range(60):
        client.protocol.resume_writing()
        world.turn()
        seen += client.take()
        for server in (first, second):
            for word in server.take().split(b"\r\n"):
                if word[:1] in (b"a", b"b"):
                    server.send(bulk(500 if word[:1] == b"a" else 300, word))
    assert seen + client.take() == b"".join(bulk(500, b"a%d" % number) for number in range(20)) + b"".join(
        bulk(300, b"b%d" % number) for number in range(3)
    )


def test_a_write_behind_reads_is_never_taken_back() -> None:
    world = World(session_output=10_000)
    client = world.client()
    client.send(GET * 3 + command("SET", "other", "v") + GET * 3)
    replica, leader = world.open(1), world.open(0)
    sent = leader.take()
    client.protocol.pause_writing()
    replica.send(bulk(1000) * 3)
    leader.send(b"+OK\r\n")
    for _ in range(5):
        client.protocol.resume_writing()
        world.turn()
        replica.send(b"$-1\r\n" * replica.take().count(b"GET"))
    assert (sent, leader.take()) == (command("SET", "other", "v"), b"")
    assert client.take() == bulk(1000) * 3 + b"+OK\r\n" + b"$-1\r\n" * 3


def test_what_is_answered_here_waits_while_much_is_held() -> None:
    world = World(session_output=2000)
    client = world.client()
    client.protocol.choked = True
    client.send(command("RPROXY", "HELP") * 200)
    assert client.open and client.protocol.held < 1000
    for _ in range(200):
        client.protocol.resume_writing()
        world.turn()
    assert client.take().count(b"Print this help") == 200


def test_a_connection_that_only_a_slow_client_waits_for_is_not_read_until_it_reads() -> None:
    world = World(replicas=0, session_output=80_000)
    client, other = world.client(), world.client()
    client.send(GET)
    lane = world.open(0)
    client.protocol.pause_writing()
    lane.send(b"$3000000\r\n" + b"x" * 100_000)
    assert not lane.transport.reading
    world.wait(5)
    other.send(GET)
    assert other.open and not world.suspects
    second = world.open(0)
    second.send(b"$-1\r\n")
    assert other.take() == b"$-1\r\n"
    client.protocol.resume_writing()
    world.turn()
    assert lane.transport.reading
    lane.send(b"x" * 2_900_000 + b"\r\n")
    assert len(client.take()) == len(b"$3000000\r\n") + 3_000_002


def test_a_connection_is_read_on_when_the_slow_client_has_gone() -> None:
    world = World(replicas=0, session_output=80_000)
    client = world.client()
    client.send(GET)
    lane = world.open(0)
    client.protocol.pause_writing()
    lane.send(b"$3000000\r\n" + b"x" * 100_000)
    client.lose()
    assert lane.transport.reading


def test_a_stranger_is_held_little_for() -> None:
    world = World(replicas=0)
    client = world.client()
    client.protocol.policy = Policy(auth=True)
    adopt(client.protocol)
    client.protocol.pause_writing()
    received = 0
    while client.transport.reading:
        client.send(command("PING") * 100)
        received += 1400
    assert received < 2 * MB and client.protocol.most_held == MB


def test_replies_for_a_client_that_has_gone_are_thrown_away() -> None:
    world = World()
    first, second = world.client(), world.client()
    first.send(GET)
    second.send(GET)
    replica = world.open(1)
    first.lose()
    replica.send(b"$5\r\nfirst\r\n$6\r\nsecond\r\n")
    assert second.take() == b"$6\r\nsecond\r\n"


def test_what_was_not_sent_yet_is_never_sent_for_a_client_that_has_gone() -> None:
    world = World()
    client = world.client()
    client.send(SET)
    client.lose()
    assert world.open(0).take() == b""


def test_a_client_that_sends_no_more_gets_its_answers_and_is_closed() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    client.protocol.eof_received()
    world.open(1).send(b"$-1\r\n")
    assert (client.take(), client.open) == (b"$-1\r\n", False)


def test_above_the_limit_clients_are_refused_in_redis_words() -> None:
    world = World(clients=1)
    first, second = world.client(), world.client()
    assert (second.take(), second.open) == (errors.TOO_MANY_CLIENTS, False)
    first.lose()
    assert world.client().open


def test_draining_closes_a_session_when_what_is_in_flight_is_answered() -> None:
    world = World()
    idle, busy = world.client(), world.client()
    busy.send(SET)
    world.plane.draining = True
    for session in world.plane.clients:
        session.wake()
    world.turn()
    assert (idle.open, busy.open) == (False, True)
    world.open(0).send(b"+OK\r\n")
    assert (busy.take(), busy.open) == (b"+OK\r\n", False)


def test_a_session_that_has_ended_holds_nothing() -> None:
    world = World()
    client = world.client()
    client.send(GET)
    client.lose()
    assert not client.protocol.fifo
    assert len(world.plane.clients) == 0
    assert client.protocol.state is State.CLOSING


def test_an_illegal_transition_is_not_made() -> None:
    session = World().client().protocol
    with pytest.raises(RefusedTransition, match="SHARED to BROKEN"):
        session.enter(State.BROKEN)


def test_input_that_waited_is_taken_before_input_that_comes_in_the_same_pass_as_its_release() -> None:
    world = World()
    client = world.client()
    client.send(command("AUTH", "x") + command("GET", "1"))
    question = world.open(0)
    question.protocol.data_received(b"-ERR no\r\n")
    client.protocol.data_received(command("GET", "2"))
    world.turn()
    assert world.open(1).take() == command("GET", "1") + command("GET", "2")


def test_a_command_in_one_byte_pieces_is_sent_once_it_is_whole() -> None:
    world = World()
    client = world.client()
    for at in range(len(SET)):
        client.send(SET[at : at + 1])
    assert world.open(0).take() == SET


@pytest.mark.parametrize("sent", [command("JSON.GET", "k"), command("gEt", "k"), b"GET k\r\n", command("CONFIG", "GET", "x")])
def test_every_kind_of_command_counts_as_in_flight(sent: bytes) -> None:
    world = World(replicas=0)
    client = world.client()
    for _ in range(50):
        if client.transport.reading:
            client.send(sent * 200)
    assert client.protocol.inflight <= 1024


def test_input_that_waits_is_bounded_however_often_it_is_taken_up() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(GET)
    lane = world.open(0)
    lane.take()
    lane.send(b"$-1\r\n")
    received = 0
    for _ in range(30):
        while client.transport.reading:
            client.send(GET * 10_000)
            received += 10_000
        lane.send(b"$-1\r\n" * lane.take().count(b"GET"))
        client.take()
    assert received <= 60_000


def test_while_draining_nothing_new_is_taken() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(GET)
    lane = world.open(0)
    lane.take()
    world.plane.draining = True
    client.send(SET)
    assert lane.take() == b""
    assert not world.client().open


def test_what_had_come_before_draining_began_is_carried_out() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(command("SELECT", "5") + SET)
    world.plane.draining = True
    client.send(GET)
    lane = world.open(0)
    lane.take()
    lane.send(b"+OK\r\n")
    assert (client.take(), client.open) == (b"+OK\r\n+OK\r\n", False)
    assert lane.take() == b""


def test_a_session_that_waits_for_an_answer_is_not_cut_off_by_draining() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(command("SELECT", "5"))
    world.plane.draining = True
    client.protocol.wake()
    world.turn()
    assert client.open
    world.open(0)
    assert (client.take(), client.open) == (b"+OK\r\n", False)
