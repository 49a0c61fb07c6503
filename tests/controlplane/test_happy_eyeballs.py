"""Connecting to a name with several addresses, some of which refuse or do not answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvloop

from rproxy.controlplane.happy_eyeballs import connect, make_socket
from rproxy.controlplane.resolver import Address, Resolver
from rproxy.embedded import free_port

WITHIN = 0.3


class Place:
    """Addresses of one name, all real: `listening`, `refusing`, and `silent`, one that does not answer because its queue of new connections is full."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.made: list[socket.socket] = []

    def listening(self, host: str = "127.0.0.1", backlog: int = 16) -> Address:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = self.stack.enter_context(socket.socket(family))
        server.bind((host, 0))
        server.listen(backlog)
        return family, server.getsockname()

    def refusing(self) -> Address:
        return socket.AF_INET, ("127.0.0.1", free_port())

    def silent(self) -> Address:
        family, where = self.listening(backlog=0)
        for _ in range(8):
            client = self.stack.enter_context(socket.socket(family))
            client.setblocking(False)
            client.connect_ex(where)
        return family, where

    def make(self, family: int) -> socket.socket:
        """Makes a socket as `connect` does, and keeps it."""
        self.made.append(make_socket(family))
        return self.made[-1]

    def open(self) -> int:
        """How many of those are not closed."""
        return sum(made.fileno() >= 0 for made in self.made)


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


@pytest.fixture(params=[uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a scenario on each of the event loops."""
    return request.param  # type: ignore[no-any-return]


async def reached(place: Place, *addresses: Address, resolver: Resolver | None = None) -> tuple[str, int]:
    """Host and port that a connection to a name with these addresses has at its other end."""
    resolver = resolver or Resolver(lambda host, port: list(addresses))
    async with asyncio.timeout(10):
        with await connect("redis.test", 6379, WITHIN, place.make, resolver) as made:
            while place.open() > 1:  # the other attempts end in the next passes of the loop
                await asyncio.sleep(0)
            host, port, *_ = made.getpeername()
            return host, port


@pytest.mark.parametrize("first", ["listening", "refusing", "silent"])
def test_the_first_address_that_answers_is_connected_to(place: Place, run: Callable[..., Any], first: str) -> None:
    tried = getattr(place, first)()
    good = place.listening()
    expected = tried if first == "listening" else good
    assert run(reached(place, tried, good)) == expected[1][:2]


def test_every_address_is_tried(place: Place, run: Callable[..., Any]) -> None:
    good = place.listening()
    assert run(reached(place, *[place.silent() for _ in range(3)], place.refusing(), place.refusing(), good)) == good[1]


def test_an_address_by_itself_is_connected_to(place: Place, run: Callable[..., Any]) -> None:
    _, (host, port) = place.listening()

    async def scenario() -> Any:
        with await connect(host, port, WITHIN) as made:
            return made.getpeername()

    assert run(scenario()) == (host, port)


def test_where_no_address_answers_the_last_ones_error_is_raised(place: Place, run: Callable[..., Any]) -> None:
    with pytest.raises(ConnectionRefusedError):
        run(reached(place, place.refusing(), place.refusing()))
    assert place.open() == 0


def test_who_gives_up_leaves_no_socket_behind(place: Place, run: Callable[..., Any]) -> None:
    async def scenario() -> None:
        resolver = Resolver(lambda host, port: [place.silent(), place.silent()])
        connecting = asyncio.create_task(connect("redis.test", 6379, WITHIN, place.make, resolver))
        async with asyncio.timeout(10):
            while len(place.made) < 2:
                await asyncio.sleep(0.01)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            while place.open():
                await asyncio.sleep(0)

    run(scenario())


def test_both_families_are_tried_in_turn(place: Place) -> None:
    """Of two silent addresses of one family and one of the other, the latter is tried second."""
    six = place.listening("::1")
    assert asyncio.run(reached(place, place.silent(), place.silent(), six)) == ("::1", six[1][1])
    assert [made.family for made in place.made] == [socket.AF_INET, socket.AF_INET6]


def test_the_address_that_answered_is_tried_first_the_next_time(place: Place) -> None:
    addresses = [place.silent(), place.listening()]
    resolver = Resolver(lambda host, port: addresses)

    async def scenario() -> None:
        for _ in range(2):
            await reached(place, resolver=resolver)

    asyncio.run(scenario())
    assert len(place.made) == 3  # both of them, then the good one alone


def test_a_socket_that_cannot_be_made_is_the_callers_error(place: Place) -> None:
    def broken(family: int) -> socket.socket:
        raise ValueError("no socket")

    async def scenario() -> None:
        resolver = Resolver(lambda host, port: [place.listening(), place.listening()])
        with pytest.raises(ValueError, match="no socket"):
            await connect("redis.test", 6379, WITHIN, broken, resolver)

    asyncio.run(scenario())
