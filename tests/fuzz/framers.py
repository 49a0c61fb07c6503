"""The framers as a fuzz target: however the same bytes are cut into pieces, the same frames come out, and a command's words are where the framer says."""

from __future__ import annotations

from rproxy.dataplane import resp, touched
from rproxy.dataplane.commands import CommandTable

BROKEN = -2
MORE = -1
CUTS = 8
NAMES = (b"MGET", b"MSET", b"DEL", b"GET", b"SET", b"SINTERSTORE", b"BITOP", b"RENAME", b"EVAL", b"XREAD", b"ZUNION")
TABLE = CommandTable(None)
Frame = tuple[object, ...]


def one_input(data: bytes) -> None:
    """The first byte chooses the framer, the next ones where to cut; the rest is what arrives. Raises AssertionError."""
    if len(data) < CUTS + 2:
        return
    stream = data[CUTS + 1 :]
    cuts = sorted({(byte * 251 + number) % len(stream) for number, byte in enumerate(data[1 : CUTS + 1])} - {0})
    frames = requests if data[0] % 2 else replies
    whole = frames(stream, [])
    for some in (cuts, list(range(1, len(stream))) if len(stream) < 600 else []):
        assert frames(stream, some) == whole, f"cut at {some}: {frames(stream, some)} and not {whole}"
    if data[0] % 2:
        _words(stream)


def _pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    return [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def requests(stream: bytes, cuts: list[int]) -> list[Frame]:
    """Where each command ends, how many words it has, whether it is inline."""
    framer = resp.RequestFramer()
    found: list[Frame] = []
    before = 0
    for piece in _pieces(stream, cuts):
        position = 0
        while position < len(piece):
            stop = framer.scan(piece, position)
            if stop == BROKEN:
                return [*found, ("broken", framer.problem)]
            if stop == MORE:
                break
            found.append((before + stop, framer.argc, framer.inline))
            position = stop
        before += len(piece)
    return found


def replies(stream: bytes, cuts: list[int]) -> list[Frame]:
    """Where each reply ends, and its type."""
    framer = resp.ReplyFramer()
    found: list[Frame] = []
    before = 0
    for piece in _pieces(stream, cuts):
        position = 0
        while position < len(piece):
            stop = framer.scan(piece, position)
            if stop == BROKEN:
                return [*found, ("broken", framer.problem)]
            if stop == MORE:
                break
            found.append((before + stop, framer.kind))
            position = stop
        before += len(piece)
    return found


def _words(stream: bytes) -> None:
    """The words of each whole command are those that a split finds, and its keys can be named for any command."""
    framer = resp.RequestFramer()
    position = 0
    while position < len(stream) and (stop := framer.scan(stream, position)) > 0:
        if framer.argc and not framer.inline:
            words = resp.split(stream[position:stop])
            assert len(words) == framer.argc
            assert words[0] == stream[position + framer.name_at : position + framer.name_end]
            assert framer.argc == 1 or words[1] == stream[position + framer.word_at : position + framer.word_end]
            for name in NAMES:
                command = TABLE.find(name)
                assert command is not None
                touched.slots_of(command, stream, position, stop, framer)
        position = stop
