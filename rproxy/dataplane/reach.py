"""How the keys of a command are found, decided once for each command.

Called by `commands`; `touched` acts by it. It must never say less than a server may do: what is not known reaches all keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class Reach(IntEnum):
    """How the keys of a command are found."""

    NOTHING = 0  # it has to do with no key
    FIRST = 1  # its first argument is its one key
    FIXED = 2  # every `step`-th argument from `first` to `last` (negative: from the end)
    SEARCH = 3  # by its words; all keys where that finds none
    ALL = 4  # it may touch any key
    LEADER = 5  # it asks whether the leader is there


_DATA = ("EVAL", "EVALSHA", "FCALL", "DEBUG")
"""They write, although their flags don't say so (EVAL's hidden `may_replicate`, server.h; DEBUG has FLUSHALL, POPULATE, RELOAD)."""
_FUNCTIONS = ("FCALL", "FCALL_RO")
"""Nobody has seen the text of what they run."""


def reach_of(name: str, flags: frozenset[str], specs: Sequence[str], reads: bool, known: bool, declared: bool) -> Reach:
    """How to find the keys of the command `name`. `reads`: it is sent to replicas. `known`: what its flags don't say it doesn't do (a server's own command,
    not a module's). `declared`: functions are taken at their word about their keys.
    """
    if name in _FUNCTIONS and not declared:
        return Reach.ALL
    if reads and not specs and "readonly" not in flags:
        return Reach.NOTHING  # PING, ECHO
    if not reads and "write" not in flags and name not in _DATA and (known or "readonly" in flags):
        return Reach.NOTHING
    if not specs:
        return Reach.ALL
    if len(specs) > 1 or not specs[0].startswith("1 range ") or "movablekeys" in flags:
        return Reach.SEARCH
    return Reach.FIRST if specs[0] == "1 range 0 1 0" else Reach.FIXED
