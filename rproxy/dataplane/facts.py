"""What a server states of a command: a row of its COMMAND reply, made into a `Fact`.

Called by the script that makes `command_table`, and by `commands` for what the leader knows and the table lacks. It judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Fact(NamedTuple):
    """`name` upper case, `CONFIG|GET` for a subcommand; `arity` as COMMAND says, negative for "at least"; `flags` separated by spaces; `key_specs` as
    texts that `key_specs.KeySpec` reads.
    """

    name: str
    arity: int
    flags: str
    key_specs: tuple[str, ...]


def facts_of(row: Sequence[object]) -> Iterator[Fact]:
    """The facts of a COMMAND row in RESP2 and of its subcommands (command-reply documentation, "COMMAND"). Raises ValueError where it is none."""
    try:
        name = _text(row[0]).upper()
        flags = " ".join(sorted(_text(flag).lower() for flag in _items(row[2])))
        arity = int(_text(row[1]))
        if len(row) > 8:
            specs = tuple(_spec(_pairs(spec)) for spec in _items(row[8]))
        else:
            specs = _old_spec(*(int(_text(number)) for number in row[3:6]))
        yield Fact(name, arity, flags, specs)
        for inner in _items(row[9]) if len(row) > 9 else ():
            yield from facts_of(_items(inner))
    except (IndexError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"not a row of COMMAND: {problem!r}") from problem


def _spec(spec: dict[str, object]) -> str:
    """A key specification as one line: where it begins, then where the keys are ("1 range 0 1 0", "STREAMS 1 range -1 1 2", "2 keynum 0 1 1")."""
    begin, find = _pairs(spec["begin_search"]), _pairs(spec["find_keys"])
    flags = [_text(flag).lower() for flag in _items(spec.get("flags", []))]
    if "unknown" in (_text(begin["type"]), _text(find["type"])) or "incomplete" in flags:
        return "unknown"
    where, which = _pairs(begin["spec"]), _pairs(find["spec"])
    kind = _text(find["type"])
    start = _text(where["index"]) if _text(begin["type"]) == "index" else f"{_text(where['keyword'])} {_text(where['startfrom'])}"
    names = ("lastkey", "keystep", "limit") if kind == "range" else ("keynumidx", "firstkey", "keystep")
    return " ".join([start, kind, *(_text(which[name]) for name in names)])


def _old_spec(first: int, last: int, step: int) -> tuple[str, ...]:
    """Servers before 7.0 give the first key, the last (counted from the end where negative) and the step."""
    if not first:
        return ()
    return (f"{first} range {last if last < 0 else last - first} {step} 0",)


def _items(value: object) -> Sequence[object]:
    if isinstance(value, set | frozenset):
        return sorted(value, key=_text)
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is no list")
    return value


def _pairs(value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return {_text(key): item for key, item in value.items()}
    items = _items(value)
    return {_text(key): item for key, item in zip(items[::2], items[1::2], strict=True)}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
