"""Clients that keep asking while a test breaks something, and remember every answer that wasn't right.

Used by the fault tests. Each client is a thread with a connection of its own; what it asks is a function of
the test.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import Wire, eventually, pack

PLANTED = 40
Question = Callable[[Wire, int, int], None]


def plant(servers: Cluster) -> None:
    """Keys that every server holds and that nobody changes."""
    with servers.leader.direct() as wire:
        wire.send(b"".join(pack("SET", f"planted:{number}", f"value {number}") for number in range(PLANTED)))
        wire.frames(PLANTED)
    servers.settle()


def planted(number: int) -> bytes:
    text = f"value {number % PLANTED}".encode()
    return b"$%d\r\n%s\r\n" % (len(text), text)


def read(wire: Wire, client: int, turn: int) -> None:
    """One read of a planted key; any other answer than its value is a failure."""
    number = client * 7 + turn
    reply = wire.ask("GET", f"planted:{number % PLANTED}")
    assert reply == planted(number), reply


def read_pipeline(wire: Wire, client: int, turn: int) -> None:
    """Thirty reads in one packet."""
    numbers = range(turn, turn + 30)
    wire.send(b"".join(pack("GET", f"planted:{number % PLANTED}") for number in numbers))
    replies = wire.frames(30)
    assert replies == [planted(number) for number in numbers], replies


class Load:
    """`clients` threads that ask until the block ends. A failure is remembered and its client goes on with a
    new connection.
    """

    def __init__(self, proxy: Proxy, question: Question, clients: int = 6) -> None:
        self.proxy, self.question = proxy, question
        self.failures: list[str] = []
        self.answered = 0
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._client, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        self.moves_on()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(30)

    def moves_on(self, answers: int = 50) -> None:
        """Wait until that many more answers have come."""
        target = self.answered + answers
        eventually(lambda: self.answered >= target or self.failures, f"{answers} more answers", within=20)

    def _client(self, number: int) -> None:
        turn = 0
        while not self.over.is_set():
            try:
                with self.proxy.connect() as wire:
                    while not self.over.is_set():
                        self.question(wire, number, turn)
                        turn += 1
                        with self.lock:
                            self.answered += 1
            except (AssertionError, OSError, EOFError) as error:
                with self.lock:
                    self.failures.append(f"client {number}, turn {turn}: {type(error).__name__} {str(error)[:200]}")
                    if len(self.failures) > 200:
                        return
