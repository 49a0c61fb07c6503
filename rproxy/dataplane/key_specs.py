"""Where the keys of a command stand, by key specification (Redis documentation, "Command key specifications").

Called by `commands` for `explain` and for whatever must know what a command touches. It must never raise for what a client sent: where the keys can't be
known, and where the command is malformed, there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache


class KeySpec:
    """One key specification, read from the text that `facts` writes. `known` is False for one that says only that there are keys; `fixed`: the keys
    stand at places that no word of the command changes.
    """

    __slots__ = ("known", "fixed", "_index", "_keyword", "_kind", "_numbers")

    def __init__(self, text: str) -> None:
        self._keyword = b""
        self._index = 0
        self._kind = ""
        self._numbers = (0, 1, 0)
        try:
            words = text.split()
            if not words[0].isdigit():
                self._keyword = words.pop(0).upper().encode()
            index, self._kind, first, second, third = words
            self._index = int(index)
            self._numbers = (int(first), int(second), int(third))
        except (IndexError, ValueError):
            self._kind = ""  # "unknown", or a text that nobody here has written
        step = self._numbers[1] if self._kind == "range" else self._numbers[2]
        self.known = self._kind in ("range", "keynum") and step > 0 and (bool(self._keyword) or self._index > 0)
        self.fixed = self.known and self._kind == "range" and not self._keyword

    def positions(self, args: Sequence[bytes]) -> Sequence[int] | None:
        """Where its keys stand in `args`, of which the first is the command's name. None where the specification is not known or the words don't fit it."""
        begin = self._begin(args) if self.known else -1
        if begin <= 0:
            return None if begin else ()
        return self._range(begin, len(args)) if self._kind == "range" else self._counted(begin, args)

    def _range(self, begin: int, count: int) -> Sequence[int] | None:
        last, step, limit = self._numbers
        if last >= 0:
            return range(begin, begin + last + 1, step) if begin + last < count else None
        stop = begin + (count - begin) // limit + last if limit > 1 else count + last
        return range(begin, stop + 1, step)

    def _counted(self, begin: int, args: Sequence[bytes]) -> Sequence[int] | None:
        number_at, first, step = self._numbers
        number = args[begin + number_at] if begin + number_at < len(args) else b""
        if not number.isdigit() or len(number) > 9 or number[0] == ord("0"):
            return None  # servers take "010" for no number, and without keys there is nothing to find
        found = range(begin + first, begin + first + int(number) * step, step)
        return found if found[-1] < len(args) else None

    def _begin(self, args: Sequence[bytes]) -> int:
        """Where the search for keys begins; 0 where its keyword is not there, -1 where the command is too short. As servers do (db.c,
        getKeysUsingKeySpecs), the last word is no keyword in a search forwards, the first is none in one backwards.
        """
        if not self._keyword:
            open_ended = self._kind == "range" and self._numbers[0] < 0
            return self._index if self._index < len(args) else 0 if open_ended else -1
        order = range(self._index, len(args) - 1) if self._index > 0 else range(len(args) + self._index, 1, -1)
        return next((at + 1 for at in order if args[at].upper() == self._keyword), 0)


def read(texts: Sequence[str], movable: bool = False) -> tuple[KeySpec, ...]:
    """The specifications of one command. `movable`: its flags say that the keys need more than fixed places, so fixed ones alone tell too little."""
    specs = tuple(_spec(text) for text in texts)
    return (_spec("unknown"),) if movable and specs and all(spec.fixed for spec in specs) else specs


def fixed(text: str) -> tuple[int, int]:
    """Of a specification like "1 range -2 2 0": the last key's place (counted from the end where negative, the end being -1) and the step."""
    last, step = map(int, text.split()[2:4])
    return (last if last < 0 else last + 1), step


def is_special(name: bytes) -> bool:
    """Whether this command touches others than its specifications say."""
    return name in _SPECIAL


def positions(name: bytes, specs: Sequence[KeySpec], args: Sequence[bytes]) -> list[int]:
    """Where the keys of the command `name` stand in `args`, ascending; empty where they can't be known or the command is malformed.

    What SORT and SORT_RO read by BY and GET patterns is not among them: those keys stand in no word of the command (COMMAND GETKEYS leaves them out too).
    """
    special = _SPECIAL.get(name)
    if special is not None:
        return special(args)
    found: set[int] = set()
    for spec in specs:
        places = spec.positions(args)
        if places is None:
            return []
        found.update(places)
    return sorted(found)


@lru_cache(maxsize=256)
def _spec(text: str) -> KeySpec:
    return KeySpec(text)


def _nothing(args: Sequence[bytes]) -> list[int]:
    """Channels and cursors: their specification says `not_key`."""
    return []


def _sort(args: Sequence[bytes]) -> list[int]:
    """The sorted key, and the one after the last STORE (db.c, sortGetKeys)."""
    skipped = {b"LIMIT": 2, b"GET": 1, b"BY": 1}
    stored = 0
    at = 2
    while at < len(args):
        word = args[at].upper()
        if word == b"STORE" and at + 1 < len(args):
            stored = at + 1
        at += 1 + skipped.get(word, 0)
    return [place for place in (1, stored) if 0 < place < len(args)]


def _sort_ro(args: Sequence[bytes]) -> list[int]:
    return [1] if len(args) > 1 else []


def _georadius(args: Sequence[bytes]) -> list[int]:
    """The searched key, and the one after the last STORE or STOREDIST, which may stand there more than once (db.c, georadiusGetKeys)."""
    stored = 0
    at = 5
    while at + 1 < len(args):
        if args[at].upper() in (b"STORE", b"STOREDIST"):
            at += 1
            stored = at
        at += 1
    return [place for place in (1, stored) if 0 < place < len(args)]


def _migrate(args: Sequence[bytes]) -> list[int]:
    """The one key, or where that is empty, all after KEYS (db.c, migrateGetKeys)."""
    if len(args) < 6:
        return []
    at = 6
    while not args[3] and at < len(args):
        word = args[at].upper()
        if word == b"KEYS":
            return list(range(at + 1, len(args)))
        at += {b"AUTH": 2, b"AUTH2": 3}.get(word, 1)
    return [3]


_SPECIAL: dict[bytes, Callable[[Sequence[bytes]], list[int]]] = {
    b"SORT": _sort,
    b"SORT_RO": _sort_ro,
    b"MIGRATE": _migrate,
    b"GEORADIUS": _georadius,
    b"GEORADIUSBYMEMBER": _georadius,
    **dict.fromkeys((b"SPUBLISH", b"SSUBSCRIBE", b"SUNSUBSCRIBE", b"CLUSTERSCAN"), _nothing),
}
"""Commands whose specifications say less than the servers know."""
