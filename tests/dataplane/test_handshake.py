"""Lane keys, and the opening of a connection."""

from __future__ import annotations

import gc

import pytest

from rproxy.dataplane.handshake import Handshake, LaneKey, LaneKeys, hello_reply
from rproxy.dataplane.topology import Server
from tests.dataplane.kit import command

PLAIN = Server(0, "a", 1)
WITH_USER = Server(0, "a", 1, user="svc", password="pw")


def test_equal_values_are_one_key() -> None:
    keys = LaneKeys()
    assert keys.get(b"bob", b"x", 0, 2) is keys.get(b"bob", b"x", 0, 2)


@pytest.mark.parametrize(
    "other", [(b"eve", b"x", 0, 2), (b"bob", b"y", 0, 2), (b"bob", b"x", 1, 2), (b"bob", b"x", 0, 3), (None, b"x", 0, 2)]
)
def test_different_values_are_different_keys(other: tuple[bytes | None, bytes, int, int]) -> None:
    keys = LaneKeys()
    first = keys.get(b"bob", b"x", 0, 2)
    assert keys.get(*other) is not first


def test_a_key_that_nobody_uses_is_forgotten_with_its_password() -> None:
    keys = LaneKeys()
    keys.get(b"bob", b"x", 0, 2)
    gc.collect()
    assert len(keys._keys) == 0


def test_a_key_does_not_show_its_password() -> None:
    assert "secret" not in repr(LaneKey(b"bob", b"secret", 0, 2))


@pytest.mark.parametrize(
    ("server", "key", "request_"),
    [
        (PLAIN, LaneKey(None, b"", 0, 2), command("HELLO", "2")),
        (PLAIN, LaneKey(None, b"", 4, 3), command("HELLO", "3") + command("SELECT", "4")),
        (PLAIN, LaneKey(b"bob", b"x", 0, 3), command("AUTH", "bob", "x") + command("HELLO", "3")),
        (PLAIN, LaneKey(b"", b"x", 0, 2), command("AUTH", "x") + command("HELLO", "2")),
        (WITH_USER, LaneKey(None, b"", 0, 2), command("AUTH", "svc", "pw") + command("HELLO", "2")),
        (WITH_USER, LaneKey(b"bob", b"x", 0, 2), command("AUTH", "bob", "x") + command("HELLO", "2")),
    ],
)
def test_the_opening_is_one_packet(server: Server, key: LaneKey, request_: bytes) -> None:
    assert Handshake(server, key).request == request_


def carried(database: int, version: int) -> LaneKey:
    keys = LaneKeys()
    return keys.become(keys.get(None, b"", database, version), b"bob", b"x", version)


def test_who_becomes_another_stays_where_he_was() -> None:
    handshake = Handshake(WITH_USER, carried(9, 2))
    place = command("HELLO", "2") + command("SELECT", "9")
    assert handshake.request == command("AUTH", "svc", "pw") + place + command("AUTH", "bob", "x") + place


@pytest.mark.parametrize(
    ("replies", "refusal"),
    [
        ((b"%0\r\n", b"+OK\r\n", b"+OK\r\n", b"-NOPERM a\r\n", b"-NOPERM b\r\n"), b""),
        ((b"-NOAUTH a\r\n", b"-NOAUTH b\r\n", b"+OK\r\n", b"%0\r\n", b"+OK\r\n"), b""),
        ((b"-NOAUTH a\r\n", b"-NOAUTH b\r\n", b"+OK\r\n", b"%0\r\n", b"-NOPERM b\r\n"), b"-NOPERM b\r\n"),
        ((b"%0\r\n", b"+OK\r\n", b"-WRONGPASS a\r\n"), b"-WRONGPASS a\r\n"),
    ],
)
def test_he_may_be_there_if_he_might_before_or_may_now(replies: tuple[bytes, ...], refusal: bytes) -> None:
    handshake = Handshake(PLAIN, carried(9, 3))
    for reply in replies:
        handshake.take(reply)
    assert (handshake.refusal, handshake.done) == (refusal, True)
    assert handshake.hello.startswith(b"%") or refusal


def test_whom_a_version_was_not_granted_before_is_no_other() -> None:
    keys = LaneKeys()
    key = keys.get(None, b"", 0, 2)
    assert keys.become(key, b"bob", b"x", 3) is keys.get(b"bob", b"x", 0, 3)


def test_it_is_done_when_every_reply_has_come() -> None:
    handshake = Handshake(WITH_USER, LaneKey(None, b"", 1, 3))
    for reply in (b"+OK\r\n", b"%0\r\n", b"+OK\r\n"):
        assert not handshake.done
        handshake.take(reply)
    assert (handshake.done, handshake.refusal, handshake.failure, handshake.hello) == (True, b"", "", b"%0\r\n")


def test_a_wrong_password_is_a_refusal_in_the_servers_words() -> None:
    handshake = Handshake(WITH_USER, LaneKey(None, b"", 0, 2))
    handshake.take(b"-WRONGPASS no\r\n")
    assert (handshake.done, handshake.refusal) == (True, b"-WRONGPASS no\r\n")


@pytest.mark.parametrize("carried", [False, True], ids=["plain", "carried"])
def test_a_full_server_refuses_in_its_words(carried: bool) -> None:
    key = LaneKey(b"bob", b"secret", 3, 2)
    key.carried = carried
    handshake = Handshake(PLAIN, key)
    handshake.take(b"-ERR max number of clients reached\r\n")
    assert (handshake.done, handshake.refusal, handshake.failure) == (True, b"-ERR max number of clients reached\r\n", "")


@pytest.mark.parametrize(("reply", "anonymous"), [(b"-NOAUTH no\r\n", True), (b"-ERR unknown command 'HELLO'\r\n", False)])
def test_in_resp2_a_server_that_refuses_hello_can_be_used(reply: bytes, anonymous: bool) -> None:
    handshake = Handshake(PLAIN, LaneKey(None, b"", 2, 2))
    handshake.take(reply)
    handshake.take(b"-NOAUTH no\r\n" if anonymous else b"+OK\r\n")
    assert (handshake.done, handshake.refusal, handshake.anonymous) == (True, b"", anonymous)


def test_in_resp3_a_server_that_refuses_hello_cannot() -> None:
    handshake = Handshake(PLAIN, LaneKey(None, b"", 0, 3))
    handshake.take(b"-NOAUTH no\r\n")
    assert handshake.refusal == b"-NOAUTH no\r\n"


def test_a_hello_reply_gets_the_clients_id() -> None:
    said = b"*4\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:12345\r\n"
    assert hello_reply(said, 7) == b"*4\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:7\r\n"


def test_an_error_in_place_of_a_hello_reply_stays_as_it_is() -> None:
    assert hello_reply(b"-NOAUTH no\r\n", 7) == b"-NOAUTH no\r\n"
