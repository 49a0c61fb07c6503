"""CLIENT PAUSE: while the leader holds back writes, each client's waits on a connection of its own, so that nobody else waits behind it.

Owned by `plane`; told by `roster` what the leader has said yes to. The leader alone decides what waits and for how long: here is only decided how it is
asked. It must never hold back a command by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.commands import Command, Kind

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane

_REPLICATES = (b"PFCOUNT",)  # readonly, and held back all the same (MAY_REPLICATE, server.c)


class Pauses:
    """Whether there is a pause, as far as rproxy's own clients have asked for it."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._turn = 0
        self._changed: list[Command] = []

    def asked(self, words: list[bytes]) -> None:
        """The leader has said yes to CLIENT PAUSE or UNPAUSE."""
        if words[1].upper() == b"UNPAUSE":
            self.end()
        elif len(words) > 2 and words[2].isdigit():
            self._begin(int(words[2]) / 1000)

    def holds(self, command: Command) -> bool:
        """Whether this command may have to wait for the end of the pause."""
        return bool(self._changed) and (command.kind != Kind.READ or command.name in _REPLICATES)

    def look_again(self) -> None:
        """The commands may be others than before."""
        if self._changed:
            self._change()

    def _begin(self, seconds: float) -> None:
        self._turn += 1
        turn = self._turn
        if not self._changed:
            self._change()
        self._plane.later(seconds, lambda: self._over(turn))

    def _change(self) -> None:
        commands = set(self._plane.table.commands.values())
        self._changed = [
            command for command in commands if command.plain and (command.kind != Kind.READ or command.name in _REPLICATES)
        ]
        for command in self._changed:
            command.plain = False  # each is looked at now, by `dispatch`

    def _over(self, turn: int) -> None:
        if turn == self._turn:
            self.end()

    def end(self) -> None:
        """There is no pause any more."""
        for command in self._changed:
            command.plain = True
        self._changed = []
