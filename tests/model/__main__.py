"""`python -m tests.model`: look for new failures until the time is up, shrink the first of each kind, and say how to see it again."""

from __future__ import annotations

import argparse
import collections
import random
import sys
import time
from pathlib import Path

from tests.model.generator import STEPS, plan_of
from tests.model.rig import Rig, started
from tests.model.runner import Failure, Run
from tests.model.shrinker import Shrinker
from tests.model.steps import Plan, from_json, shown, to_json, without

REPETITIONS = 3
SHOWN_STEPS = 20
SHOWN_LETTERS = 600


def main(words: list[str] | None = None) -> int:
    """The exit code: 0 when both sides were the same throughout, 1 for a difference."""
    options = _options(words)
    with started(*options.flag, binary=options.binary) as rig:
        if options.plan:
            plan = from_json(Path(options.plan).read_text())
            code = _told(plan, Run(rig, plan).run(), "")
        else:
            code = _search(rig, options)
        if code:  # what has shown a difference may not be able to end in order
            rig.proxy.process.kill()
            rig.proxy.process.wait()
    return code


def _search(rig: Rig, options: argparse.Namespace) -> int:
    """Run one seed after the other until the time is up."""
    end = time.monotonic() + options.seconds
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    print(f"the model test begins with seed {seed}, for {options.seconds:g} s", flush=True)
    runs = steps = commands = counted = 0
    kinds: collections.Counter[str] = collections.Counter()
    while time.monotonic() < end:
        plan = without(plan_of(seed, steps=options.steps), options.without)
        try:
            failure = Run(rig, plan).run()
        except RuntimeError as problem:
            print(f"seed {seed}: the test itself has failed: {problem}", flush=True)
            kinds["test"] += 1
            counted += _counts("test", options)
            if options.one:
                break
            seed += 1
            continue
        runs, steps, commands = runs + 1, steps + len(plan.steps), commands + _commands(plan)
        if failure is not None:
            kinds[failure.kind] += 1
            print(f"seed {seed}, step {failure.step}: {failure.kind}: {failure.text}", flush=True)
            counted += (not options.confirm or _confirmed(rig, plan, failure)) and _counts(failure.kind, options)
            if kinds[failure.kind] == 1 and options.shrink:
                _shrink(rig, plan, failure, options)
        if options.one or (kinds and options.first):
            break
        seed += 1
    print(f"{runs} plans, {steps} steps, {commands} commands; differences: {dict(kinds) or 'none'}")
    return 1 if counted or kinds["test"] > runs // 10 else 0


def _counts(kind: str, options: argparse.Namespace) -> bool:
    """Whether a difference of this kind makes the run fail."""
    return not options.count or kind.partition(":")[0] in options.count.split(",")


def _confirmed(rig: Rig, plan: Plan, failure: Failure) -> bool:
    """Whether the plan shows the same again, in most runs."""
    again = [Run(rig, plan).run() for _ in range(REPETITIONS)]
    seen = sum(other is not None and other.kind == failure.kind for other in again)
    print(f"    the same is seen in {seen} of {REPETITIONS} runs more", flush=True)
    return 2 * seen > REPETITIONS


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; without it, one by chance")
    parser.add_argument("--seconds", type=float, default=60, help="how long to look")
    parser.add_argument("--steps", type=int, default=STEPS, help="the steps of each plan")
    parser.add_argument("--one", action="store_true", help="only this seed")
    parser.add_argument("--confirm", action="store_true", help="count a difference if most further runs of its plan show it")
    parser.add_argument(
        "--count", default="", metavar="KINDS", help="count only these, as --count=data,state; the others are printed"
    )
    parser.add_argument("--first", action="store_true", help="end at the first difference")
    parser.add_argument(
        "--shrink", type=float, default=60, metavar="SECONDS", help="how long to shrink the first plan of each kind; 0: not"
    )
    parser.add_argument(
        "--without", default="", metavar="REGEX", help="leave out commands in which this is found, whatever their case"
    )
    parser.add_argument("--plan", help="run the plan in this file, and nothing else")
    parser.add_argument("--save", help="a folder for what was shrunk")
    parser.add_argument("--binary", default="", help="another server program")
    parser.add_argument("--flag", action="append", default=[], help="a flag for rproxy, as --flag=--workers=2")
    return parser.parse_args(words)


def _commands(plan: Plan) -> int:
    return sum(
        len(getattr(step, "commands", ())) or sum(len(send.commands) for send in getattr(step, "sends", ()))
        for step in plan.steps
    )


def _shrink(rig: Rig, plan: Plan, failure: Failure, options: argparse.Namespace) -> None:
    shrinker = Shrinker(lambda candidate: Run(rig, candidate).run(), failure.kind, time.monotonic, options.shrink)
    small = shrinker.shrink(plan, failure.step)
    print(
        f"--- shrunk from {len(plan.steps)} steps to {len(small.steps)} in {shrinker.runs} runs; it failed in {shrinker.rate(small)} of them"
    )
    _told(small, shrinker.last, "    ")
    if options.save:
        folder = Path(options.save)
        folder.mkdir(parents=True, exist_ok=True)
        name = "".join(letter if letter.isalnum() else "-" for letter in failure.kind.lower())
        (folder / f"{name}-{plan.seed}.json").write_text(to_json(small, f"{failure.kind}: {failure.text}"))


def _told(plan: Plan, failure: Failure | None, before: str) -> int:
    for number, step in list(enumerate(plan.steps))[-SHOWN_STEPS:]:
        print(f"{before}{number:3d}  {shown(step)[:SHOWN_LETTERS]}")
    print(
        f"{before}seed {plan.seed}, RESP{plan.protocol}: {failure.kind + ': ' + failure.text if failure else 'no difference'}",
        flush=True,
    )
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
