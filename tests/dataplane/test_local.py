"""What rproxy answers by itself, and what it asks the leader before it says yes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rproxy import errors
from rproxy.dataplane.local import is_integer
from tests.dataplane.kit import HELLO, World, command

GET = command("GET", "k")


def test_client_id_is_the_sessions_own() -> None:
    world = World()
    first, second = world.client(), world.client()
    first.send(command("CLIENT", "ID"))
    second.send(command("client", "id"))
    assert (first.take(), second.take()) == (b":1\r\n", b":2\r\n")


def test_a_name_that_was_set_is_returned_until_reset() -> None:
    client = World().client()
    client.send(command("CLIENT", "GETNAME") + command("CLIENT", "SETNAME", "bob") + command("CLIENT", "GETNAME"))
    assert client.take() == b"$-1\r\n+OK\r\n$3\r\nbob\r\n"
    client.send(command("RESET") + command("CLIENT", "GETNAME"))
    assert client.take() == b"+RESET\r\n$-1\r\n"


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (("CLIENT", "SETNAME", "a b"), errors.BAD_NAME),
        (("CLIENT", "SETINFO", "LIB-NAME", "redis-py"), b"+OK\r\n"),
        (("CLIENT", "SETINFO", "lib-ver", "8 1"), errors.bad_info(b"lib-ver")),
        (("CLIENT", "SETINFO", "COLOUR", "red"), errors.bad_option(b"COLOUR")),
        (("CLIENT", "MAINT_NOTIFICATIONS", "ON"), errors.unknown_subcommand(b"MAINT_NOTIFICATIONS")),
        (("CLIENT", "SETNAME"), errors.wrong_arity(b"CLIENT|SETNAME")),
        (("SELECT",), errors.wrong_arity(b"SELECT")),
    ],
)
def test_answers_are_in_redis_words(words: tuple[str, ...], reply: bytes) -> None:
    client = World().client()
    client.send(command(*words))
    assert client.take() == reply


def test_an_answer_takes_its_place_among_the_others() -> None:
    world = World()
    client = world.client()
    client.send(GET + command("CLIENT", "ID") + GET)
    assert client.take() == b""
    world.open(1).send(b"+1\r\n+2\r\n")
    assert client.take() == b"+1\r\n:1\r\n+2\r\n"


def test_quit_answers_what_came_before_and_runs_nothing_behind_it() -> None:
    world = World()
    client = world.client()
    client.send(GET + command("QUIT") + command("SET", "k", "v"))
    world.open(1).send(b"+1\r\n")
    assert (client.take(), client.open) == (b"+1\r\n+OK\r\n", False)
    assert not world.dialled


def test_select_is_confirmed_by_the_leader_and_moves_the_session() -> None:
    world = World()
    client = world.client()
    client.send(command("SELECT", "3") + GET)
    leader = world.accept(0)
    assert leader.take() == command("HELLO", "2") + command("SELECT", "3")
    assert client.take() == b""
    leader.send(HELLO + b"+OK\r\n")
    assert client.take() == b"+OK\r\n"
    assert world.accept(1).take() == command("HELLO", "2") + command("SELECT", "3")


@pytest.mark.parametrize("words", [("HELLO", "3"), ("SELECT", "1")])
def test_while_nobody_leads_a_place_is_had_at_the_reader_that_was_asked_wherever_the_dice_fall_then(
    words: tuple[str, ...],
) -> None:
    world = World(replicas=2)
    world.plane.follow(replace(world.plane.topology, settled=False))
    client = world.client()
    client.send(command(*words))
    world.dice = 0.9
    world.open(1)
    assert client.take().startswith((b"+OK", b"%"))
    assert not world.dialled


def test_a_database_that_the_leader_does_not_have_is_refused_in_its_words() -> None:
    world = World()
    client = world.client()
    client.send(command("SELECT", "99") + GET)
    world.accept(0).send(HELLO + b"-ERR DB index is out of range\r\n")
    assert client.take() == b"-ERR DB index is out of range\r\n"
    assert world.accept(1).take() == command("HELLO", "2")


def test_a_select_that_is_no_number_is_the_leaders_to_answer() -> None:
    world = World()
    client = world.client()
    client.send(command("SELECT", "abc"))
    leader = world.open(0)
    assert leader.take() == command("SELECT", "abc")
    leader.send(b"-ERR invalid DB index\r\n")
    assert client.take() == b"-ERR invalid DB index\r\n"
    assert not leader.open


def test_hello_tells_the_sessions_id_and_a_leaders_role() -> None:
    world = World()
    client = world.client()
    client.send(command("HELLO", "3"))
    said = b"%2\r\n$2\r\nid\r\n:99\r\n$4\r\nrole\r\n$7\r\nreplica\r\n"
    leader = world.open(0, hello=said)
    assert client.take() == b"%2\r\n$2\r\nid\r\n:1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
    client.send(command("CLIENT", "GETNAME"))
    assert client.take() == b"_\r\n"
    client.send(command("SET", "k", "v"))
    assert leader.take() == command("SET", "k", "v")


def test_both_versions_of_the_protocol_have_lanes_of_their_own() -> None:
    world = World()
    old, new = world.client(), world.client()
    new.send(command("HELLO", "3"))
    world.open(0)
    old.send(GET)
    new.send(GET)
    assert {world.accept(1).take(), world.accept(1).take()} == {command("HELLO", "2"), command("HELLO", "3")}


@pytest.mark.parametrize("words", [("HELLO", "4"), ("HELLO", "x"), ("HELLO", "3", "NONSENSE")])
def test_a_hello_that_is_not_plain_is_the_leaders_to_answer(words: tuple[str, ...]) -> None:
    world = World()
    client = world.client()
    client.send(command(*words))
    leader = world.open(0)
    assert leader.take() == command(*words)
    leader.send(b"-NOPROTO unsupported protocol version\r\n")
    assert client.take() == b"-NOPROTO unsupported protocol version\r\n"


def test_without_a_leader_auth_gets_an_error_within_the_budget() -> None:
    world = World(budget=1.5)
    client = world.client()
    client.send(command("AUTH", "secret") + command("CLIENT", "ID"))
    for _ in range(16):
        world.refuse(0)
        world.wait(0.1)
    assert client.take() == errors.NO_LEADER + b":1\r\n"


def test_without_a_leader_hello_is_answered_by_a_replica() -> None:
    world = World()
    world.follow(leader_up=False)
    client = world.client()
    client.send(command("HELLO", "3"))
    world.open(1)
    assert client.take() == b"%1\r\n$2\r\nid\r\n:1\r\n"


def test_without_any_server_select_gets_an_error_within_the_budget() -> None:
    world = World(replicas=0, budget=1.5)
    client = world.client()
    client.send(command("SELECT", "1"))
    for _ in range(16):
        world.refuse(0)
        world.wait(0.1)
    assert client.take() == errors.NO_LEADER


def test_where_a_password_is_wanted_local_commands_want_it_too() -> None:
    world = World()
    client = world.client()
    noauth = b"-NOAUTH HELLO must be called with the client already authenticated\r\n"
    client.send(command("SET", "k", "v"))
    leader = world.open(0, hello=noauth)
    leader.send(b"-NOAUTH Authentication required.\r\n")
    client.take()
    client.send(command("CLIENT", "ID") + command("HELLO"))
    assert client.take() == errors.NOAUTH + noauth


@pytest.mark.parametrize("word", [b"0", b"1", b"-1", b"15", b"999999999"])
def test_what_a_server_takes_for_an_integer(word: bytes) -> None:
    assert is_integer(word)


@pytest.mark.parametrize("word", [b"", b"-", b"+1", b"01", b"-0", b" 1", b"1 ", b"1.0", b"x", b"9" * 30])
def test_what_a_server_does_not_take_for_an_integer(word: bytes) -> None:
    assert not is_integer(word)


ODD_SELECT = command("SELECT", "one")


def test_a_client_that_leaves_while_the_question_is_opened_makes_no_server_suspect() -> None:
    world = World()
    client = world.client()
    client.send(ODD_SELECT)
    question = world.accept(0)
    client.lose()
    assert (question.open, world.suspects) == (False, [])


def test_a_client_that_leaves_while_it_asks_ends_the_question() -> None:
    world = World()
    client = world.client()
    client.send(ODD_SELECT)
    question = world.open(0)
    client.lose()
    assert not question.open


@pytest.mark.parametrize("begun", [b"", b"$7\r\nserv"])
def test_a_question_that_is_lost_is_answered_with_one_error(begun: bytes) -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(ODD_SELECT)
    question = world.open(0)
    question.send(begun)
    question.lose()
    reply = client.take()
    assert reply.startswith(b"-ERR rproxy: ") and reply.count(b"\r\n") == 1


def test_rproxys_own_answers_are_bounded() -> None:
    world = World(replicas=0, session_output=1_000_000)
    client = world.client()
    client.send(command("CLIENT", "SETNAME", b"n" * 100_000) + command("GET", "k"))
    for _ in range(100):
        client.send(command("CLIENT", "GETNAME"))
    assert client.protocol.held < 300_000 and client.open
    world.open(0).send(b"$-1\r\n")
    assert client.take() == b"+OK\r\n$-1\r\n" + (b"$100000\r\n" + b"n" * 100_000 + b"\r\n") * 100


def test_a_client_that_sends_no_more_gets_its_select_and_what_is_behind_it() -> None:
    world = World(replicas=0)
    client = world.client()
    client.send(command("SELECT", "1") + command("SET", "k", "v"))
    client.protocol.eof_received()
    world.turn()
    lane = world.open(0)
    assert lane.take() == command("SET", "k", "v")
    lane.send(b"+OK\r\n")
    assert (client.take(), client.open) == (b"+OK\r\n+OK\r\n", False)


def test_info_of_rproxy_and_of_more_holds_both() -> None:
    world = World()
    client = world.client()
    client.send(command("INFO", "rproxy", "server", "memory") + command("CLIENT", "ID"))
    world.open(0)
    urgent = world.open(0)
    assert urgent.take() == command("INFO", "server", "memory")
    assert client.take() == b""
    urgent.send(b"$20\r\n# Server\r\n\r\n# Memory\r\n")
    header, _, body = client.take().removesuffix(b"\r\n:1\r\n").partition(b"\r\n")
    assert header == b"$%d" % len(body)
    assert body.startswith(b"# Rproxy\r\n") and body.endswith(b"\r\n\r\n# Server\r\n\r\n# Memory")


def test_info_of_rproxy_is_told_also_where_the_leader_does_not_answer() -> None:
    world = World()
    client = world.client()
    client.send(command("INFO", "rproxy", "server"))
    world.open(0)
    world.open(0).send(b"-NOPERM no\r\n")
    assert client.take().partition(b"\r\n")[2].startswith(b"# Rproxy\r\n")
