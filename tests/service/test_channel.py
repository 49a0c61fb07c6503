"""What the supervisor and a worker tell each other arrives whole, in order, however it is cut."""

from __future__ import annotations

import asyncio
import socket

import pytest

from rproxy.dataplane.topology import Server, Topology
from rproxy.service.channel import Channel, Doubt, Follow, Left, Message, pack, receive

SERVER = Server(1, "here", 7000, password="secret")
MESSAGES: list[Message] = [Follow(Topology(SERVER), heard=3, leave=2), Doubt(4, SERVER, "gone", demoted=False), Left(2)]


def test_messages_are_the_same_at_the_other_end_however_they_are_cut() -> None:
    for size in (1, 7, 100_000):
        heard: list[Message] = []
        channel = Channel(heard.append, lambda: None)
        data = b"".join(map(pack, MESSAGES))
        for start in range(0, len(data), size):
            channel.data_received(data[start : start + size])
        assert heard == MESSAGES


def test_the_first_message_is_received_before_there_is_a_loop() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(pack(MESSAGES[0]) + pack(MESSAGES[1]))
        assert [receive(theirs), receive(theirs)] == MESSAGES[:2]


def test_an_end_that_has_gone_is_told() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(EOFError):
        receive(theirs)


def test_two_ends_hear_each_other_and_when_one_has_gone() -> None:
    async def scenario() -> None:
        heard: list[Message] = []
        closed = asyncio.Event()
        here, there = Channel(heard.append, closed.set), Channel(heard.append, lambda: None)
        ours, theirs = socket.socketpair()
        await here.open(ours)
        await there.open(theirs)
        for message in MESSAGES:
            there.send(message)
        while heard != MESSAGES:
            await asyncio.sleep(0)
        there.close()
        await closed.wait()
        here.send(MESSAGES[0])
        await asyncio.sleep(0)

    asyncio.run(scenario())
