"""CLIENT PAUSE: while the leader holds back writes, each client's waits on a connection of its own, so that nobody else waits behind it.

Owned by `plane`; told by `roster` what the leader has said yes to. Of writes the leader alone decides what waits and for how long: here is only decided how
it is asked. A pause of everything would silence the leader for rproxy's own questions too, and it would count as away: it is asked for one of writes, and
whatever else clients send is held back here, but for what ends the pause and what is about rproxy. It must never hold back a command for longer than the
pause lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.commands import Command, Kind
from rproxy.dataplane.integers import integer
from rproxy.dataplane.states import PAUSED

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

_REPLICATES = (b"PFCOUNT",)  # readonly, and held back all the same (MAY_REPLICATE, server.c)
_LONGEST = 365 * 86400.0  # seconds that a timer is set to
_GO_ON = (b"CLIENT|UNPAUSE", b"RPROXY", b"RPROXY|STATUS", b"RPROXY|EXPLAIN", b"RPROXY|HELP")


def _of_everything(words: list[bytes]) -> bool:
    return words[1].upper() == b"PAUSE" and (len(words) == 3 or (len(words) == 4 and words[3].upper() == b"ALL"))


def for_leader(words: list[bytes]) -> list[bytes]:
    """What the leader is asked in place of this CLIENT PAUSE or UNPAUSE."""
    return [*words[:3], b"WRITE"] if _of_everything(words) else words


class Pauses:
    """Whether there is a pause, as far as rproxy's own clients have asked for it. `everything`: it is one of all commands."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._until = 0.0
        self._changed: list[Command] = []
        self.everything = False

    def asked(self, words: list[bytes]) -> None:
        """The leader has said yes to CLIENT PAUSE or UNPAUSE."""
        if words[1].upper() == b"UNPAUSE":
            self.end()
        elif len(words) > 2 and (milliseconds := integer(words[2])) is not None:
            self.everything = self.everything or _of_everything(words)
            self._begin(min(milliseconds / 1000, _LONGEST))

    def holds(self, command: Command) -> bool:
        """Whether this command may have to wait for the end of the pause."""
        return bool(self._changed) and (command.kind != Kind.READ or command.name in _REPLICATES)

    def stops(self, session: Session, command: Command) -> bool:
        """In a pause of everything: whether this command waits here, and all that the session sends behind it."""
        if command.name in _GO_ON:
            return False
        session.halt(PAUSED)
        return True

    def look_again(self) -> None:
        """The commands may be others than before."""
        if self._changed:
            self._change()

    def _begin(self, seconds: float) -> None:
        self._change()
        until = self._plane.clock() + seconds
        if until > self._until:  # else the last one, which is longer, goes on
            self._until = until
            self._plane.later(seconds, lambda: self._over(until))

    def _change(self) -> None:
        commands = set(self._plane.table.commands.values())
        self._changed += [
            command
            for command in commands
            if command.plain and (self.everything or command.kind != Kind.READ or command.name in _REPLICATES)
        ]
        for command in self._changed:
            command.plain = False  # each is looked at now, by `dispatch`

    def _over(self, until: float) -> None:
        if until == self._until:
            self.end()

    def end(self) -> None:
        """There is no pause any more."""
        for command in self._changed:
            command.plain = True
        self._changed = []
        self._until = 0.0
        if self.everything:
            self.everything = False
            for session in self._plane.clients:
                if not self._plane.intermission.until:
                    session.release(PAUSED)
