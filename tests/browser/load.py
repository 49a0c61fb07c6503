"""Traffic for the page to show, from one client in a thread.

Used by the tests of the page and by what makes its pictures.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.harness import Proxy

PAUSE = 0.1
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
"""A key as a stranger might choose it."""


@contextmanager
def load(proxy: Proxy) -> Iterator[None]:
    """A few hundred commands per second, mostly reads, some of them wrong."""
    over = threading.Event()
    thread = threading.Thread(target=_send, args=(proxy, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _send(proxy: Proxy, over: threading.Event) -> None:
    dice = random.Random(7)
    with proxy.connect() as wire:
        wire.ask("CLIENT", "SETNAME", "<b>web</b>")
        wire.ask("SET", HOSTILE, "x" * 100)
        while not over.wait(PAUSE):
            many = int(26 + 12 * math.sin(time.monotonic() / 7) + dice.random() * 5)
            for _ in range(many):
                key = HOSTILE if dice.random() < 0.08 else f"user:{int(dice.paretovariate(0.7)) % 997}"
                if dice.random() < 0.15:
                    wire.ask("SET", f"user:{dice.randrange(997)}", "x" * 40)
                else:
                    wire.ask("GET", key)
            if dice.random() < 0.3:
                wire.ask("INCR", HOSTILE)  # no number
            if dice.random() < 0.1:
                wire.ask("MULTI")
                wire.ask("SET", "total", "1")
                wire.ask("EXEC")
