"""Inline commands: a line of words, with Redis's quoting, as `redis-cli` users type into telnet.

Called by `session` for each line that is not an array of bulks. Anybody may send such lines, also before a login, so a long one must not cost much more
than it costs a server: where no quote stands in it, C code splits it; else it is gone through byte by byte, in C integers when compiled (inline.pxd).
"""

from __future__ import annotations

_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}


def split_line(line: bytes) -> list[bytes] | None:
    """The words of an inline command, or None where quotes are not balanced.

    As `sdssplitargs` (Redis, sds.c): double quotes know `\\xHH`, `\\n`, `\\r`, `\\t`, `\\b`, `\\a`; single quotes know `\\'`; a closing quote must be
    followed by a space or the end.
    """
    if b'"' not in line and b"'" not in line:
        return line.split()
    words: list[bytes] = []
    text, pos, end = line, 0, len(line)
    while True:
        while pos < end and _is_space(text[pos]):
            pos += 1
        if pos >= end:
            return words
        word = bytearray()
        pos = _word(line, pos, word)
        if pos < 0:
            return None
        words.append(bytes(word))


def _is_space(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


def _hex_digit(byte: int) -> int:
    """What a hexadecimal digit stands for; -1 of any other byte."""
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    return byte - 55 if 65 <= byte <= 70 else -1


def _word(line: bytes, pos: int, word: bytearray) -> int:
    """Append the word that begins at `pos`; the position after it, or -1 where its quotes are not balanced."""
    text, end = line, len(line)
    while pos < end:
        byte = text[pos]
        if _is_space(byte):
            break
        if byte != 34 and byte != 39:
            word.append(byte)
            pos += 1
            continue
        pos = _quoted(line, pos + 1, byte, word)
        if pos >= 0 and pos < end and not _is_space(text[pos]):
            return -1
        break
    return pos


def _quoted(line: bytes, pos: int, quote: int, word: bytearray) -> int:
    """Append what stands before the closing quote to `word`; the position after the quote, or -1 without one."""
    text, end = line, len(line)
    while pos < end:
        byte = text[pos]
        if byte == quote:
            return pos + 1
        if byte != 92 or pos + 1 >= end:
            word.append(byte)
            pos += 1
        elif quote == 34:
            pos = _escape(line, pos + 1, word)
        elif text[pos + 1] == 39:
            word.append(39)
            pos += 2
        else:
            word.append(byte)
            pos += 1
    return -1


def _escape(line: bytes, pos: int, word: bytearray) -> int:
    """Append the byte that the escape at `pos` (after its backslash) stands for; the position after it."""
    text = line
    if text[pos] == 120 and pos + 2 < len(line):
        high, low = _hex_digit(text[pos + 1]), _hex_digit(text[pos + 2])
        if high >= 0 and low >= 0:
            word.append(16 * high + low)
            return pos + 3
    byte = text[pos]
    word.append(_ESCAPES.get(byte, byte))
    return pos + 1
