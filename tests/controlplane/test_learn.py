"""The command table learns from the leader what it lacks, and a leader that tells nothing does no harm."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterable, Sequence

import pytest

from rproxy.controlplane.learn import learn_commands
from rproxy.dataplane.commands import CommandTable, Kind
from rproxy.dataplane.topology import Server
from rproxy.embedded import EmbeddedServer, free_port
from tests.conftest import StartServer
from tests.controlplane.test_probe import answer_once


def named(server: EmbeddedServer, **more: object) -> Server:
    return Server(0, "127.0.0.1", server.port, **more)  # type: ignore[arg-type]


def learn(server: Server, table: CommandTable, timeout: float = 2.0) -> list[bytes]:
    return asyncio.run(learn_commands(server, table.learn, timeout))


def lacking(*names: bytes) -> CommandTable:
    """A table that has never heard of these commands."""
    table = CommandTable()
    for name in names:
        del table.commands[name], table.commands[name.lower()]
    return table


def test_what_the_table_lacks_is_learnt(leader: EmbeddedServer) -> None:
    table = lacking(b"GET", b"SET")
    assert table.find(b"GET") is table.unknown
    assert set(learn(named(leader), table)) >= {b"GET", b"SET"}
    assert table.find(b"GET").kind == Kind.READ and table.find(b"SET").kind == Kind.WRITE
    assert table.find(b"get").keys([b"get", b"color"]) == [b"color"]


def test_what_the_table_knows_stays_as_it_was(leader: EmbeddedServer) -> None:
    table = CommandTable({"GET": "deny"})
    before = table.find(b"GET")
    assert b"GET" not in learn(named(leader), table)
    assert table.find(b"GET") is before


def test_the_table_is_told_rows_as_the_server_sends_them(leader: EmbeddedServer) -> None:
    told: list[Sequence[object]] = []

    class Recording(CommandTable):
        def learn(self, rows: Iterable[Sequence[object]]) -> list[bytes]:
            told.extend(rows)
            return []

    learn(named(leader), Recording())
    row = next(row for row in told if row[0] == b"get")
    assert row[1:6] == [2, [b"readonly", b"fast"], 1, 1, 1]


def test_a_learnt_table_is_told_in_the_log(leader: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rproxy.topology")
    learn(named(leader), lacking(b"GET"))
    assert [message for message in caplog.messages if "has told of" in message]


def test_a_leader_that_may_not_be_asked_teaches_nothing(start_server: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    server = start_server()
    server.call("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-command")
    assert learn(named(server, user="bob", password="pw"), lacking(b"GET")) == []
    assert len(caplog.messages) == 1 and "it refuses" in caplog.messages[0] and "pw" not in caplog.messages[0]


def test_a_leader_that_is_not_there_teaches_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert learn(Server(0, "127.0.0.1", free_port()), CommandTable()) == []
    assert len(caplog.messages) == 1 and "connection refused" in caplog.messages[0]


@pytest.mark.parametrize("reply", [b"+OK\r\n", b"*1\r\n*1\r\n$3\r\nget\r\n", b"*1\r\n:1\r\n", b"*-1\r\n", b"HTTP/1.1 400\r\n"])
def test_a_leader_that_answers_nonsense_teaches_nothing(reply: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once, args=(listener, reply * 4))
        thread.start()
        assert learn(Server(0, "127.0.0.1", listener.getsockname()[1]), CommandTable()) == []
        thread.join()
    assert len(caplog.messages) == 1


def test_a_frozen_leader_costs_no_more_than_the_time_out(start_server: StartServer) -> None:
    server = start_server()
    server.stop()
    assert learn(named(server), CommandTable(), timeout=0.2) == []
