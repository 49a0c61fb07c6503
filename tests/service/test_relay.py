"""Questions of one worker to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import cast

from rproxy.service import relay as module
from rproxy.service.channel import Answer, Answers, Ask, Channel, Message
from rproxy.service.crew import Crew, Member
from rproxy.service.relay import Relay

QUESTION = Ask(7, (b"LIST",))


class Told:
    """A worker at the other end of its channel: what it was told."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)


class Three:
    """Three workers that are ready, without processes."""

    def __init__(self) -> None:
        self.ends = [Told() for _ in range(3)]
        self.members = [
            Member(number, cast(asyncio.subprocess.Process, None), cast(Channel, end)) for number, end in enumerate(self.ends)
        ]
        for member in self.members:
            member.ready.set()
        self.relay = Relay(cast(Crew, self))

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)


def play(scenario: Callable[[Three], None]) -> None:
    async def run() -> None:
        scenario(Three())

    asyncio.run(run())


def test_the_others_are_asked_and_their_answers_come_together() -> None:
    def scenario(three: Three) -> None:
        asker, one, two = three.ends
        three.relay.ask(three.members[0], QUESTION)
        assert asker.messages == [] and one.messages == two.messages == [Ask(1, (b"LIST",))]
        three.relay.answered(three.members[1], Answer(1, b"a"))
        assert asker.messages == []
        three.relay.answered(three.members[2], Answer(1, b"b"))
        assert asker.messages == [Answers(7, (b"a", b"b"))]

    play(scenario)


def test_who_dies_is_not_waited_for() -> None:
    def scenario(three: Three) -> None:
        three.relay.ask(three.members[0], QUESTION)
        three.relay.answered(three.members[1], Answer(1, b"a"))
        three.relay.died(2)
        assert three.ends[0].messages == [Answers(7, (b"a",))]
        three.relay.answered(three.members[2], Answer(1, b"late"))
        assert len(three.ends[0].messages) == 1

    play(scenario)


def test_who_is_alone_is_answered_at_once() -> None:
    def scenario(three: Three) -> None:
        del three.members[1:]
        three.relay.ask(three.members[0], QUESTION)
        assert three.ends[0].messages == [Answers(7, ())]

    play(scenario)


def test_who_stands_still_is_not_waited_for_long() -> None:
    async def run() -> None:
        three = Three()
        three.relay.ask(three.members[0], QUESTION)
        three.relay.answered(three.members[2], Answer(1, b"b"))
        while not three.ends[0].messages:
            await asyncio.sleep(0.01)
        assert three.ends[0].messages == [Answers(7, (b"b",))]

    assert module.PATIENCE <= 1
    asyncio.run(run())


def test_questions_of_several_do_not_mix() -> None:
    def scenario(three: Three) -> None:
        three.relay.ask(three.members[0], QUESTION)
        three.relay.ask(three.members[1], QUESTION)
        for number, data in ((2, b"0 to 1"), (1, b"nobody")):
            three.relay.answered(three.members[0], Answer(number, data))
        three.relay.answered(three.members[2], Answer(2, b"2 to 1"))
        assert three.ends[1].messages[-1] == Answers(7, (b"0 to 1", b"2 to 1"))
        assert Answers(7, (b"nobody",)) not in three.ends[0].messages

    play(scenario)
