"""Clients of several workers: each has about as many as the others, and none waits for one that is busy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rproxy.dataplane.tallies import CLIENTS, Tallies, size
from rproxy.service.acceptor import DEAFNESS, Acceptor, Shares
from rproxy.service.listener import Bound, bind, release
from tests.dataplane.kit import World


@pytest.mark.parametrize(
    ("own", "coming", "others", "enough"),
    [(0, 0, [0, 0], False), (1, 0, [0, 5], True), (1, 0, [1, 5], False), (0, 1, [0, 0], True), (104, 0, [100, 100], False),
     (106, 0, [100, 300], True)],
)  # fmt: skip
def test_who_has_more_than_another_leaves_the_next_client_to_it(own: int, coming: int, others: list[int], enough: bool) -> None:
    memory = bytearray(size(3))
    for worker, clients in enumerate((own, *others)):
        Tallies(memory, worker, 3).put(CLIENTS, clients)
    assert Shares(Tallies(memory, 0, 3), lambda: 0.0).enough(coming) is enough


def test_who_lets_a_client_wait_in_vain_is_not_waited_for_until_it_takes_one_or_for_a_while() -> None:
    memory = bytearray(size(2))
    here, there = (Tallies(memory, worker, 2) for worker in range(2))
    here.put(CLIENTS, 5)
    now = [1.0]
    shares = Shares(here, lambda: now[0])
    assert shares.enough(0)
    shares.in_vain(0)
    assert not shares.enough(0)
    there.next_id()
    assert shares.enough(0)
    shares.in_vain(0)
    now[0] += DEAFNESS
    assert shares.enough(0)


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
