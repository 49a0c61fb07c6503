"""Clients of several workers: each has about as many as the others, and none waits for one that is busy."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import pytest

from rproxy import errors
from rproxy.dataplane.tallies import CLIENTS, REFUSED_PROXY, REFUSED_TLS, Tallies, size
from rproxy.service import descriptors
from rproxy.service.acceptor import DEAFNESS, Acceptor, Shares
from rproxy.service.listener import Bound, bind, release
from tests.dataplane.kit import World


@pytest.mark.parametrize(
    ("own", "others", "enough"),
    [(0, [0, 0], False), (1, [0, 5], True), (1, [1, 5], False), (104, [100, 100], False), (106, [100, 300], True)],
)
def test_who_has_more_than_another_leaves_the_next_client_to_it(own: int, others: list[int], enough: bool) -> None:
    memory = bytearray(size(3))
    for worker, clients in enumerate((own, *others)):
        Tallies(memory, worker, 3).put(CLIENTS, clients)
    assert Shares(Tallies(memory, 0, 3), lambda: 0.0).enough() is enough


def test_who_lets_a_client_wait_in_vain_is_not_waited_for_until_it_takes_one_or_for_a_while() -> None:
    memory = bytearray(size(2))
    here, there = (Tallies(memory, worker, 2) for worker in range(2))
    here.put(CLIENTS, 5)
    now = [1.0]
    shares = Shares(here, lambda: now[0])
    assert shares.enough()
    shares.in_vain()
    assert not shares.enough()
    there.next_id()
    assert shares.enough()
    shares.in_vain()
    now[0] += DEAFNESS
    assert shares.enough()


class Two:
    """Two workers in one process, on one socket."""

    def __init__(self) -> None:
        memory = bytearray(size(2))
        self.worlds = [World(memory=memory, worker=worker, workers=2) for worker in range(2)]
        self.bound = bind(("tcp://127.0.0.1:0",))
        self.writers: list[asyncio.StreamWriter] = []

    def accept(self, worker: int) -> Acceptor:
        own = [Bound(bound.socket.dup(), bound.address, bound.policy, bound.path) for bound in self.bound]
        return Acceptor(self.worlds[worker].plane, own)

    async def connect(self, count: int) -> None:
        port = self.bound[0].socket.getsockname()[1]
        for _ in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            self.writers.append(writer)

    async def end(self) -> None:
        for world in self.worlds:
            while len(world.plane.clients):
                for session in world.plane.clients:
                    session.close()
                await asyncio.sleep(0)
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)

    def clients(self) -> list[int]:
        return [len(world.plane.clients) for world in self.worlds]


def play(scenario: Callable[[Two], Awaitable[None]]) -> None:
    async def run() -> None:
        two = Two()
        try:
            await scenario(two)
        finally:
            release(two.bound)
            await two.end()

    asyncio.run(run())


def test_both_have_as_many() -> None:
    async def scenario(two: Two) -> None:
        acceptors = [two.accept(0), two.accept(1)]
        await two.connect(40)
        while sum(two.clients()) < 40:
            await asyncio.sleep(0.001)
        assert max(two.clients()) <= 22
        for acceptor in acceptors:
            acceptor.close()

    play(scenario)


def test_one_takes_all_where_the_other_takes_none() -> None:
    async def scenario(two: Two) -> None:
        acceptor = two.accept(0)
        await two.connect(10)
        while two.clients() != [10, 0]:
            await asyncio.sleep(0.001)
        acceptor.close()

    play(scenario)


def test_nobody_is_accepted_after_its_end() -> None:
    async def scenario(two: Two) -> None:
        two.accept(0).close()
        acceptor = two.accept(1)
        await two.connect(3)
        while two.clients() != [0, 3]:
            await asyncio.sleep(0.001)
        acceptor.close()

    play(scenario)


class One:
    """A process that serves alone, and its clients."""

    def __init__(self, url: str = "tcp://127.0.0.1:0", **options: Any) -> None:
        self.world = World(**options)
        self.bound = bind((url,))
        self.clients: list[socket.socket] = []
        self.acceptor = Acceptor(self.world.plane, self.bound)

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.bound[0].socket.getsockname()[:2])
        client.setblocking(False)
        self.clients.append(client)
        return client

    async def end(self) -> None:
        self.acceptor.close()
        for client in self.clients:
            client.close()
        while self.world.plane.clients.expects() or len(self.world.plane.clients):
            for session in self.world.plane.clients:
                session.close()
            await asyncio.sleep(0.001)


async def said(client: socket.socket) -> bytes:
    """What a client is told until it is closed."""
    loop, heard = asyncio.get_running_loop(), b""
    while data := await loop.sock_recv(client, 1000):
        heard += data
    return heard


def test_a_client_for_whom_there_is_no_place_is_told_so_in_a_servers_words_and_counted() -> None:
    async def scenario() -> None:
        one = One(clients=1)
        one.connect()
        while len(one.world.plane.clients) < 1:
            await asyncio.sleep(0.001)
        assert await said(one.connect()) == errors.TOO_MANY_CLIENTS
        assert one.world.plane.clients.refused == 1
        await one.end()

    asyncio.run(scenario())


def test_a_client_that_says_nothing_in_its_handshake_has_a_place_as_others_have() -> None:
    async def scenario() -> None:
        one = One("tls://127.0.0.1:0", clients=2)
        one.acceptor.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for _ in range(2):
            one.connect()
        while one.world.plane.clients.expects() < 2:
            await asyncio.sleep(0.001)
        assert await said(one.connect()) == b"", "nothing can be said before the handshake"
        for client in one.clients:
            client.close()
        while one.world.plane.tallies.total(CLIENTS):
            await asyncio.sleep(0.001)
        await one.end()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("says", "resets", "refused"),
    [(b"", False, 0), (b"", True, 0), (b"\x16", False, 1)],
    ids=["closes", "resets", "begins a handshake"],
)
def test_a_health_check_that_connects_and_closes_is_no_client_that_was_refused(
    says: bytes, resets: bool, refused: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        one = One("tls://127.0.0.1:0")
        one.acceptor.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        client = one.connect()
        while not one.world.plane.tallies.total(CLIENTS):
            await asyncio.sleep(0.001)
        client.send(says)
        if resets:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        while one.world.plane.tallies.total(CLIENTS):
            await asyncio.sleep(0.001)
        assert one.world.plane.tallies.total(REFUSED_TLS) == refused
        await one.end()

    asyncio.run(scenario())
    assert ("is not served" in caplog.text) == bool(refused)


@pytest.mark.parametrize(
    ("url", "counted", "why"),
    [
        ("tcp://127.0.0.1:0?proxy=required", REFUSED_PROXY, "no header of the PROXY protocol within"),
        ("tls://127.0.0.1:0", REFUSED_TLS, "no TLS handshake within"),
    ],
)
def test_a_client_that_says_nothing_in_time_is_closed_and_the_log_says_so(
    url: str, counted: int, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr("rproxy.service.acceptor.HANDSHAKE", 0.05)
        one = One(url)
        one.acceptor.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert await said(one.connect()) == b""
        assert one.world.plane.tallies.total(counted) == 1
        await one.end()

    asyncio.run(scenario())
    assert why in caplog.text


def test_no_client_takes_a_descriptor_of_the_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(descriptors, "for_clients", lambda: 3)
        one = One()
        assert await said(one.connect()) == errors.TOO_MANY_CLIENTS
        assert one.world.plane.clients.refused == 1
        assert "no file descriptor is left for it" in one.world.notices[0]
        await one.end()

    asyncio.run(scenario())


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process can open nothing for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[0] + 8, hard))
    try:
        with suppress(OSError):
            while True:
                fillers.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for filler in fillers:
            os.close(filler)


def test_a_client_for_whom_there_is_no_descriptor_at_all_is_told_so_too() -> None:
    async def scenario() -> None:
        one = One()
        clients = [one.connect() for _ in range(3)]
        with no_descriptors():
            assert [await said(client) for client in clients] == [errors.TOO_MANY_CLIENTS] * 3
        assert one.world.plane.clients.refused == 3
        later = one.connect()
        while not len(one.world.plane.clients):
            await asyncio.sleep(0.001)
        assert later.fileno() >= 0
        await one.end()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("setting", "found"), [(300.0, [1, 300, 100, 3, 600_000]), (1.0, [1, 1, 1, 3, 2000]), (1e6, [1, 32767, 10922, 3, 65_534_000])]
)
def test_the_kernel_asks_silent_clients_as_a_server_has_it_do(setting: float, found: list[int]) -> None:
    options = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        *(
            (socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        ),
    )

    async def scenario() -> None:
        one = One()
        one.acceptor.keepalive = setting
        one.connect()
        while not len(one.world.plane.clients):
            await asyncio.sleep(0.001)
        (session,) = one.world.plane.clients
        assert session.transport is not None
        connection = cast(asyncio.Transport, session.transport.transport).get_extra_info("socket")
        assert [connection.getsockopt(*option) for option in options] == found
        await one.end()

    asyncio.run(scenario())
