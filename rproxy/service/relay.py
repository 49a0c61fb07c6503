"""Questions of one worker to all others, or of the supervisor to all, and their answers on the way back.

Owned by the supervisor, which hears both. It must never keep a worker waiting for one that is dead or stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from rproxy.service.channel import Answer, Answers, Ask
from rproxy.service.crew import Crew, Member

PATIENCE = 1.0
"""Seconds after which a question is answered with what has come."""


@dataclass(eq=False, slots=True)
class Question:
    """`told` is given the answers; `waiting` are the workers that have not answered."""

    told: Callable[[tuple[bytes, ...]], None]
    waiting: set[int]
    answers: list[bytes] = field(default_factory=list)


class Relay:
    """Passes on between the members of a crew."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._questions: dict[int, Question] = {}
        self._asked = 0

    def ask(self, asker: Member, ask: Ask) -> None:
        """A worker asks all others."""
        others = [member for member in self._crew if member is not asker]
        self._put(others, ask.words, lambda answers: asker.channel.send(Answers(ask.number, answers)))

    def ask_all(self, words: tuple[bytes, ...], told: Callable[[tuple[bytes, ...]], None]) -> None:
        """The supervisor asks every worker."""
        self._put(list(self._crew), words, told)

    def _put(self, members: list[Member], words: tuple[bytes, ...], told: Callable[[tuple[bytes, ...]], None]) -> None:
        asked = [member for member in members if member.ready.is_set()]
        self._asked += 1
        self._questions[self._asked] = Question(told, {member.number for member in asked})
        for member in asked:
            member.channel.send(Ask(self._asked, words))
        asyncio.get_running_loop().call_later(PATIENCE, self._finish, self._asked)
        self._look(self._asked)

    def answered(self, member: Member, answer: Answer) -> None:
        """One of them has answered."""
        question = self._questions.get(answer.number)
        if question is not None and member.number in question.waiting:
            question.waiting.discard(member.number)
            question.answers.append(answer.data)
            self._look(answer.number)

    def died(self, number: int) -> None:
        """A worker is dead: it will answer nothing."""
        for asked, question in list(self._questions.items()):
            question.waiting.discard(number)
            self._look(asked)

    def _look(self, asked: int) -> None:
        if not self._questions[asked].waiting:
            self._finish(asked)

    def _finish(self, asked: int) -> None:
        question = self._questions.pop(asked, None)
        if question is not None:
            question.told(tuple(question.answers))
