"""Finds where commands and replies end, however their bytes are cut. Never builds values.

Called by `session` (what clients send) and `upstream` (what servers send). A framer keeps integers only: each byte is looked at once, in the piece
in which it came, and a value's own bytes are stepped over. It must never keep a client's bytes, nor reserve memory by a number that a peer sent.

Strict where servers differ: a line end is CR LF (Valkey 9.1 demands it, Redis 7.0 steps over any two bytes), so that nothing which one server
takes for a command breaks the shared connection to another.
"""

from __future__ import annotations

from rproxy import errors

MORE = -1
"""Returned by `scan`: the piece is used up and the frame has not ended."""
BROKEN = -2
"""Returned by `scan`: the bytes break the protocol; `problem` says how."""

PUSH = 62
"""The `kind` of a reply that is a push, out of band."""
ERROR = 45
"""The `kind` of a reply that is an error."""

# C integers when compiled (resp.pxd), hence not to be imported from elsewhere.
_MORE, _BROKEN = MORE, BROKEN
_MAX_BULK = 512 * 1024 * 1024  # bytes of one argument: proto-max-bulk-len's default (redis.conf)
_MAX_ARGUMENTS = 1024 * 1024
_MAX_STRANGERS_ARGUMENTS = 10  # before AUTH, where that is wanted (networking.c, processMultibulkBuffer)
_MAX_STRANGERS_BULK = 16 * 1024
_MAX_LINE = 64 * 1024  # bytes of an inline command or a header line: PROTO_INLINE_MAX_SIZE (server.h)
_MAX_DEPTH = 10_000  # how deep replies may nest; a script's end at the depth of Lua's stack, 8,000 (luaconf.h, LUAI_MAXCSTACK)
# What is wrong with a header, as bits; `_NO_TYPE` plus the byte that stands where `$` should.
_NO_NUMBER, _MINUS, _NO_TYPE = 256, 512, 1024
# Where a framer stands.
_START, _COUNT, _COUNT_LF, _TYPE, _LENGTH, _LENGTH_LF, _BODY, _BODY_CR, _BODY_LF, _LINE, _LINE_LF = range(11)


def _short_string(text: bytes, pos: int, end: int) -> int:
    """The string at `text[pos]`, if it is there as a whole and shorter than 1000 bytes: where its bytes begin, times 1024, plus how many they are; else 0."""
    # Measured: 560 instructions less for a SET of 100 bytes than byte by byte, and 270 for a reply of 100 bytes.
    if end - pos < 6 or text[pos] != 36 or not 48 <= text[pos + 1] <= 57:
        return 0
    length = text[pos + 1] - 48
    at = pos + 2
    while 0 < length < 100 and 48 <= text[at] <= 57:
        length = length * 10 + text[at] - 48
        at += 1
    stop = at + 2 + length
    if text[at] != 13 or text[at + 1] != 10 or stop + 2 > end or text[stop] != 13 or text[stop + 1] != 10:
        return 0
    return at + 2 << 10 | length


class RequestFramer:
    """Where each command of one client ends.

    After `scan` returned a position, `argc` is the number of arguments (0: an empty line or `*0`, to be ignored), `inline` says that the command is a
    line, and `name_at`, `name_end`, `word_at`, `word_end` are where its first and second argument stand, counted from the command's first byte.
    `stranger`: only small commands are taken.
    """

    __slots__ = (
        "argc", "inline", "name_at", "name_end", "word_at", "word_end", "problem", "stranger",
        "_state", "_size", "_left", "_number", "_digits", "_odd", "_line", "_seen",
    )  # fmt: skip

    def __init__(self) -> None:
        self.problem: bytes = b""
        self.stranger = False
        self._reset()

    def _reset(self) -> None:
        self._state = _START
        self._size = self._left = self._number = self._digits = self._odd = self._line = self._seen = 0
        self.argc = self.name_at = self.name_end = self.word_at = self.word_end = 0
        self.inline = False

    @property
    def size(self) -> int:
        """Bytes that the command under way has at least: what came of it, and what its last header announced."""
        return self._size + (self._number if self._state == _BODY else 0)

    @property
    def named(self) -> bool:
        """Whether the name of the command under way has come whole."""
        return not self.inline and self._seen > 0

    def scan(self, data: bytes, pos: int) -> int:
        """Scan on at `data[pos]`; return the position after the command's last byte, `MORE` or `BROKEN`."""
        if self._state == _START and pos < len(data):
            self._reset()
            self._size = self._begin(data, pos)
            pos += self._size
        if self.inline:
            return self._scan_line(data, pos)
        if self._state == _TYPE:
            stop = self._step_over(data, pos, pos - self._size)
            if self._left == 0:
                self._state = _START
                return stop
            self._size += stop - pos
            pos = stop
        return self._scan_arguments(data, pos)

    def _begin(self, data: bytes, pos: int) -> int:
        """See what a command begins with; how many bytes that is: none of a line, of an array its count where that is one digit, else its type."""
        text = data
        if text[pos] != 42:
            self.inline = True
            self._state = _LINE
            return 0
        if len(data) - pos > 3 and 49 <= text[pos + 1] <= 57 and text[pos + 2] == 13 and text[pos + 3] == 10:
            self._left = self.argc = text[pos + 1] - 48
            self._state = _TYPE
            return 4
        self._state = _COUNT
        return 1

    def _scan_line(self, data: bytes, pos: int) -> int:
        stop = -1 if self._odd else data.find(b"\n", pos)
        if data.find(b"\0", pos, stop if stop >= 0 else len(data)) >= 0:
            # A server looks for the line's end with strchr and sees none behind a NUL (networking.c, processInlineBuffer).
            self._odd = 1
            stop = -1
        length = (len(data) if stop < 0 else stop + 1) - pos
        if self._size + length > _MAX_LINE:
            return self._fail(errors.TOO_BIG_INLINE)
        if stop < 0:
            self._size += length
            return _MORE
        self._state = _START
        self.argc = 1 if self._size + length > 2 else 0
        return stop + 1

    def _scan_arguments(self, data: bytes, pos: int) -> int:
        text, start, end = data, pos, len(data)
        state, number = self._state, self._number
        while pos < end:
            if state == _BODY:
                if end - pos <= number:
                    number -= end - pos
                    pos = end
                    break
                pos += number
                state = _BODY_CR
            byte = text[pos]
            pos += 1
            if state == _LENGTH or state == _COUNT:
                self._line += 1
                if 48 <= byte <= 57 and self._digits < 18:
                    if number == 0 and self._digits:
                        self._odd |= _NO_NUMBER
                    number = number * 10 + byte - 48
                    self._digits += 1
                elif byte == 13:
                    state += 1
                else:
                    self._odd |= _MINUS if byte == 45 and self._line == 1 else _NO_NUMBER
                if self._line > _MAX_LINE:
                    return self._fail(errors.TOO_BIG_COUNT if state == _COUNT else errors.TOO_BIG_BULK_HEADER)
            elif state == _LENGTH_LF:
                if not self._open_argument(byte, number, self._size + pos - start):
                    return _BROKEN
                state = _BODY
            elif state == _BODY_CR:
                if byte != 13:
                    return self._fail(errors.INVALID_CRLF)
                state = _BODY_LF
            elif state == _TYPE:
                number = self._digits = self._line = 0
                self._odd = 0 if byte == 36 else _NO_TYPE + byte
                state = _LENGTH if byte != 13 else _LENGTH_LF
            else:
                if not (self._open_command(byte, number) if state == _COUNT_LF else self._close_argument(byte)):
                    return _BROKEN
                if self._left == 0:
                    self._state = _START
                    return pos
                state = _TYPE
        self._state, self._number = state, number
        self._size += pos - start
        return _MORE

    def _step_over(self, data: bytes, pos: int, base: int) -> int:
        """Where the arguments end that are whole and shorter than 1000 bytes, from `data[pos]` on; the others go byte by byte. The command began at `base`."""
        text, end = data, len(data)
        while self._left and (found := _short_string(text, pos, end)):
            at = found >> 10
            stop = at + (found & 1023)
            if self._seen == 0:
                self.name_at, self.name_end = at - base, stop - base
            elif self._seen == 1:
                self.word_at, self.word_end = at - base, stop - base
            pos = stop + 2
            self._left -= 1
            self._seen += 1
        return pos

    def _close_argument(self, byte: int) -> bool:
        """The line end behind an argument is whole with `byte`."""
        if byte != 10:
            return self._refuse(errors.INVALID_CRLF)
        self._left -= 1
        self._seen += 1
        return True

    def _open_command(self, byte: int, number: int) -> bool:
        """The line that counts the arguments has ended with `byte`."""
        negative = self._odd == _MINUS and number > 0
        if self._digits == 0 or (self._odd and not negative) or number > _MAX_ARGUMENTS and not negative:
            return self._refuse(errors.INVALID_MULTIBULK)
        if number > _MAX_STRANGERS_ARGUMENTS and self.stranger and not negative:
            return self._refuse(errors.STRANGERS_MULTIBULK)
        if byte != 10:
            return self._refuse(errors.INVALID_CRLF)
        self.argc = self._left = 0 if negative else number
        return True

    def _open_argument(self, byte: int, number: int, at: int) -> bool:
        """The line that announces an argument of `number` bytes has ended with `byte`; its first byte stands `at`."""
        if self._odd >= _NO_TYPE:
            return self._refuse(b"expected '$', got '%c'" % (b" " if (odd := self._odd & 255) in (10, 13) else odd))
        if self._digits == 0 or self._odd or number > _MAX_BULK:
            return self._refuse(errors.INVALID_BULK)
        if number > _MAX_STRANGERS_BULK and self.stranger:
            return self._refuse(errors.STRANGERS_BULK)
        if byte != 10:
            return self._refuse(errors.INVALID_CRLF)
        if self._left == self.argc:
            self.name_at, self.name_end = at, at + number
        elif self._left == self.argc - 1:
            self.word_at, self.word_end = at, at + number
        return True

    def _refuse(self, problem: bytes) -> bool:
        self.problem = problem
        return False

    def _fail(self, problem: bytes) -> int:
        self.problem = problem
        return _BROKEN


class ReplyFramer:
    """Where each reply of one server ends: all types of RESP2 and RESP3, nested, with attributes.

    After `scan` returned a position, `kind` is the reply's type byte (`ERROR`, `PUSH`, ...; an attribute's own reply counts). Streamed strings and
    aggregates (`$?`, `*?`), which no server sends, break the protocol.
    """

    __slots__ = ("kind", "problem", "_state", "_number", "_digits", "_type", "_line", "_left", "_outer")

    def __init__(self) -> None:
        self.kind = 0
        self.problem: bytes = b""
        self._state = _START
        self._number = self._digits = self._type = self._line = self._left = 0
        # What is left of the levels above, innermost last: twice the number of values, plus one for an attribute, or a push within a
        # reply, which are no values themselves.
        self._outer: list[int] = []

    def within(self) -> bool:
        """Whether the bytes scanned last ended within a reply."""
        return self._state != _START

    def announced(self) -> int:
        """Bytes that the string under way still has, as far as its header has said so."""
        return self._number if self._state == _BODY else 0

    def scan(self, data: bytes, pos: int) -> int:
        """Scan on at `data[pos]`; return the position after the reply's last byte, `MORE` or `BROKEN`."""
        text, end, state, number = data, len(data), self._state, self._number
        if state == _START and (found := _short_string(text, pos, end)):
            self.kind = 36
            return (found >> 10) + (found & 1023) + 2
        while pos < end:
            if state == _BODY:
                if end - pos <= number:
                    number -= end - pos
                    pos = end
                    break
                pos += number
                state = _BODY_CR
            byte = text[pos]
            pos += 1
            if state == _LENGTH and 48 <= byte <= 57 and self._digits < 18:
                number = number * 10 + byte - 48
                self._digits += 1
            elif state == _LINE:
                while byte != 13 and pos < end:  # as long as it likes: a script's status, a line of MONITOR
                    byte = text[pos]
                    pos += 1
                if byte == 13:
                    state = _LINE_LF
            elif state == _BODY_CR or state == _LENGTH:
                if byte == 13 and (state == _BODY_CR or self._digits):
                    state += 1
                elif byte == 45 and state == _LENGTH and not self._line and not self._digits:
                    self._line = 1
                else:
                    return self._fail(b"invalid length")
            elif state == _START or state == _TYPE:
                state = self._open_value(byte, state)
                if state == _START:
                    return _BROKEN
                number = 0
            else:
                state = self._end_line(byte, state, number)
                if state == _START:
                    return _BROKEN
                if state == _TYPE and self._left == 0 and self._close_value():
                    self._state = _START
                    return pos
        self._state, self._number = state, number
        return _MORE

    def _end_line(self, byte: int, state: int, number: int) -> int:
        """The next state after a line end, `_START` where it is wrong: `_BODY`, or `_TYPE` with the values to come in `_left`."""
        if byte != 10:
            self.problem = b"invalid line end"
            return _START
        if state == _LENGTH_LF:
            return self._open_length(number)
        self._left -= 1
        return _TYPE

    def _open_value(self, byte: int, state: int) -> int:
        """The next state after the type byte of a value, `_START` where it is none."""
        self._type = byte
        self._digits = 0
        self._line = 0
        if state == _START:
            self._left = 1
        if not self._outer or len(self._outer) == 1 and self._outer[0] & 1:
            self.kind = byte
        if byte in b"$*%~>=!|":
            return _LENGTH
        if byte in b"+-:,(#_":
            return _LINE
        self.problem = b"unknown reply type"
        return _START

    def _open_length(self, number: int) -> int:
        """The next state after a header line: `_BODY`, `_TYPE` (with the values to come in `_left`), or `_START` where it is wrong."""
        if self._line and number != 1:
            self.problem = b"invalid length"
            return _START
        if self._line:
            self._left -= 1
            return _TYPE
        if self._type in b"$=!":
            return _BODY
        if len(self._outer) >= _MAX_DEPTH:
            self.problem = b"nested too deep"
            return _START
        aside = self._type == 124 or (self._type == 62 and len(self._outer) > 0)
        self._outer.append(self._left * 2 + (1 if aside else 0))
        self._left = number * 2 if self._type in b"%|" else number
        return _TYPE

    def _close_value(self) -> bool:
        """Leave the levels that are complete; True when the whole reply is."""
        while self._left == 0:
            if not self._outer:
                return True
            outer = self._outer.pop()
            self._left = outer // 2 - (0 if outer & 1 else 1)
        return False

    def _fail(self, problem: bytes) -> int:
        self.problem = problem
        return _BROKEN


def encode(words: list[bytes]) -> bytes:
    """A command as an array of bulks."""
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def bulk(value: bytes) -> bytes:
    """A reply that is one bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def split(frame: bytes) -> list[bytes]:
    """The arguments of a command that `RequestFramer` has found whole (an array of bulks, not a line)."""
    words = []
    pos = frame.index(b"\n") + 1
    while pos < len(frame):
        stop = frame.index(b"\r", pos)
        at = stop + 2
        pos = at + int(frame[pos + 1 : stop])
        words.append(frame[at:pos])
        pos += 2
    return words
