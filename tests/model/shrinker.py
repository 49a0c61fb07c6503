"""Makes a plan that fails smaller: fewer steps, then fewer commands, then simpler ones, as long as it fails in the same way.

A failure may need luck, so a candidate gets several attempts, more while they are short. It knows nothing of servers: what runs a plan is given to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

from tests.model.runner import Failure
from tests.model.steps import Expire, Pause, Plan, Send, Step, Together

Item = TypeVar("Item")
ATTEMPTS = 3
PROOFS = 10


class Shrinker:
    """`run` runs a plan and gives its failure; `kind` is the one to keep. It ends after `seconds` by `clock`."""

    def __init__(self, run: Callable[[Plan], Failure | None], kind: str, clock: Callable[[], float], seconds: float) -> None:
        self.run = run
        self.kind = kind
        self.clock = clock
        self.end = clock() + seconds
        self.runs = 0
        self.last: Failure | None = None

    def fails(self, plan: Plan) -> bool:
        """Whether the plan fails in the same way, in one of some attempts."""
        for _ in range(ATTEMPTS):
            if self.clock() > self.end:
                return False
            self.runs += 1
            failure = self.run(plan)
            if failure is not None and failure.kind == self.kind:
                self.last = failure
                return True
        return False

    def rate(self, plan: Plan) -> str:
        """How often the plan fails: `7 of 10`."""
        failures = [self.run(plan) for _ in range(PROOFS)]
        again = [failure for failure in failures if failure is not None and failure.kind == self.kind]
        self.last = again[-1] if again else self.last
        return f"{len(again)} of {PROOFS}"

    def shrink(self, plan: Plan, step: int) -> Plan:
        """The smallest plan found. `step` is where the plan failed: what comes after it is left out first."""
        plan = self._better(plan, dataclasses.replace(plan, steps=plan.steps[: step + 1]))
        while self.clock() < self.end:
            before = plan
            plan = self._fewer_steps(plan)
            plan = self._simpler_steps(plan)
            if plan == before:
                break
        return plan

    def _better(self, plan: Plan, candidate: Plan) -> Plan:
        return candidate if candidate != plan and self.fails(candidate) else plan

    def _fewer_steps(self, plan: Plan) -> Plan:
        """Leave out halves, quarters and so on of the steps, the last ones first."""
        size = max(1, len(plan.steps) // 2)
        while True:
            end = len(plan.steps)
            while end > 0:
                begin = max(0, end - size)
                plan = self._better(plan, dataclasses.replace(plan, steps=plan.steps[:begin] + plan.steps[end:]))
                end = begin
            if size == 1:
                return plan
            size //= 2

    def _simpler_steps(self, plan: Plan) -> Plan:
        for number in range(len(plan.steps)):
            going_on = True
            while going_on:
                going_on = False
                for simpler in simpler_steps(plan.steps[number]):
                    smaller = dataclasses.replace(plan, steps=(*plan.steps[:number], simpler, *plan.steps[number + 1 :]))
                    if self.fails(smaller):
                        plan, going_on = smaller, True
                        break
        return plan


def simpler_steps(step: Step) -> Iterator[Step]:
    """Steps that do a little less than this one, the boldest first."""
    if isinstance(step, Send):
        yield from _simpler_sends(step)
    elif isinstance(step, Expire):
        yield from (dataclasses.replace(step, commands=commands) for commands in _fewer(step.commands))
    elif isinstance(step, Together):
        if step.busy_ms:
            yield dataclasses.replace(step, busy_ms=0)
        if len(step.sends) == 1 and not step.busy_ms:
            yield step.sends[0]
        yield from (dataclasses.replace(step, sends=sends) for sends in _fewer(step.sends))
        for number, send in enumerate(step.sends):
            for simpler in _simpler_sends(send):
                yield dataclasses.replace(step, sends=(*step.sends[:number], simpler, *step.sends[number + 1 :]))
    elif isinstance(step, Pause) and step.ms > 10:
        yield Pause(step.ms // 4)


def _simpler_sends(send: Send) -> Iterator[Send]:
    if send.cuts:
        yield dataclasses.replace(send, cuts=(), gap_ms=0.0)
    if send.dress:
        yield dataclasses.replace(send, dress=0)
    yield from (dataclasses.replace(send, commands=commands) for commands in _fewer(send.commands))
    for number, command in enumerate(send.commands):
        for at, word in enumerate(command):
            if at and word.startswith("x*") or len(word) > 100 and " " not in word:
                shorter = (*command[:at], "v", *command[at + 1 :])
                yield dataclasses.replace(send, commands=(*send.commands[:number], shorter, *send.commands[number + 1 :]))


def _fewer(items: tuple[Item, ...]) -> Iterator[tuple[Item, ...]]:
    size = len(items) // 2
    while size:
        for begin in range(0, len(items), size):
            if rest := items[:begin] + items[begin + size :]:
                yield rest
        size //= 2
