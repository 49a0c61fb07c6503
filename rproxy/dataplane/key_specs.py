"""Where the keys of a command stand, by key specification (Redis documentation, "Command key specifications").

Called by `commands` for `explain` and for whatever must know what a command touches. It must never raise for what a client sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class KeySpec:
    """One key specification, read from the text that `facts` writes."""

    __slots__ = ("known", "_index", "_keyword", "_kind", "_numbers")

    def __init__(self, text: str) -> None:
        words = text.split()
        self.known = words[0] != "unknown"
        self._keyword = b""
        self._index = 0
        self._kind = ""
        self._numbers: tuple[int, ...] = ()
        if not self.known:
            return
        if not words[0].isdigit():
            self._keyword = words.pop(0).upper().encode()
        self._index = int(words[0])
        self._kind = words[1]
        self._numbers = tuple(int(word) for word in words[2:])

    def positions(self, args: Sequence[bytes]) -> Iterator[int]:
        """Where the keys stand in `args`, of which the first is the command's name. Nothing where the command is malformed."""
        begin = self._begin(args)
        if not self.known or not 0 < begin < len(args):
            return
        if self._kind == "range":
            last, step, limit = self._numbers
            stop = begin + last if last >= 0 else len(args) + last
            if last < 0 and limit > 1:
                stop = begin + (len(args) - begin) // limit - 1
            yield from range(begin, min(stop, len(args) - 1) + 1, step)
            return
        number_at, first, step = self._numbers
        number = args[begin + number_at] if begin + number_at < len(args) else b""
        if number.isdigit() and len(number) < 10 and int(number) <= len(args):
            start = begin + first
            yield from range(start, min(start + int(number) * step, len(args)), step)

    def _begin(self, args: Sequence[bytes]) -> int:
        """Where the search for keys begins, 0 where it does not."""
        if not self._keyword:
            return self._index
        order = range(self._index, len(args)) if self._index > 0 else range(len(args) + self._index, 0, -1)
        return next((at + 1 for at in order if args[at].upper() == self._keyword), 0)
