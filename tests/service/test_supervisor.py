"""What only one may decide for all workers: who leads, and when they may follow; what becomes of a dead worker's part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from rproxy.dataplane.freshness import Freshness
from rproxy.dataplane.tallies import CLIENTS, Tallies
from rproxy.dataplane.topology import Server, Topology
from rproxy.service.channel import Channel, Doubt, Follow, Learn, Left, Message, Ready, Serve, Stamped
from rproxy.service.crew import Member
from rproxy.service.supervisor import Supervisor
from rproxy.settings import Settings

LEADER, ONE, TWO = (Server(index, "127.0.0.1", 1) for index in range(3))
LED = Topology(LEADER, (ONE, TWO), (ONE, TWO))
CHANGED = Topology(ONE, (LEADER, TWO), (TWO,))


class Told:
    """A worker at the other end of its channel: what it was told."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)

    def take(self) -> list[Message]:
        taken, self.messages = self.messages, []
        return taken


class Led:
    """A supervisor of two workers which follow a leader, without processes."""

    def __init__(self) -> None:
        self.supervisor = Supervisor(Settings(servers=(LEADER, ONE, TWO), workers=2))
        self.ends = [Told(), Told()]
        self.members = [
            Member(number, cast(asyncio.subprocess.Process, None), cast(Channel, end)) for number, end in enumerate(self.ends)
        ]
        self.supervisor._crew._members |= dict(enumerate(self.members))
        self.supervisor._publish(LED)
        for end in self.ends:
            assert end.take() == [Follow(LED)]

    def says(self, worker: int, message: Message) -> None:
        self.supervisor._heard(self.members[worker], message)

    def told(self) -> list[list[Message]]:
        return [end.take() for end in self.ends]


def play(scenario: Callable[[Led], None]) -> None:
    async def run() -> None:
        led = Led()
        scenario(led)
        await led.supervisor.end()

    asyncio.run(run())


LEAVING = Follow(replace(CHANGED, settled=False), leave=1)


def test_nobody_is_told_of_the_next_leader_before_all_have_left_the_last_one() -> None:
    def scenario(led: Led) -> None:
        led.supervisor._publish(CHANGED)
        assert led.told() == [[LEAVING], [LEAVING]]
        led.says(0, Left(1))
        assert led.told() == [[], []]
        led.says(1, Left(1))
        assert led.told() == [[Follow(CHANGED)], [Follow(CHANGED)]]

    play(scenario)


def test_a_worker_that_dies_has_left() -> None:
    def scenario(led: Led) -> None:
        led.supervisor._publish(CHANGED)
        led.says(0, Left(1))
        led.told()
        del led.supervisor._crew._members[1]
        led.supervisor._died(1)
        assert led.told() == [[Follow(CHANGED)], []]

    play(scenario)


def test_a_worker_that_begins_while_others_leave_waits_with_them() -> None:
    def scenario(led: Led) -> None:
        led.supervisor._publish(CHANGED)
        assert led.supervisor._begin(1).follow.topology == replace(CHANGED, settled=False)

    play(scenario)


def test_what_else_becomes_known_while_they_leave_does_not_begin_it_again() -> None:
    def scenario(led: Led) -> None:
        led.supervisor._publish(CHANGED)
        led.says(0, Left(1))
        led.told()
        more = replace(CHANGED, readers=())
        led.supervisor._publish(more)
        waiting = replace(more, settled=False)
        assert led.told() == [[Follow(waiting)], [Follow(waiting, leave=1)]]
        led.says(1, Left(1))
        assert led.told() == [[Follow(more)], [Follow(more)]]

    play(scenario)


def test_a_change_that_is_taken_back_leaves_nobody_waiting() -> None:
    def scenario(led: Led) -> None:
        led.supervisor._publish(CHANGED)
        led.told()
        led.supervisor._publish(LED)
        assert led.told() == [[Follow(LED)], [Follow(LED)]]
        led.says(0, Left(1))
        assert led.told() == [[], []]

    play(scenario)


def test_a_doubt_is_always_answered_and_counted() -> None:
    def scenario(led: Led) -> None:
        led.says(1, Doubt(1, TWO, "it failed", demoted=False))
        answer = led.ends[1].take()[-1]
        assert answer == Follow(replace(LED, readers=(ONE,)), heard=1)
        assert [message.heard for message in led.ends[0].take() if isinstance(message, Follow)] == [0]

    play(scenario)


def test_a_worker_that_is_ready_is_told_what_it_may_have_missed() -> None:
    def scenario(led: Led) -> None:
        rows = [["GETTER", 2, ["readonly"], 1, 1, 1]]
        led.supervisor._learn(rows)
        assert led.told() == [[Learn(rows)]] * 2
        led.says(1, Ready())
        assert led.ends[1].take() == [Learn(tuple(rows)), Follow(LED)]

    play(scenario)


def test_workers_serve_when_the_listeners_are_open_and_each_is_told_so_once() -> None:
    def scenario(led: Led) -> None:
        early, late = led.members
        early.ready.set()
        led.says(early.number, Ready())
        assert Serve() not in led.ends[early.number].take(), "nobody can connect yet"
        led.supervisor._serve()
        led.says(late.number, Ready())
        assert [end.take().count(Serve()) for end in led.ends] == [1, 1]

    play(scenario)


def test_a_dead_workers_keys_are_not_read_from_replicas_for_a_while_and_its_clients_are_gone() -> None:
    def scenario(led: Led) -> None:
        memory = led.supervisor._memory
        dead, other = Freshness(memory, 1, 2), Freshness(memory, 0, 2)
        dead.hold([5])
        dead.publish_oldest(20)
        Tallies(memory, 1, 2).put(CLIENTS, 9)
        led.supervisor._died(1)
        assert other.oldest() == 0 and other.need(7) == other.need(5) > led.supervisor.plane.clock_ns()
        assert led.supervisor.plane.tallies.total(CLIENTS) == 0

    play(scenario)


def test_a_write_while_the_clock_rests_wakes_it() -> None:
    def scenario(led: Led) -> None:
        led.supervisor.plane.freshness.rest(True)
        led.says(0, Stamped())
        assert not led.supervisor.plane.freshness.rests()

    play(scenario)
