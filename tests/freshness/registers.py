"""Registers that writers raise while readers on other connections look: no read may show less than what was acknowledged, or shown, before it began.

Used by the freshness and fault tests. Each key has one writer, which writes 1, 2, 3 ..., so a number says how old a value is. Writers and readers are
threads with connections of their own.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.integration.harness import Proxy
from tests.integration.wire import Wire, eventually, pack, value_of

PADDING = b"." * 300_000
SCRIPT = "return redis.call('SET', '{}', ARGV[1])"


@dataclass(frozen=True)
class Kind:
    """One way to write a number and to read it."""

    write: Callable[[str, int], bytes]
    read: Callable[[str], bytes]
    replies: int = 1


KINDS: dict[str, Kind] = {
    "string": Kind(lambda key, number: pack("SET", key, number), lambda key: pack("GET", key)),
    "several": Kind(lambda key, number: pack("MSET", key, number, f"{key}:2", number), lambda key: pack("MGET", key)),
    "hash": Kind(lambda key, number: pack("HSET", key, "f", number), lambda key: pack("HGET", key, "f")),
    "sorted set": Kind(lambda key, number: pack("ZADD", key, number, "m"), lambda key: pack("ZSCORE", key, "m")),
    "transaction": Kind(
        lambda key, number: pack("MULTI") + pack("SET", key, number) + pack("EXEC"), lambda key: pack("GETRANGE", key, 0, -1), 3
    ),
    "script": Kind(lambda key, number: pack("EVAL", SCRIPT.format(key), 0, number), lambda key: pack("GET", key)),
    "large": Kind(lambda key, number: pack("SET", key, b"%012d" % number + PADDING), lambda key: pack("GETRANGE", key, 0, 11)),
}


def number_in(value: Any) -> int:
    """The number that a read shows; 0 for a key that is not there. Raises AssertionError for an error reply."""
    if isinstance(value, list):
        (value,) = value
    assert value is None or isinstance(value, bytes), value
    return int(value or 0)


class Register:
    """A key, and what is known of it: `sent` is the highest number that may be in it, `floor` the lowest that a read may show which begins now."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind = KINDS[kind]
        self.key = f"{kind.replace(' ', '-')}:{number}"
        self.sent = 0
        self.floor = 0


class Registers:
    """`writers` and `readers` at work until the block ends. `stale` are reads that showed too little, `errors` what was answered with one.

    With `rest` a writer waits that many seconds between two writes, so that replicas catch up now and then.
    """

    def __init__(
        self, proxy: Proxy, kinds: Sequence[str] = tuple(KINDS), writers: int = 2, readers: int = 4, rest: float = 0.0
    ) -> None:
        self.proxy = proxy
        self.rest = rest
        self.stale: list[str] = []
        self.errors: list[str] = []
        self.reads = self.writes = 0
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.registers = [Register(kind, number) for number in range(writers) for kind in kinds]
        own = [self.registers[number::writers] for number in range(writers)]
        self.threads = [threading.Thread(target=self._client, args=(self._write, seed, mine)) for seed, mine in enumerate(own)]
        self.threads += [
            threading.Thread(target=self._client, args=(self._read, seed, self.registers)) for seed in range(100, 100 + readers)
        ]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(30)

    def go_on(self, reads: int) -> None:
        """Wait for so many more reads, and a write."""
        target, written = self.reads + reads, self.writes
        eventually(lambda: self.reads >= target and self.writes > written, f"{reads} more reads", within=30)

    def _client(self, turn: Callable[[Wire, random.Random, list[Register]], None], seed: int, mine: list[Register]) -> None:
        dice = random.Random(seed)
        while not self.over.is_set():
            try:
                with self.proxy.connect() as wire:
                    while not self.over.is_set():
                        turn(wire, dice, mine)
            except (AssertionError, OSError, EOFError) as problem:
                with self.lock:
                    self.errors.append(f"{type(problem).__name__} {str(problem)[:200]}")

    def _write(self, wire: Wire, dice: random.Random, mine: list[Register]) -> None:
        """Raise some of this writer's registers in one packet."""
        chosen = dice.sample(mine, dice.choice([1, 1, 2]))
        for register in chosen:
            register.sent += 1
        numbers = [register.sent for register in chosen]
        wire.send(b"".join(register.kind.write(register.key, register.sent) for register in chosen))
        for register, number in zip(chosen, numbers, strict=True):
            replies = wire.frames(register.kind.replies)
            assert not any(reply.startswith(b"-") for reply in replies), replies
            with self.lock:
                register.floor = max(register.floor, number)
        with self.lock:
            self.writes += 1
        if self.rest:
            self.over.wait(self.rest * dice.random())

    def _read(self, wire: Wire, dice: random.Random, all_of_them: list[Register]) -> None:
        """Look at some registers in one packet."""
        chosen = dice.sample(all_of_them, dice.choice([1, 1, 1, 3]))
        floors = [register.floor for register in chosen]
        wire.send(b"".join(register.kind.read(register.key) for register in chosen))
        for register, floor in zip(chosen, floors, strict=True):
            shown = number_in(value_of(wire.frame()))
            assert shown <= register.sent, f"{register.key}: {shown} was never written"
            with self.lock:
                self.reads += 1
                if shown < floor:
                    self.stale.append(f"{register.key}: {shown} after {floor}")
                register.floor = max(register.floor, shown)
