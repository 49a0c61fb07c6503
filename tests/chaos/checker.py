"""Compares what clients were told with the data that the leader has at the end. It asks nobody: the data are given to it."""

from __future__ import annotations

import bisect
import collections
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.history import History, Kind, Operation, Outcome, Version

NEVER, ALWAYS = -float("inf"), float("inf")
STRINGS = ("str:0", "str:1")
LISTS = ("list:0", "list:1", "list:2", "list:3", "ea", "eb", "ta", "tb", "caslog", "src", "dst", "q:0", "q:1")
COUNTERS = ("cnt:0", "cnt:1", "cnt:2")


@dataclass
class Zone:
    """A value of a register: when it was written, and when it was read."""

    begun: float
    ended: float
    refused: bool = False
    reads: list[tuple[float, float]] = field(default_factory=list)

    def edges(self) -> tuple[float, float]:
        """The end of what ended first, and the beginning of what began last."""
        return min([self.ended, *(end for _, end in self.reads)]), max([self.begun, *(begin for begin, _ in self.reads)])


def register(operations: Sequence[Operation]) -> list[str]:
    """Why the history of a register with unique values isn't linearizable; nothing when it is. By zones: Gibbons and Korach, Testing Shared Memories, 1997.

    A write of unknown fate counts as written at any time from its beginning on if somebody has read it, and as not written else. One that was said not to
    be executed must not be read. A read of None reads the initial value.
    """
    zones, wrong = _zones(operations)
    unknown = {one.value for one in operations if one.write and one.outcome is Outcome.MAYBE}
    forward: list[tuple[float, float, str | None]] = []
    backward: list[tuple[float, float, str | None]] = []
    for value, zone in zones.items():
        if zone.refused or (not zone.reads and (value in unknown or value is None)):
            continue
        if any(end < zone.begun for _, end in zone.reads):
            wrong.append(f"{value} was read before it was written")
        low, high = zone.edges()
        (forward if low < high else backward).append((min(low, high), max(low, high), value))
    forward.sort()
    wrong += [f"{one[2]} and {other[2]} interleave" for one, other in itertools.pairwise(forward) if other[0] < one[1]]
    starts = [zone[0] for zone in forward]
    for low, high, value in backward:
        at = bisect.bisect_right(starts, low) - 1
        if at >= 0 and forward[at][0] < low and forward[at][1] > high:
            wrong.append(f"{value} was written and read while {forward[at][2]} was there")
    return wrong


def _zones(operations: Sequence[Operation]) -> tuple[dict[str | None, Zone], list[str]]:
    zones: dict[str | None, Zone] = {None: Zone(NEVER, NEVER)}
    wrong: list[str] = []
    for one in operations:
        if one.write:
            ended = one.ended if one.outcome is Outcome.OK else ALWAYS
            zones[one.value] = Zone(one.begun, ended, refused=one.outcome is Outcome.NO)
    for one in operations:
        if one.write:
            continue
        zone = zones.get(one.value)
        if zone is None:
            wrong.append(f"{one.value} was read, and never written")
        elif zone.refused:
            wrong.append(f"{one.value} was read, and said not to be executed")
        else:
            zone.reads.append((one.begun, one.ended))
    return zones, wrong


def searched(operations: Sequence[Operation]) -> bool:
    """Whether the history of a register is linearizable, by a search of all orders (Wing and Gong, Lowe): what `register` is tested against."""
    kept = [one for one in operations if one.outcome is not Outcome.NO]
    ends = [one.ended if one.outcome is Outcome.OK else ALWAYS for one in kept]
    seen: set[tuple[frozenset[int], str | None]] = set()
    stack: list[tuple[frozenset[int], str | None]] = [(frozenset(), None)]
    while stack:
        done, value = stack.pop()
        left = [at for at in range(len(kept)) if at not in done]
        if not any(kept[at].outcome is Outcome.OK for at in left):
            return True
        first = min(ends[at] for at in left)
        for at in left:
            one = kept[at]
            if one.begun > first or (not one.write and one.value != value):
                continue
            state = (done | {at}, one.value if one.write else value)
            if state not in seen:
                seen.add(state)
                stack.append(state)
    return False


def stale(written: Sequence[Version], read: Sequence[Version]) -> tuple[list[str], list[str]]:
    """Reads that show less than what was acknowledged before they began, and less than what an earlier read had shown."""
    acknowledged = _highest((one.ended, one.number) for one in written if one.outcome is Outcome.OK)
    shown = _highest((one.ended, one.number) for one in read)
    texts: tuple[list[str], list[str]] = ([], [])
    for one in read:
        for text, (times, numbers) in zip(texts, (acknowledged, shown), strict=True):
            at = bisect.bisect_left(times, one.begun) - 1
            if at >= 0 and one.number < numbers[at]:
                text.append(f"{one.number} and not {numbers[at]}, {1000 * (one.begun - times[at]):.1f} ms after that")
    return texts


def _highest(seen: Iterable[tuple[float, int]]) -> tuple[list[float], list[int]]:
    """The highest number so far, at each of the times."""
    times: list[float] = []
    numbers: list[int] = []
    for time, number in sorted(seen):
        times.append(time)
        numbers.append(max(number, numbers[-1] if numbers else 0))
    return times, numbers


def longest_gap(times: Sequence[float], begin: float, end: float) -> float:
    """The longest time between two of these, or from the beginning or to the end."""
    edges = [begin, *sorted(time for time in times if begin <= time <= end), end]
    return max(after - before for before, after in itertools.pairwise(edges))


@dataclass(frozen=True)
class Data:
    """What the leader holds: the elements of lists, in order, the parts of strings, and counters."""

    lists: Mapping[str, list[str]]
    strings: Mapping[str, list[str]]
    counters: Mapping[str, int]

    def of(self, where: str) -> list[str]:
        """The tokens that are in this place: a key, or the keys between which elements are moved."""
        if where == "src":
            return self.lists["src"] + self.lists["dst"]
        if where == "q":
            return self.lists["q:0"] + self.lists["q:1"]
        return self.strings[where] if where in self.strings else self.lists[where]


def check(history: History, data: Data) -> None:
    """Add to the history's findings what its data say."""
    _tokens(history, data)
    _together(history, data)
    for key in COUNTERS:
        _counter(history, key, data.counters[key])
    for key, operations in history.registers.items():
        for text in register(operations):
            history.found(Kind.NOT_LINEARIZABLE, f"{key}: {text}")
    for key, read in history.versions_read.items():
        old, back = stale(history.versions_written[key], read)
        for kind, texts in ((Kind.STALE, old), (Kind.BACK, back)):
            for text in texts:
                history.found(kind, f"{key}: {text}")
    last: dict[int, int] = {}
    for epoch, number in history.messages:
        if number <= last.get(epoch, 0):
            history.found(Kind.PUBSUB, f"message {number} came after {last[epoch]}")
        last[epoch] = number


def _tokens(history: History, data: Data) -> None:
    counts = {where: collections.Counter(data.of(where)) for where in {token.where for token in history.tokens.values()}}
    missing = 0
    for name, token in history.tokens.items():
        there = counts[token.where][name]
        if there > 1:
            history.found(Kind.DOUBLED, f"{name} is {there} times in {token.where}")
        if token.where == "q":
            there += history.popped[name]
            if there > 1:
                history.found(Kind.POPPED_AGAIN, f"{name}: {history.popped[name]} times popped, {there} in all")
            missing += token.outcome is Outcome.OK and not there
        elif token.outcome is Outcome.OK and not there:
            history.found(Kind.LOST, f"{name} is not in {token.where}; acknowledged at {token.ended - history.born:.2f} s")
        if token.outcome is Outcome.NO and there:
            history.found(Kind.LIED, f"{name} is in {token.where}; answered: {token.error}")
    if missing > history.pops_unknown:
        history.found(
            Kind.LOST, f"{missing} elements were neither popped nor there; {history.pops_unknown} BLPOPs are of unknown fate"
        )
    for where, count in counts.items():
        for name in count:
            if name not in history.tokens:
                history.found(Kind.ODD, f"{where} holds {name!r}, which nobody wrote")


def _together(history: History, data: Data) -> None:
    for one, other in (("ta", "tb"), ("ea", "eb")):
        if data.lists[one] != data.lists[other]:
            history.found(Kind.TORN, f"{one} and {other} differ: {len(data.lists[one])} and {len(data.lists[other])} elements")
    numbers = [int(entry.rsplit(":", 1)[1]) for entry in data.lists["caslog"]]
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            history.found(Kind.TORN, f"under WATCH, {before} is followed by {after}")
            return


def _counter(history: History, key: str, value: int) -> None:
    acknowledged, unknown = (history.increments[key][outcome] for outcome in (Outcome.OK, Outcome.MAYBE))
    if value > acknowledged + unknown:
        history.found(Kind.DOUBLED, f"{key} is {value}, with {acknowledged} acknowledged increments and {unknown} unknown ones")
    if value < acknowledged:
        history.found(Kind.LOST, f"{key} is {value}, with {acknowledged} acknowledged increments")
    values = history.increment_values[key]
    if len(values) != len(set(values)):
        history.found(Kind.LOST, f"{key}: {len(values) - len(set(values))} values were given twice")
