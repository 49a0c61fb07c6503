"""What an attached client writes, although its bytes go through as they are: its slots are held until every reply has come.

Owned by a session in state ATTACHED, where some listener wants fresh reads. It reads along and must never change, hold back or answer a byte. Where replies
can't be counted (subscriptions, MONITOR, CLIENT REPLY) slots are held until the client leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane import inline, leased, resp
from rproxy.dataplane.commands import Kind
from rproxy.dataplane.freshness import KEYSPACE
from rproxy.dataplane.touched import slots_of_head, slots_of_words

if TYPE_CHECKING:
    from rproxy.dataplane.session import Session

_MOST_HELD = 1024  # slots, above which all keys are taken to be written
_LARGEST = 256 * 1024  # bytes of a command, above which its keys are not looked for
_UNCOUNTABLE = frozenset(
    b"SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE MONITOR CLIENT|REPLY".split()
)  # fmt: skip


class Watch:
    """Reads along between `session` and its lease."""

    __slots__ = ("_session", "_requests", "_replies", "_tail", "_owed", "_multi", "_blind", "_held", "_skips")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._requests = resp.RequestFramer()
        self._replies = resp.ReplyFramer()
        self._tail = b""
        self._owed = 0
        self._multi = False
        self._blind = False
        self._held: set[int] = set()
        self._skips = False

    def sent(self, data: bytes) -> None:
        """The client has sent this; it has not gone on yet."""
        data = self._tail + data
        scanned = len(self._tail)
        pos = 0
        while not self._blind and scanned < len(data):
            stop = self._requests.scan(data, scanned)
            if stop == resp.MORE:
                break
            if stop == resp.BROKEN:
                self._see_nothing()
                break
            if not self._skips:
                self._take(data[pos:stop])
            self._skips = False
            pos = scanned = stop
        self._tail = data[pos:]
        if self._tail and self._requests.size > _LARGEST and not self._skips:
            self._skips = True
            self._owed += 1
            framer = self._requests
            name, word = self._tail[framer.name_at : framer.name_end], self._tail[framer.word_at : framer.word_end]
            self._hold(slots_of_head(self._session.plane.table.find(name, word), self._tail, framer))
        if self._blind or self._skips:
            self._tail = b""

    def came(self, data: bytes) -> None:
        """The server has sent this; it has not gone on yet. What was written is stamped if it answers all that was asked."""
        pos = 0
        while not self._blind and pos < len(data):
            pos = self._replies.scan(data, pos)
            if pos == resp.MORE:
                break
            if pos == resp.BROKEN:
                self._see_nothing()
                break
            if self._replies.kind != resp.PUSH:
                self._owed -= 1
        if self._held and not self._owed and not self._multi and not self._blind:
            self._held.clear()
            leased.let_go(self._session, lost=False)

    def _take(self, frame: bytes) -> None:
        """One command."""
        words = inline.split_line(frame) if self._requests.inline else resp.split(frame) if self._requests.argc else []
        if not words:
            return
        self._owed += 1
        command = self._session.plane.table.find(words[0], words[1] if len(words) > 1 else b"")
        if command.name in _UNCOUNTABLE:
            self._see_nothing(hold=False)
        elif command.name in (b"MULTI", b"EXEC", b"DISCARD", b"RESET"):
            self._multi = command.name == b"MULTI"
        if command.kind != Kind.READ:
            self._hold(slots_of_words(command, words))

    def _hold(self, slots: list[int]) -> None:
        new = [slot for slot in dict.fromkeys(slots) if slot not in self._held]
        if len(self._held) + len(new) > _MOST_HELD:
            new = [KEYSPACE] if KEYSPACE not in self._held else []
        if new:
            self._held.update(new)
            leased.hold(self._session, new)

    def _see_nothing(self, hold: bool = True) -> None:
        """It can't be known any more which commands pass, or which replies belong to them."""
        if hold:
            self._blind = True
            self._hold([KEYSPACE])
        else:
            self._owed = -(1 << 60)
