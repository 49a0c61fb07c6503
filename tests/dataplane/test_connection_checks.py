"""Connections that the server has lost and nobody was told of: what waits there is told."""

from __future__ import annotations

import pytest

from rproxy import errors
from rproxy.dataplane import resp
from tests.dataplane.kit import End, World, command, process

RUN = b"1" * 40
SET, GET = command("SET", "k", "v"), command("GET", "k")
LOST, CHECK = 71, 99
"""The server's ids for the connection that waits, and for the one over which it is asked."""


def hello(number: int) -> bytes:
    return b"%%1\r\n$2\r\nid\r\n:%d\r\n" % number


def listed(*numbers: int, verbatim: bool = False) -> bytes:
    """What CLIENT LIST answers where these are the connections there are."""
    lines = b"".join(b"id=%d addr=10.0.0.1:4000 laddr=10.0.0.2:6379 name= cmd=get\n" % number for number in numbers)
    return b"=%d\r\ntxt:%b\r\n" % (len(lines) + 4, lines) if verbatim else resp.bulk(lines)


def waiting(*commands: bytes, run_id: bytes = RUN) -> tuple[World, End, End]:
    """A world, its client, and the connection to the leader on which these commands of the client were sent, and are not answered."""
    world = World(0)
    world.follow(processes=((0, run_id),))
    client = world.client()
    client.send(*commands)
    server = world.open(hello=hello(LOST), info=process(RUN))
    server.take()
    return world, client, server


def budget_over(world: World) -> None:
    world.wait(world.plane.options.budget + 0.2)


def asked(world: World, run_id: bytes = RUN) -> End:
    """The connection over which the server is asked, whose handshake is answered."""
    return world.open(hello=hello(CHECK), info=process(run_id))


def test_a_server_that_is_silent_for_the_budget_is_asked_over_a_new_connection_which_ones_it_has() -> None:
    world, _, _ = waiting(SET)
    budget_over(world)
    assert asked(world).take() == command("CLIENT", "LIST", "ID", str(CHECK), str(LOST))


def test_nothing_is_asked_before() -> None:
    world, _, _ = waiting(SET)
    world.wait(world.plane.options.budget - 0.2)
    assert not world.dialled


@pytest.mark.parametrize("verbatim", [False, True])
def test_a_write_on_a_connection_that_the_server_does_not_have_is_answered(verbatim: bool) -> None:
    world, client, server = waiting(SET)
    budget_over(world)
    asked(world).send(listed(CHECK, verbatim=verbatim))
    assert (client.take(), server.open) == (errors.LEADER_LOST, False)


def test_a_read_on_it_is_sent_again() -> None:
    world, client, _ = waiting(GET)
    budget_over(world)
    asked(world).send(listed(CHECK))
    again = world.open(hello=hello(LOST + 1), info=process(RUN))
    again.send(b"$1\r\nv\r\n")
    assert client.take() == b"$1\r\nv\r\n"


def test_a_connection_that_the_server_has_is_kept_however_long_the_command_takes() -> None:
    world, client, server = waiting(SET)
    for _ in range(3):
        budget_over(world)
        if world.dialled:
            asked(world).send(listed(CHECK, LOST))
    server.send(b"+OK\r\n")
    assert client.take() == b"+OK\r\n"


def test_a_client_whose_blocking_command_is_overdue_is_closed() -> None:
    world, client, _ = waiting(command("BLPOP", "l", "1"))
    world.wait(1.0 + world.plane.options.budget / 2)
    assert not world.dialled
    world.wait(world.plane.options.budget)
    asked(world).send(listed(CHECK))
    assert not client.open


@pytest.mark.parametrize(
    "words",
    [
        command("BLPOP", "l", "60"),
        command("BLPOP", "l", "0"),
        command("XREAD", "BLOCK", "60000", "STREAMS", "x", "$"),
        command("XREAD", "BLOCK", "0", "STREAMS", "x", "$"),
        command("BLMPOP", "60", "1", "l", "LEFT"),
        command("SUBSCRIBE", "c"),
    ],
    ids=lambda words: words.split(b"\r\n")[2].decode(),
)
def test_a_client_that_may_wait_is_left_alone(words: bytes) -> None:
    world, client, _ = waiting(words)
    world.wait(10)
    assert not world.dialled
    assert client.open


def test_a_connection_that_is_kept_for_later_is_closed_too() -> None:
    world, _, lane = waiting(GET)
    lane.send(b"$1\r\nv\r\n")
    second = world.client()
    second.send(command("MULTI"))
    world.open(hello=hello(LOST + 1), info=process(RUN)).take()
    budget_over(world)
    question = asked(world)
    assert question.take() == command("CLIENT", "LIST", "ID", str(CHECK), str(LOST + 1), str(LOST))
    question.send(listed(CHECK, LOST + 1))
    assert not lane.open


def test_all_that_wait_there_are_asked_about_with_the_one_that_is_overdue() -> None:
    world, client, _ = waiting(command("BLPOP", "l", "0"))
    world.client().send(SET)
    world.open(hello=hello(LOST + 1), info=process(RUN))
    budget_over(world)
    question = asked(world)
    assert question.take() == command("CLIENT", "LIST", "ID", str(CHECK), str(LOST + 1), str(LOST))
    question.send(listed(CHECK, LOST + 1))
    assert not client.open


@pytest.mark.parametrize("reply", [listed(), listed(5), b"-NOPERM no\r\n", b"-ERR syntax error\r\n", b"$-1\r\n"])
def test_a_server_that_does_not_list_the_connection_over_which_it_is_asked_is_not_believed(reply: bytes) -> None:
    world, client, server = waiting(SET)
    budget_over(world)
    asked(world).send(reply)
    assert (client.take(), server.open) == (b"", True)


def test_another_process_at_the_same_address_is_not_believed() -> None:
    world, client, server = waiting(SET)
    budget_over(world)
    asked(world, run_id=b"2" * 40)
    world.wait(0.1)
    assert (client.take(), server.open) == (b"", True)


def test_nothing_is_asked_where_nobody_knows_which_process_the_server_is() -> None:
    world, _, _ = waiting(SET, run_id=b"")
    world.wait(10)
    assert not world.dialled


def test_a_user_without_the_right_is_asked_once() -> None:
    world, _, _ = waiting(SET)
    budget_over(world)
    asked(world).send(b"-NOPERM no\r\n")
    world.wait(10)
    assert not world.dialled


def test_a_question_that_is_not_answered_is_given_up_and_asked_again() -> None:
    world, client, server = waiting(SET)
    budget_over(world)
    first = asked(world)
    world.wait(2 * world.plane.options.budget)
    assert not first.open
    assert (client.take(), server.open) == (b"", True)
    asked(world).send(listed(CHECK))
    assert client.take() == errors.LEADER_LOST


def test_a_question_that_finds_no_connection_is_given_up() -> None:
    world, _, _ = waiting(SET)
    budget_over(world)
    world.refuse(0)
    world.wait(0.3)
    assert len(world.dialled) <= 1


def test_a_connection_that_was_opened_since_is_not_closed_for_the_last_one() -> None:
    world, client, server = waiting(SET)
    budget_over(world)
    question = asked(world)
    server.lose()
    client.take()
    client.send(SET)
    again = world.open(hello=hello(LOST), info=process(RUN))
    question.send(listed(CHECK))
    assert again.open
