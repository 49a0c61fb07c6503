"""What the clients of a run write down."""

from __future__ import annotations

import collections
import enum
import re
import time
from dataclasses import dataclass

now = time.monotonic


class Outcome(enum.Enum):
    """What a reply says became of a command."""

    OK = "executed"
    NO = "not executed"
    MAYBE = "may or may not have been executed"


class Kind(enum.Enum):
    """What can be wrong."""

    LOST = "an acknowledged write is not there"
    DOUBLED = "a write was executed twice"
    LIED = "a write that was said not to be executed was"
    TORN = "a transaction or a script was executed in part, or read in part"
    CROSSED = "a client got another's reply"
    UNASKED = "a reply that belongs to no command"
    STALE = "a read older than a write acknowledged before it began"
    BACK = "a read older than an earlier read"
    NOT_LINEARIZABLE = "a register's history has no order that explains it"
    ORDER = "a client does not see its own writes in order"
    ODD = "a reply that cannot be"
    HUNG = "no answer"
    POISONED = "a connection answers errors for ever"
    POPPED_AGAIN = "an element was popped twice"
    PUBSUB = "a message was received twice"
    NO_WRITES = "too long without any write"
    NO_READS = "too long without any read"
    NOT_SERVED = "nothing is served after the nemesis has ended"
    DIED = "rproxy has ended"
    LOG = "an internal error in the log"


@dataclass(slots=True)
class Operation:
    """A read or write of a register."""

    write: bool
    value: str | None
    begun: float
    ended: float
    outcome: Outcome


@dataclass(slots=True)
class Token:
    """A unique value that was written into `where`."""

    where: str
    begun: float
    ended: float
    outcome: Outcome
    error: str


@dataclass(slots=True)
class Version:
    """A number that was written to a key, or read from it."""

    number: int
    begun: float
    ended: float
    outcome: Outcome


class History:
    """What happened in one run. Times are of the monotonic clock."""

    def __init__(self) -> None:
        self.born = now()
        self.operations = 0
        self.registers: dict[str, list[Operation]] = collections.defaultdict(list)
        self.versions_written: dict[str, list[Version]] = collections.defaultdict(list)
        self.versions_read: dict[str, list[Version]] = collections.defaultdict(list)
        self.tokens: dict[str, Token] = {}
        self.increments: dict[str, collections.Counter[Outcome]] = collections.defaultdict(collections.Counter)
        self.increment_values: dict[str, list[int]] = collections.defaultdict(list)
        self.popped: collections.Counter[str] = collections.Counter()
        self.pops_unknown = 0
        self.messages: list[tuple[int, int]] = []
        self.reads: list[float] = []
        self.writes: list[float] = []
        self.slowest = 0.0
        self.errors: collections.Counter[str] = collections.Counter()
        self.findings: dict[Kind, list[str]] = collections.defaultdict(list)
        self.quiet = False

    def event(self, text: str) -> None:
        """Say what the nemesis does."""
        if not self.quiet:
            print(f"    {now() - self.born:7.2f} s  {text}", flush=True)

    def found(self, kind: Kind, text: str) -> None:
        """Something is wrong."""
        self.findings[kind].append(f"at {now() - self.born:.2f} s: {text}")

    def error(self, text: str) -> None:
        self.errors[re.sub(r"\d{3,}", "N", text)[:110]] += 1

    def done(self, kind: str, outcome: Outcome, begun: float, ended: float) -> None:
        """A command has its reply; `kind` is `r` for a read, `w` for a write, `b` for one that waits, another letter for the rest."""
        self.operations += 1
        if outcome is Outcome.OK and kind in "rw":
            (self.reads if kind == "r" else self.writes).append(ended)
        if kind != "b":
            self.slowest = max(self.slowest, ended - begun)
