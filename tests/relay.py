"""A TCP relay between two programs of a test: it delays, stalls or cuts what goes through it, each direction by itself.

Used by `tests.integration.servers` between a leader and its replicas, by the freshness and fault tests between rproxy and servers, and by
`bench.freshness`. It runs in a process of its own (`tests.relay_process`), so that what the test computes does not disturb the delay. It
must never look at the bytes: it knows nothing of Redis.

"up" is the direction from whoever connected towards the target, "down" the way back.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Way = Literal["up", "down"]
PROGRAM = Path(__file__).with_name("relay_process.py")
END_DEADLINE = 5.0


@dataclass(frozen=True)
class Flow:
    """One connection that is open: how many bytes have come to the relay and how many it has passed on."""

    id: int
    up_arrived: int
    up_passed: int
    down_arrived: int
    down_passed: int


class Relay:
    """A relay to `target`, a port of 127.0.0.1. It listens on `port` from the start; a context manager.

    A changed delay holds at once, also for what waits already; the order of bytes never changes. Connecting itself is not delayed.
    """

    def __init__(self, target: int, *, up: float = 0.0, down: float = 0.0) -> None:
        self.target = target
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(PROGRAM), str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self.port = int(self._answer())
            if up or down:
                self.delay(up=up, down=down)
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def __repr__(self) -> str:
        return f"<relay from port {self.port} to {self.target}>"

    def delay(self, *, up: float | None = None, down: float | None = None) -> None:
        """Seconds that each byte waits; None leaves a direction as it is."""
        self._order("delay", ways={way: value for way, value in (("up", up), ("down", down)) if value is not None})

    def stall(self, *ways: Way, connection: int | None = None) -> None:
        """Pass nothing more in these directions (both, when none is named) until `resume`; what comes is kept. With `connection`,
        the id of a `Flow`, only there, if it is still open.
        """
        self._order("stall", on=True, ways=ways or ("up", "down"), connection=connection)

    def resume(self, *ways: Way, connection: int | None = None) -> None:
        """Undo a `stall` of the same arguments."""
        self._order("stall", on=False, ways=ways or ("up", "down"), connection=connection)

    def cut(self) -> None:
        """Reset all connections, lose what waits in them, and refuse new ones until `restore`."""
        self._order("cut")

    def restore(self) -> None:
        """Accept connections again."""
        self._order("restore")

    def drop(self) -> None:
        """Reset all connections; new ones are welcome."""
        self._order("drop")

    def connections(self) -> list[Flow]:
        """Those that are open now, the oldest first."""
        return [Flow(**facts) for facts in self._order("connections")]

    def end(self) -> None:
        """End the process. May be called twice."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self.process.wait(END_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _order(self, what: str, **details: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self!r} has ended"
        return json.loads(line)
