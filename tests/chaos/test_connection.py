"""The rig's client: which replies nobody asked for."""

from __future__ import annotations

import asyncio

from tests.chaos.connection import Connection


def received(data: bytes) -> int:
    """How many replies nobody asked for, of these that a connection gets."""

    async def run() -> int:
        Connection.take_unasked()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(data)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        connection = await Connection.open(server.sockets[0].getsockname()[1])
        while not connection.lost:
            await asyncio.sleep(0.01)
        server.close()
        return Connection.take_unasked()

    return asyncio.run(run())


def test_a_reply_without_a_command_is_counted() -> None:
    assert received(b"+OK\r\n$1\r\nx\r\n") == 2


def test_what_a_server_says_to_a_client_that_it_does_not_take_is_not() -> None:
    assert received(b"-ERR max number of clients reached\r\n") == 0


def test_they_are_counted_once() -> None:
    received(b"+OK\r\n")
    assert Connection.take_unasked() == 0
