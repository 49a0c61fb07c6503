"""A plan that fails is made smaller, and still fails in the same way."""

from __future__ import annotations

from tests.model.runner import Failure
from tests.model.shrinker import Shrinker, simpler_steps
from tests.model.steps import Pause, Plan, Send, Together


def plan(*steps: Send | Pause | Together) -> Plan:
    return Plan(0, 2, 2, steps)


def send(*names: str, cuts: tuple[int, ...] = ()) -> Send:
    return Send(0, tuple((name, "x*5000") for name in names), cuts)


class Broken:
    """Fails where `A` is sent, and `B` in the same step or later; in another way where `C` is sent alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def run(self, plan: Plan) -> Failure | None:
        self.now += 1
        names = [command[0] for step in plan.steps if isinstance(step, Send) for command in step.commands]
        if "A" in names and "B" in names[names.index("A") :]:
            return Failure("reply:B", len(plan.steps) - 1, "")
        return Failure("reply:C", 0, "") if names == ["C"] else None

    def clock(self) -> float:
        return self.now


LONG = plan(send("X", "C"), send("A", "Y", "Z", cuts=(3, 5)), Pause(100), send("X"), send("Y", "B", "X", cuts=(2,)), send("X"))


def shrunk(seconds: float = 10_000.0) -> Plan:
    broken = Broken()
    return Shrinker(broken.run, "reply:B", broken.clock, seconds).shrink(LONG, 4)


def test_only_what_the_failure_needs_is_left() -> None:
    assert shrunk() == plan(Send(0, (("A", "v"),)), Send(0, (("B", "v"),)))


def test_what_is_left_when_time_is_up_still_fails() -> None:
    small = shrunk(seconds=8.0)
    assert len(small.steps) < len(LONG.steps)
    assert Broken().run(small) is not None


def test_a_failure_of_another_kind_is_not_kept() -> None:
    broken = Broken()
    shrinker = Shrinker(broken.run, "reply:B", broken.clock, 100.0)
    assert not shrinker.fails(plan(send("C")))


def test_clients_that_send_together_become_one_that_sends_alone() -> None:
    one, other = send("A"), send("B")
    assert Together((one,)) in simpler_steps(Together((one, other)))
    assert one in simpler_steps(Together((one,)))
