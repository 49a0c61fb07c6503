"""What a command touches, as slots of the freshness table.

Called by `session` and those beside it, for each read of a fresh session and for each write. Where the keys can't be known it says that all are touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rproxy.dataplane import resp
from rproxy.dataplane.freshness import KEYSPACE, LEADERS, Freshness, slot_of
from rproxy.dataplane.reach import Reach

if TYPE_CHECKING:
    from rproxy.dataplane.commands import Command

# C integers when compiled (touched.pxd), hence not to be imported from elsewhere.
_NOTHING, _FIRST, _FIXED, _ALL, _LEADER = map(int, (Reach.NOTHING, Reach.FIRST, Reach.FIXED, Reach.ALL, Reach.LEADER))
_PATTERNS = (b"BY", b"GET")


def need_of(table: Freshness, command: Command, data: bytes, pos: int, stop: int, framer: resp.RequestFramer) -> int:
    """The time that the mark of a replica must be later than, to answer the read `data[pos:stop]`; 0 for one that has to do with no key."""
    if command.reach == _FIRST:
        return table.need(slot_of(data, pos + framer.word_at, pos + framer.word_end)) if framer.argc > 1 else 0
    need = 0
    for slot in slots_of(command, data, pos, stop, framer):
        need = max(need, table.need(slot))
    return need


def slots_of(command: Command, data: bytes, pos: int, stop: int, framer: resp.RequestFramer) -> list[int]:
    """The slots that the command `data[pos:stop]`, which `framer` has just found whole (not as a line), touches."""
    reach = command.reach
    if reach == _FIRST:
        return [slot_of(data, pos + framer.word_at, pos + framer.word_end)] if framer.argc > 1 else []
    if reach == _FIXED:
        return _fixed(command, data, pos, framer)
    if reach == _NOTHING:
        return []
    return slots_of_words(command, [] if reach == _ALL else resp.split(data[pos:stop]))


def _fixed(command: Command, data: bytes, pos: int, framer: resp.RequestFramer) -> list[int]:
    """Step from argument to argument, as far as the keys go."""
    text = data
    slots: list[int] = []
    last = command.last if command.last >= 0 else framer.argc + command.last
    at, end = pos + framer.word_at, pos + framer.word_end
    index = 1
    while index <= last and index < framer.argc:
        if (index - 1) % command.step == 0:
            slots.append(slot_of(data, at, end))
        index += 1
        if index < framer.argc:
            at = end + 3  # behind CR LF and "$"
            length = 0
            while text[at] != 13:
                length = length * 10 + text[at] - 48
                at += 1
            at += 2
            end = at + length
    return slots


def slots_of_words(command: Command, words: Sequence[bytes]) -> list[int]:
    """The slots that a command touches of which `words` are the arguments, its name first."""
    if command.reach == _NOTHING:
        return []
    if command.reach == _LEADER:
        return [LEADERS]
    keys = [] if command.reach == _ALL else command.keys(words)
    if command.script_keys is not None and not command.script_keys.declared(words):
        keys = []
    if command.name == b"SORT_RO" and any(word.upper() in _PATTERNS for word in words[2:]):
        keys = []
    return [slot_of(key, 0, len(key)) for key in keys] or [KEYSPACE]


def slots_of_head(command: Command, head: bytes, framer: resp.RequestFramer) -> list[int]:
    """The slots that a command touches of which only `head` has come: its one key if that has come, else all."""
    if command.reach in (_NOTHING, _LEADER):
        return slots_of_words(command, ())
    if command.reach == _FIRST and 0 < framer.word_end <= len(head):
        return [slot_of(head, framer.word_at, framer.word_end)]
    return [KEYSPACE]


def slots_of_run(commands: dict[bytes, Command], request: bytes, count: int) -> list[int]:
    """The slots that a run of `count` commands touches."""
    framer = resp.RequestFramer()
    slots: list[int] = []
    pos = 0
    while count:
        stop = framer.scan(request, pos)
        command = commands[request[pos + framer.name_at : pos + framer.name_end].upper()]
        if command.subcommands:
            word = request[pos + framer.word_at : pos + framer.word_end]
            command = command.subcommands.get(word.upper(), command)
        slots += slots_of(command, request, pos, stop, framer)
        pos = stop
        count -= 1
    return slots
