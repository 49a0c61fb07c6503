"""Inline commands: a line of words, with Redis's quoting, as `redis-cli` users type into telnet.

Called by `session` for each line that is not an array of bulks. It must never be called for anything else: it is slow.
"""

from __future__ import annotations

_SPACE = b" \t\n\v\f\r"
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_HEX = b"0123456789abcdefABCDEF"


def split_line(line: bytes) -> list[bytes] | None:
    """The words of an inline command, or None where quotes are not balanced.

    As `sdssplitargs` (Redis, sds.c): double quotes know `\\xHH`, `\\n`, `\\r`, `\\t`, `\\b`, `\\a`; single quotes know `\\'`; a closing quote must be
    followed by a space or the end.
    """
    words: list[bytes] = []
    pos = 0
    while True:
        while pos < len(line) and line[pos] in _SPACE:
            pos += 1
        if pos >= len(line):
            return words
        word, pos = _word(line, pos)
        if pos < 0:
            return None
        words.append(word)


def _word(line: bytes, pos: int) -> tuple[bytes, int]:
    """The word that begins at `pos` and the position after it; a negative position where its quotes are not balanced."""
    word = bytearray()
    while pos < len(line) and line[pos] not in _SPACE:
        byte = line[pos]
        if byte not in b"\"'":
            word.append(byte)
            pos += 1
            continue
        pos = _quoted(line, pos + 1, byte, word)
        if pos < 0 or (pos < len(line) and line[pos] not in _SPACE):
            return b"", -1
    return bytes(word), pos


def _quoted(line: bytes, pos: int, quote: int, word: bytearray) -> int:
    """Append what stands before the closing quote to `word`; the position after the quote, or -1 without one."""
    while pos < len(line):
        byte = line[pos]
        if byte == quote:
            return pos + 1
        if byte != 92 or pos + 1 >= len(line):
            word.append(byte)
            pos += 1
        elif quote == 34:
            pos = _escape(line, pos + 1, word)
        elif line[pos + 1] == 39:
            word.append(39)
            pos += 2
        else:
            word.append(byte)
            pos += 1
    return -1


def _escape(line: bytes, pos: int, word: bytearray) -> int:
    """Append the byte that the escape at `pos` (after its backslash) stands for; the position after it."""
    digits = line[pos + 1 : pos + 3]
    if line[pos] == 120 and len(digits) == 2 and all(digit in _HEX for digit in digits):
        word.append(int(digits, 16))
        return pos + 3
    word.append(_ESCAPES.get(line[pos], line[pos]))
    return pos + 1
