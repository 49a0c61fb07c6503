"""Logins, lane keys, and the handshake that opens a connection."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane.handshake import (
    SCRIPTS,
    URGENT,
    ClientLogin,
    Handshake,
    LaneKey,
    LaneKeys,
    LoginsInUrls,
    OwnLogin,
    hello_reply,
)
from rproxy.dataplane.topology import Server
from tests.dataplane.kit import command

PLAIN = Server(0, "a", 1)
WITH_USER = Server(0, "a", 1, user="svc", password="pw")
WITH_PASSWORD = Server(0, "a", 1, password="pw")


def key_of(user: bytes | None, password: bytes, database: int, version: int) -> LaneKey:
    """A key of this client, or of one that has not logged in."""
    return LaneKey(OwnLogin(LoginsInUrls()) if user is None else ClientLogin(user, password), database, version)


def interned(keys: LaneKeys, user: bytes | None, password: bytes, database: int, version: int) -> LaneKey:
    first = keys.first(database)
    return (
        keys.speaking(first, version)
        if user is None
        else keys.in_database(keys.logged_in(first, user, password, version), database)
    )


def test_equal_values_are_one_key() -> None:
    keys = LaneKeys(LoginsInUrls())
    assert interned(keys, b"bob", b"x", 0, 2) is interned(keys, b"bob", b"x", 0, 2)
    assert interned(keys, None, b"", 3, 2) is interned(keys, None, b"", 3, 2)


@pytest.mark.parametrize(
    "other", [(b"eve", b"x", 0, 2), (b"bob", b"y", 0, 2), (b"bob", b"x", 1, 2), (b"bob", b"x", 0, 3), (None, b"", 0, 2)]
)
def test_different_values_are_different_keys(other: tuple[bytes | None, bytes, int, int]) -> None:
    keys = LaneKeys(LoginsInUrls())
    first = interned(keys, b"bob", b"x", 0, 2)
    assert interned(keys, *other) is not first


def test_a_key_that_nobody_uses_is_forgotten_with_its_password() -> None:
    keys = LaneKeys(LoginsInUrls())
    interned(keys, b"bob", b"x", 0, 2)
    gc.collect()
    assert (len(keys._keys), keys.logins_of(b"bob")) == (0, 0)


def test_the_passwords_are_counted_with_which_a_user_is_logged_in() -> None:
    keys = LaneKeys(LoginsInUrls())
    held = [interned(keys, b"bob", password, 0, 2) for password in (b"x", b"y", b"x", b"z")]
    for key in held:
        key.enter()
    held[-1].leave()
    assert (keys.logins_of(b"bob"), keys.logins_of(b"eve")) == (2, 0)


def test_a_key_does_not_show_its_password() -> None:
    assert "secret" not in repr(key_of(b"bob", b"secret", 0, 2))


def test_requests_for_a_lane_beside_the_usual_one_are_those_of_its_client() -> None:
    keys = LaneKeys(LoginsInUrls())
    key = interned(keys, b"bob", b"x", 3, 2)
    assert keys.beside(key, SCRIPTS).base is key
    assert keys.beside(key, URGENT).base is keys.in_database(key, 0)


@pytest.mark.parametrize(
    ("server", "key", "request_"),
    [
        (PLAIN, key_of(None, b"", 0, 2), command("HELLO", "2")),
        (PLAIN, key_of(None, b"", 4, 3), command("HELLO", "3") + command("SELECT", "4")),
        (PLAIN, key_of(b"bob", b"x", 0, 3), command("AUTH", "bob", "x") + command("HELLO", "3")),
        (PLAIN, key_of(b"default", b"x", 0, 2), command("AUTH", "default", "x") + command("HELLO", "2")),
        (WITH_USER, key_of(None, b"", 0, 2), command("AUTH", "svc", "pw") + command("HELLO", "2")),
        (WITH_PASSWORD, key_of(None, b"", 0, 2), command("AUTH", "pw") + command("HELLO", "2")),
        (WITH_USER, key_of(b"bob", b"x", 0, 2), command("AUTH", "bob", "x") + command("HELLO", "2")),
        (WITH_USER, key_of(b"", b"", 0, 2), command("AUTH", "", "") + command("HELLO", "2")),
        (WITH_USER, LaneKeys(LoginsInUrls()).stranger(), command("HELLO", "2")),
    ],
)
def test_the_opening_is_one_packet(server: Server, key: LaneKey, request_: bytes) -> None:
    assert Handshake(server, key).request == request_


@given(user=st.binary(max_size=8), password=st.binary(max_size=8), database=st.integers(0, 15), version=st.sampled_from([2, 3]))
def test_no_login_of_a_client_opens_a_connection_with_that_of_the_url(
    user: bytes, password: bytes, database: int, version: int
) -> None:
    keys = LaneKeys(LoginsInUrls())
    key = keys.logged_in(keys.speaking(keys.first(database), version), user, password, version)
    for purpose in ("", URGENT, SCRIPTS):
        request = Handshake(
            Server(0, "a", 1, user="the url's", password="secret"), keys.beside(key, purpose) if purpose else key
        ).request
        assert b"secret" not in request and request.count(b"AUTH") >= 1


def carried(database: int, version: int) -> LaneKey:
    keys = LaneKeys(LoginsInUrls())
    return keys.logged_in(keys.speaking(keys.first(database), version), b"bob", b"x", version)


def test_who_becomes_another_stays_where_he_was_as_far_as_nobody_may_go_there() -> None:
    handshake = Handshake(WITH_USER, carried(9, 2))
    place = command("HELLO", "2") + command("SELECT", "9")
    assert handshake.request == place + command("AUTH", "bob", "x") + place


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
    keys = LaneKeys(LoginsInUrls())
    assert keys.logged_in(keys.first(0), b"bob", b"x", 3) is keys.speaking(keys.logged_in(keys.first(0), b"bob", b"x", 2), 3)


def test_it_is_done_when_every_reply_has_come() -> None:
    handshake = Handshake(WITH_USER, key_of(None, b"", 1, 3))
    for reply in (b"+OK\r\n", b"%0\r\n", b"+OK\r\n"):
        assert not handshake.done
        handshake.take(reply)
    assert (handshake.done, handshake.refusal, handshake.failure, handshake.hello) == (True, b"", "", b"%0\r\n")


@pytest.mark.parametrize("key", [key_of(None, b"", 0, 2), key_of(b"bob", b"x", 0, 2)], ids=["of the url", "of a client"])
@pytest.mark.parametrize(
    "reply",
    [
        b"-WRONGPASS no\r\n",
        b"-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n",
        b"-ERR invalid password\r\n",
        b"-NOAUTH no\r\n",
        b"-NOPERM no\r\n",
    ],
)
def test_whatever_is_not_ok_to_a_login_is_a_refusal_in_the_servers_words(key: LaneKey, reply: bytes) -> None:
    handshake = Handshake(WITH_USER, key)
    handshake.take(reply)
    assert (handshake.done, handshake.refusal) == (True, reply)


def test_what_is_neither_ok_nor_an_error_to_a_login_is_a_failure() -> None:
    handshake = Handshake(WITH_USER, key_of(b"bob", b"x", 0, 2))
    handshake.take(b"+QUEUED\r\n")
    assert handshake.done and handshake.failure


def test_who_has_logged_in_is_nobody_without_a_login() -> None:
    handshake = Handshake(PLAIN, key_of(b"bob", b"x", 0, 2))
    handshake.take(b"+OK\r\n")
    handshake.take(b"-NOAUTH no\r\n")
    assert (handshake.refusal, handshake.anonymous) == (b"-NOAUTH no\r\n", False)


@pytest.mark.parametrize("carried", [False, True], ids=["plain", "carried"])
def test_a_full_server_refuses_in_its_words(carried: bool) -> None:
    handshake = Handshake(PLAIN, LaneKey(ClientLogin(b"bob", b"secret"), 3, 2, carried=carried))
    handshake.take(b"-ERR max number of clients reached\r\n")
    assert (handshake.done, handshake.refusal, handshake.failure) == (True, b"-ERR max number of clients reached\r\n", "")


@pytest.mark.parametrize(("reply", "anonymous"), [(b"-NOAUTH no\r\n", True), (b"-ERR unknown command 'HELLO'\r\n", False)])
def test_in_resp2_a_server_that_refuses_hello_can_be_used(reply: bytes, anonymous: bool) -> None:
    handshake = Handshake(PLAIN, key_of(None, b"", 2, 2))
    handshake.take(reply)
    handshake.take(b"-NOAUTH no\r\n" if anonymous else b"+OK\r\n")
    assert (handshake.done, handshake.refusal, handshake.anonymous) == (True, b"", anonymous)


def test_in_resp3_a_server_that_refuses_hello_cannot() -> None:
    handshake = Handshake(PLAIN, key_of(None, b"", 0, 3))
    handshake.take(b"-NOAUTH no\r\n")
    assert handshake.refusal == b"-NOAUTH no\r\n"


def test_a_hello_reply_gets_the_clients_id() -> None:
    said = b"*4\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:12345\r\n"
    assert hello_reply(said, 7) == b"*4\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:7\r\n"


def test_an_error_in_place_of_a_hello_reply_stays_as_it_is() -> None:
    assert hello_reply(b"-NOAUTH no\r\n", 7) == b"-NOAUTH no\r\n"
