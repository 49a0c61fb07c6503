"""Which Lua scripts touch no other keys than those that they are given, as far as their text shows it.

Owned by the command table, and asked for each script where the settings don't vouch for all of them. A script that writes a key which it was not given
leaves no trace by which a replica could be found to lack it, so it counts as a write of all keys unless its text proves that it does not. The proof is
simple, and it must never err on the other side: whatever is not understood proves nothing.

It holds where every use of `redis` is a call of a command that is named by a string, with `KEYS[...]` itself, or a variable that was only ever set to that,
wherever the command has a key; where KEYS is not changed; and where nothing is used by which Lua could do otherwise (`load`, `_G`, metatables ...). Source of
the grammar: Lua 5.1 reference manual, sections 2.1 to 2.5; of what scripts have: https://redis.io/docs/latest/develop/programmability/lua-api/.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence

MOST_KNOWN = 1024
"""Scripts of which the verdict is remembered. Of one that was forgotten, EVALSHA counts as a write of all keys until its text is seen again."""
LONGEST = 16 * 1024
"""Bytes of a text above which nothing is proved: to look at more takes too long."""

KeyPlaces = Callable[[bytes, int], Sequence[int] | None]
"""Of a command's name and its number of words, its name included: at which of them it has keys. None where that is not known, or depends on more."""

_TOKEN = re.compile(
    rb"""(?P<space>\s+)
    |(?P<long>(?P<comment>--)?\[(?P<level>=*)\[)
    |(?P<line>--[^\n\r]*)
    |(?P<string>"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*|0[xX][0-9A-Fa-f]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<sign>\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^\#<>=(){}\[\];:,.])""",
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(rb"[A-Za-z_]")
_SIMPLE = re.compile(rb"[A-Za-z]+")
_NEVER = frozenset(
    b"_G _ENV load loadstring loadfile dofile require module getfenv setfenv getmetatable setmetatable rawget rawset debug newproxy server xpcall "
    b"coroutine goto".split()
)
"""Names by which a script could do what its text does not show."""
_HARMLESS = frozenset(
    b"error_reply status_reply sha1hex log setresp replicate_commands LOG_DEBUG LOG_VERBOSE LOG_NOTICE LOG_WARNING REDIS_VERSION REDIS_VERSION_NUM".split()
)
"""Of `redis`, what runs no command."""
_OPENING = (b"(", b"[", b"{")
_CLOSING = {b")": b"(", b"]": b"[", b"}": b"{"}
_LONGEST_NAME = 16
"""Tokens in the name of a function."""
_LOOPS = (b"ipairs", b"pairs")
_READERS = (b"unpack", *_LOOPS)
"""Functions that may be given KEYS: they leave it as it is."""


class ScriptKeys:
    """The verdicts, by the digest of a script's text. `places`: where commands have keys."""

    def __init__(self, places: KeyPlaces) -> None:
        self._places = places
        self._verdicts: dict[bytes, bool] = {}

    def learn(self, source: bytes) -> bool:
        """Look at a script's text: whether it is proved that it touches only the keys that it is given."""
        digest = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()
        verdict = self._verdicts.pop(digest, None)
        if verdict is None:
            verdict = len(source) <= LONGEST and proves(source, self._places)
            if len(self._verdicts) >= MOST_KNOWN:
                del self._verdicts[next(iter(self._verdicts))]
        self._verdicts[digest] = verdict  # behind the others: it was used last
        return verdict

    def declared(self, args: Sequence[bytes]) -> bool:
        """Whether the script of this EVAL, EVALSHA, EVAL_RO or EVALSHA_RO is proved to touch only the keys among its arguments."""
        if len(args) < 2:
            return False
        if b"SHA" in args[0].upper():
            return self._verdicts.get(args[1].lower(), False)
        return self.learn(args[1])


def proves(source: bytes, places: KeyPlaces) -> bool:
    """Whether this text proves that the script touches only the keys that it is given. Takes time by the length of the text."""
    try:
        return _Script(list(_tokens(source)), places).is_proved()
    except ValueError:
        return False


def _tokens(source: bytes) -> Iterator[bytes]:
    """The tokens of a Lua text, without comments; a string begins with a quotation mark, whichever it has. Raises ValueError where it is not Lua."""
    pos = (source.find(b"\n") + 1 or len(source)) if source.startswith(b"#!") else 0
    while pos < len(source):
        found = _TOKEN.match(source, pos)
        if found is None:
            raise ValueError("not a token of Lua")
        pos = found.end()
        if found["long"] is not None:
            pos = source.index(b"]" + found["level"] + b"]", pos) + 2 + len(found["level"])
            if found["comment"] is None:
                yield b'"'  # a string whose words don't matter: it is never a command's name
        elif found["string"] is not None:
            yield b'"' + found["string"][1:-1]
        elif found["word"] is not None or found["sign"] is not None:
            yield found[0]


class _Script:
    """A script's tokens. `_partners`: for each bracket the one that closes it, or that it closes."""

    def __init__(self, tokens: list[bytes], places: KeyPlaces) -> None:
        self._end = len(tokens)
        self._tokens = [*tokens, *[b""] * 8]
        self._places = places
        self._partners = _partners(tokens)
        self._set: dict[bytes, int] = {}
        """How often each name is declared or given a value."""
        self._given: dict[bytes, int] = {}
        """How often that is an element of KEYS."""
        self._changed: set[bytes] = set()
        """Of which tables a field is given a value."""

    def is_proved(self) -> bool:
        """Whether every use of every name is understood. Raises ValueError where one is not."""
        for at in range(self._end):
            self._note_names(at)
        if b"KEYS" in self._changed or any(name in self._set for name in (b"KEYS", b"redis", *_READERS)):
            return False
        return all(self._is_understood(at) for at in range(self._end))

    def _note_names(self, at: int) -> None:
        """Note which names are declared here, or given a value."""
        token = self._tokens[at]
        if token == b"local" and self._tokens[at + 1] != b"function":
            names, end = self._names(at + 1)
            if len(names) == 1 and self._tokens[end] == b"=" and self._is_element_alone(end + 1):
                self._count(self._given, names)
            self._count(self._set, names)
        elif token == b"for":
            names, end = self._names(at + 1)
            if len(names) == 2 and self._tokens[end : end + 6] == [b"in", b"ipairs", b"(", b"KEYS", b")", b"do"]:
                self._count(self._given, names[1:])
            self._count(self._set, names)
        elif token == b"function":
            self._count(self._set, self._names_of_function(at + 1))
        elif token == b"=":
            self._note_targets(at - 1)

    def _count(self, counts: dict[bytes, int], names: list[bytes]) -> None:
        for name in names:
            counts[name] = counts.get(name, 0) + 1

    def _names(self, at: int) -> tuple[list[bytes], int]:
        """Names with commas between them from here on, and where what is behind them begins."""
        names = [self._tokens[at]]
        while self._tokens[at + 1] == b",":
            at += 2
            names.append(self._tokens[at])
        return names, at + 1

    def _names_of_function(self, at: int) -> list[bytes]:
        """The name, if it has one, and the parameters of a function."""
        names = []
        while self._tokens[at] != b"(":
            names.append(self._tokens[at])
            at += 1
            if len(names) > _LONGEST_NAME:
                raise ValueError("a function of this name is not understood")
        return names + self._names(at + 1)[0]

    def _note_targets(self, at: int) -> None:
        """Note what is given a value by the assignment whose last target ends here: names, or fields of what has a name. Raises ValueError as below."""
        if at < 0:
            raise ValueError("an assignment to nothing")
        while self._tokens[at] == b"]" or _NAME.match(
            self._tokens[at]
        ):  # else it is a value in a table, and what is given one is a field of that
            last, at = at, self._begin_of_target(at)
            if at < 0:
                return
            if at < last:
                self._changed.add(self._tokens[at])
            elif at == 0 or self._tokens[at - 1] != b"local":
                self._count(self._set, [self._tokens[at]])
            if at < 2 or self._tokens[at - 1] != b",":
                return
            at -= 2

    def _begin_of_target(self, last: int) -> int:
        """Where the name stands with which a target begins that ends here; negative for a key in brackets of a table. Raises ValueError for one that begins
        with anything else than a name: what stands before it would not be seen.
        """
        at = last
        while self._tokens[at] in (b"]", b")") or (at > 0 and self._tokens[at - 1] in (b".", b":")):
            at = self._partners[at] - 1 if self._tokens[at] in (b"]", b")") else at - 2
        if self._tokens[last] == b"]" and at == self._partners[last] - 1 and self._tokens[at] in (b"{", b",", b";"):
            return -1
        if at < 0 or not _NAME.match(self._tokens[at]):
            raise ValueError("a target of an assignment that is not understood")
        return at

    def _is_element_alone(self, at: int) -> bool:
        """Whether a value begins here that is an element of KEYS, with no operator, call or index behind it."""
        end = self._element(at) if self._tokens[at] == b"KEYS" else 0
        behind = self._tokens[end]
        return bool(end) and (not behind or behind == b";" or (behind not in (b"and", b"or") and bool(_SIMPLE.match(behind))))

    def _is_understood(self, at: int) -> bool:
        token = self._tokens[at]
        before = self._tokens[at - 1] if at else b""
        if token in _NEVER:
            return False
        if before in (b".", b":"):
            return True  # a field of something; one of `redis` was looked at with that
        if token == b"redis":
            return self._is_harmless(at)
        if token == b"KEYS" and self._tokens[at + 1] == b"[":
            return True  # nothing is assigned to it
        if token == b"KEYS" and before == b"#":
            return self._tokens[at + 1] not in (b".", b":", b"(")
        return token != b"KEYS" or self._is_only_read(at)

    def _is_only_read(self, at: int) -> bool:
        """Whether KEYS is here given to `unpack` alone, or is gone through by a loop. Elsewhere `ipairs` and `pairs` give the table itself on."""
        tokens = self._tokens
        if at < 3 or tokens[at - 1] != b"(" or tokens[at + 1] != b")":
            return False
        if tokens[at - 2] == b"unpack":
            return tokens[at - 3] not in (b".", b":")
        return tokens[at - 2] in _LOOPS and tokens[at - 3] == b"in" and tokens[at + 2] == b"do"

    def _element(self, at: int) -> int:
        """Where an element of KEYS ends that begins here, or a variable that holds nothing else; 0 where there is none."""
        token = self._tokens[at]
        if token == b"KEYS" and self._tokens[at + 1] == b"[":
            return self._partners[at + 1] + 1
        count = self._given.get(token, 0)
        return at + 1 if count and count == self._set.get(token) else 0

    def _is_harmless(self, at: int) -> bool:
        """Whether this use of `redis` runs no command, or one on keys that the script was given."""
        dot, what, opening, name, behind = (self._tokens[at + place] for place in range(1, 6))
        if dot != b".":
            return False
        if what in _HARMLESS:
            return opening != b"="
        if what not in (b"call", b"pcall") or opening != b"(" or name[:1] != b'"':
            return False
        if not _SIMPLE.fullmatch(name[1:]) or behind not in (b",", b")"):
            return False
        return self._takes_given_keys(name[1:], self._arguments(at + 3))

    def _arguments(self, opening: int) -> list[int]:
        """Where the arguments of this call begin, without the first."""
        found: list[int] = []
        at, end = opening + 1, self._partners[opening]
        while at < end:
            if self._tokens[at] == b",":
                found.append(at + 1)
            at = self._partners[at] + 1 if self._tokens[at] in _OPENING else at + 1
        return found

    def _takes_given_keys(self, name: bytes, arguments: list[int]) -> bool:
        """Whether the call of this command has elements of KEYS wherever the command has keys."""
        count = len(arguments) + 1
        places = self._places(name, count)
        if places is None:
            return False
        if len(arguments) == 1 and self._tokens[arguments[0] : arguments[0] + 5] == [b"unpack", b"(", b"KEYS", b")", b")"]:
            return True  # whatever is a key is an element
        if arguments and self._may_be_several(arguments[-1]) and self._places(name, count + 1) != places:
            return False
        for place in places:
            end = self._element(arguments[place - 1]) if place <= len(arguments) else 0
            if not end or self._tokens[end] not in (b",", b")"):
                return False
        return True

    def _may_be_several(self, at: int) -> bool:
        """Whether the last argument may have several values: it is more than a word, a string or an element."""
        end = self._element(at) or at + 1
        return self._tokens[at] == b"..." or self._tokens[end] != b")"


def _partners(tokens: list[bytes]) -> dict[int, int]:
    """For each bracket the one that closes it, or that it closes. Raises ValueError where one has none."""
    partners: dict[int, int] = {}
    opened: list[int] = []
    for at, token in enumerate(tokens):
        if token in _OPENING:
            opened.append(at)
        elif token in _CLOSING:
            if not opened or tokens[opened[-1]] != _CLOSING[token]:
                raise ValueError("a bracket that closes nothing")
            partners[at] = opened.pop()
            partners[partners[at]] = at
    if opened:
        raise ValueError("a bracket that is not closed")
    return partners
