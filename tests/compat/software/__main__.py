"""Other people's test suites, run against a server and then through rproxy in front of replicas that lag: what is lost on the way?

`make compat-software` calls it: `python -m tests.compat.software [suite ...]`. It fails on a test that passes direct, not through rproxy, and is not
listed with its reason in docs/differences.md. Each side of each suite gets servers of its own. Packages come from the index that pip is configured
for, at the versions and hashes of requirements/software/.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Protocol

from tests.compat.redis_suite import LIST
from tests.compat.software.outcomes import Comparison, Side, compare, listed
from tests.compat.software.pytest_suites import PytestSuite
from tests.compat.software.suites import SUITES
from tests.compat.software.workers import FRAMEWORKS, WorkersSuite

SHOWN = 1500
"""Characters of a failure that are shown, from its end."""


class Runnable(Protocol):
    """What can be run both ways. `quick` ones together take under five minutes."""

    name: str
    quick: bool

    def prepare(self) -> None: ...
    def direct(self) -> Side: ...
    def proxied(self) -> Side: ...


ALL: tuple[Runnable, ...] = (*map(PytestSuite, SUITES), *map(WorkersSuite, FRAMEWORKS))


def show(name: str, sides: Sequence[Side], comparison: Comparison, verbose: bool) -> None:
    """Print what is lost, and with `verbose` what failed on either side."""
    for test, reason in comparison.explained.items():
        print(f"lost: {name}: {test} ({reason})")
    for test in comparison.unexplained:
        print(f"lost: {name}: {test}\n{sides[1].outcome.failed.get(test, 'it was not run')[-SHOWN:]}")
    for pattern in comparison.kept:
        print(f"listed, and not lost in this run: {name}: {pattern}")
    for side, title in zip(sides, ("direct", "proxied"), strict=False):
        if verbose or not side.outcome.passed:
            for test, text in side.outcome.failed.items():
                print(f"failed {title}: {name}: {test}\n{text[-SHOWN:]}")
            print(f"{name} {title}:\n{side.output[-2 * SHOWN :]}")


def compared(suite: Runnable, args: argparse.Namespace) -> tuple[str, bool]:
    """Run one suite both ways: its row of the table, and whether nothing was lost that is not explained."""
    suite.prepare()
    sides = [suite.direct()]
    if not args.direct_only:
        sides.append(suite.proxied())
    comparison = compare(sides[0].outcome, sides[-1].outcome, listed(LIST, suite.name))
    show(suite.name, sides, comparison, args.verbose)
    cells = " ".join(f"{len(side.outcome.passed):>8} {side.seconds:>6.0f} s" for side in sides)
    row = f"{suite.name:20} {cells} {len(comparison.explained):>12} {len(comparison.unexplained):>8}"
    print(row, flush=True)
    return row, bool(sides[0].outcome.passed) and not comparison.unexplained


def chosen(parser: argparse.ArgumentParser, args: argparse.Namespace) -> list[Runnable]:
    """The suites that were asked for, or all; with `--quick` only those that are. A name that there isn't ends the program."""
    names = [suite.name for suite in ALL]
    if unknown := [name for name in args.suites if name not in names]:
        parser.error(f"there is no suite {' and no '.join(unknown)}: there are {', '.join(names)}")
    return [suite for suite in ALL if (not args.suites or suite.name in args.suites) and (suite.quick or not args.quick)]


def main(words: Sequence[str] | None = None) -> int:
    """Compare; the exit code says whether anything was lost that is not explained, or a suite passed nothing direct."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat.software", description=__doc__.split("\n")[0])
    parser.add_argument("suites", nargs="*", help="names of suites; without any, all")
    parser.add_argument("--quick", action="store_true", help="only the suites that together take under five minutes")
    parser.add_argument("--direct-only", action="store_true", help="without rproxy")
    parser.add_argument("--list", action="store_true", help="print the suites' names and end")
    parser.add_argument("--verbose", action="store_true", help="what failed on either side, and the end of what the suites print")
    args = parser.parse_args(words)
    suites = chosen(parser, args)
    if args.list:
        print("\n".join(suite.name for suite in suites))
        return 0
    began = time.monotonic()
    results = [compared(suite, args) for suite in suites]
    print(f"\n{'suite':20} {'direct ok':>17} {'proxied ok':>17} {'lost, listed':>12} {'and not':>8}")
    print("\n".join(row for row, _ in results))
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if all(well for _, well in results) else 1


if __name__ == "__main__":
    sys.exit(main())
