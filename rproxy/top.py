"""`rproxy top`: what the page shows, in a terminal: servers, rates, percentiles, errors, slow commands, as they change.

Called by the command line. Asks the admin listener or, where that does not answer, a listener of the clients, which knows less. It must never change
anything in rproxy, nor leave the terminal otherwise than it was.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rproxy import asking, status
from rproxy.rates import Facts
from rproxy.settings import Settings

QUIT = b"q\x03\x04"
PAUSE = 1.0
"""Seconds between two questions."""
MEASURED = 0.5
"""As long as `--once` counts."""


class Seen(NamedTuple):
    """What rproxy said, and of what it does not tell: None."""

    facts: Facts
    slow: Sequence[Facts] | None = None


Ask = Callable[[], Seen]


def source(settings: Settings, url: str, admin: str) -> Ask:
    """Whom to ask. A URL of the clients' listener is asked itself; else the admin listener, or the first listener of the settings where that does not
    answer. Raises SettingsError for what is no URL; NotThere, when it is asked, where nobody answers.
    """
    line = status.address_of(url or settings.listen[0])

    def over_a_listener() -> Seen:
        return Seen(status.ask(line, b"STATUS"))

    if url:
        return over_a_listener
    try:
        door = asking.where(settings.admin, admin)
    except asking.Problem:
        return over_a_listener

    def over_http() -> Seen:
        try:
            return Seen(door.ask("/api/status"), _slow(door))
        except asking.Problem as problem:
            if admin:
                raise status.NotThere(str(problem)) from None
            return over_a_listener()

    return over_http


def _slow(door: asking.Where) -> list[Facts] | None:
    try:
        return list(door.ask("/api/slow")["slow"])
    except asking.Problem:
        return None


def once(ask: Ask) -> bool:
    """Print one frame; False when there is no leader, or there are replicas and none is read. Raises NotThere."""
    from rproxy import top_view

    before = ask()
    time.sleep(MEASURED)
    now = ask()
    top_view.console().print(top_view.frame(before, now))
    return status.is_fine(dict(now.facts))


def watch(ask: Ask) -> None:
    """Show it until `q`, Ctrl-C or the end of the input. Raises NotThere when nobody answers at first; later it says so and waits."""
    from rich.live import Live

    from rproxy import top_view

    before = now = ask()
    console = top_view.console()
    with (
        _interrupts() as interrupts,
        _keys(interrupts) as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(top_view.live(before, now), refresh=True)
            if pressed(PAUSE):
                return
            try:
                before, now = now, ask()
            except status.NotThere as problem:
                live.update(top_view.lost(str(problem)), refresh=True)
                if pressed(PAUSE):
                    return
                with contextlib.suppress(status.NotThere):
                    before = now = ask()


@contextlib.contextmanager
def _interrupts() -> Iterator[int]:
    """Gives a descriptor that can be read once Ctrl-C was pressed. That breaks off nothing by itself, as a frame that is half drawn, or whatever else Python
    is doing then, might keep it; pressed again, it does.
    """
    seen, noted = os.pipe()

    def interrupted(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        os.write(noted, b"q")

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(seen)
        os.close(noted)


@contextlib.contextmanager
def _keys(interrupts: int) -> Iterator[Callable[[float], bool]]:
    """Take keys as they are pressed: gives a function that waits so long and says whether to end. Without a terminal it only waits."""
    if not sys.stdin.isatty():
        yield lambda seconds: bool(select.select([interrupts], [], [], seconds)[0])
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    kept = termios.tcgetattr(keyboard)

    def pressed(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready = select.select([keyboard, interrupts], [], [], left)[0]
            if interrupts in ready or (ready and any(key in QUIT for key in os.read(keyboard, 64) or b"q")):
                return True
        return False

    try:
        tty.setcbreak(keyboard)
        yield pressed
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, kept)
