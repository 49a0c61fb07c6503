"""What may differ between a server and rproxy in front of servers, each with its reason. All else must be the same, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import hiredis

from tests.model.steps import Command

Rule = Callable[[Any, Any], bool]
NEAR_SECONDS = 3
REFUSED_IN_MULTI = ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR", "HELLO")
REFUSED_CLIENT_IN_MULTI = ("TRACKING", "REPLY", "KILL", "UNBLOCK", "CACHING", "NO-EVICT", "NO-TOUCH")


def in_any_order(one: Any, other: Any) -> bool:
    """The same elements."""
    if isinstance(one, dict) or isinstance(other, dict):
        return bool(one == other)
    return (
        isinstance(one, list | set | frozenset)
        and isinstance(other, list | set | frozenset)
        and sorted(map(repr, one)) == sorted(map(repr, other))
    )


def in_pairs(one: Any, other: Any) -> bool:
    """The same pairs, in whatever order."""
    if not isinstance(one, list) or not isinstance(other, list):
        return bool(one == other)
    return in_any_order(list(zip(one[::2], one[1::2], strict=False)), list(zip(other[::2], other[1::2], strict=False)))


def near(one: Any, other: Any) -> bool:
    """Both positive and a few seconds apart at most, in seconds or milliseconds."""
    ones, others = ([value] if not isinstance(value, list) else value for value in (one, other))
    return len(ones) == len(others) and all(
        a == b or (isinstance(a, int) and isinstance(b, int) and a > 0 and b > 0 and abs(a - b) <= NEAR_SECONDS * 1000)
        for a, b in zip(ones, others, strict=True)
    )


def same_type(one: Any, other: Any) -> bool:
    return type(one) is type(other)


def but_id(one: Any, other: Any) -> bool:
    """A reply to HELLO: all but the connection's id."""
    return bool(_without(one, b"id") == _without(other, b"id"))


def _without(value: Any, name: bytes) -> Any:
    pairs = (
        value if isinstance(value, dict) else dict(zip(value[::2], value[1::2], strict=False)) if isinstance(value, list) else {}
    )
    return {key: str(what) for key, what in pairs.items() if key != name}


ENCODINGS = (b"listpack", b"skiplist", b"hashtable", b"intset", b"quicklist", b"embstr", b"raw", b"int")


def encodings(one: Any, other: Any) -> bool:
    return one in ENCODINGS and other in ENCODINGS


RULES: Mapping[str, Rule] = {
    # The order of elements depends on the hash seed of the server that answers.
    "SMEMBERS": in_any_order,
    "SUNION": in_any_order,
    "SINTER": in_any_order,
    "SDIFF": in_any_order,
    "KEYS": in_any_order,
    "HKEYS": in_any_order,
    "HVALS": in_any_order,
    "HGETALL": in_pairs,
    "PUBSUB": in_any_order,
    "COMMAND": same_type,
    "FUNCTION": same_type,
    # Time passes between the two.
    "TTL": near,
    "PTTL": near,
    "EXPIRETIME": near,
    "PEXPIRETIME": near,
    "HTTL": near,
    # Ids are each side's own.
    "HELLO": but_id,
    "CLIENT ID": same_type,
    "CLIENT GETREDIR": same_type,
    "CLIENT TRACKINGINFO": in_pairs,
    # Idle times, and how nodes of the tree are filled, which a full synchronization changes.
    "XINFO": same_type,
    "XPENDING": same_type,
    # The single server has no replicas that it could count.
    "WAIT": same_type,
    # A replica may have kept, or have been sent, a value in another encoding.
    "OBJECT": encodings,
}


def same(command: Command, ran: Sequence[Command], direct: bytes, proxied: bytes) -> bool:
    """Whether the two replies to this command, which for EXEC ran these, say the same."""
    if direct == proxied:
        return True
    if direct[:1] != proxied[:1] or direct[:1] == b"-":
        return False
    one, other = value_of(direct), value_of(proxied)
    if command[0].upper() == "EXEC":
        if not isinstance(one, list) or not isinstance(other, list) or not len(one) == len(other) == len(ran):
            return False
        return all(_alike(each, a, b) for each, a, b in zip(ran, one, other, strict=True))
    return _alike(command, one, other)


def _alike(command: Command, one: Any, other: Any) -> bool:
    if isinstance(one, hiredis.ReplyError) or isinstance(other, hiredis.ReplyError):
        return repr(one) == repr(other)
    words = [word.upper() for word in command[:2]]
    rule = RULES.get(" ".join(words)) or RULES.get(words[0])
    return bool(one == other) or (rule is not None and rule(one, other))


def value_of(frame: bytes) -> Any:
    """The reply's value, errors returned."""
    reader = hiredis.Reader()
    reader.feed(frame)
    return reader.gets()


Told = tuple[set[bytes], list[bytes]]
"""The keys that were named as changed, and all else that nobody asked for."""


def changed_keys(pushes: Sequence[bytes]) -> Told:
    """What pushes tell: the keys of invalidations (how many are named in one push depends on what the server did meanwhile), and all others, in order by
    channel. An invalidation of everything is the key `*`.
    """
    keys: set[bytes] = set()
    others: list[bytes] = []
    for push in pushes:
        value = value_of(push) if push.startswith(b">2\r\n$10\r\ninvalidate\r\n") else None
        if value is None:
            others.append(push)
        else:
            keys.update([b"*"] if value[1] is None else value[1])
    return keys, sorted(others)


def told_alike(direct: Told, proxied: Told, before: set[bytes]) -> bool:
    """Whether both were told the same, but for keys that rproxy names again that were named `before`."""
    return direct[1] == proxied[1] and direct[0] <= proxied[0] <= direct[0] | before


def late_to_tell(commands: Sequence[Command]) -> set[bytes]:
    """The keys of which one client of two may still be told that these commands of its own have changed them, since it ends its tracking among them. A server
    tells of broadcasts when it has done with a packet, and so not of what came in one packet with that end.
    """
    ends = any(
        words[0] == "RESET" or words[:2] == ["CLIENT", "TRACKING"]
        for words in ([word.upper() for word in command] for command in commands)
    )
    return {b"*", *(key.encode() for key in keys_named(commands))} if ends else set()


_KEY = re.compile(r"(c\d:)?[a-z]\d")
_WHOLE_DATABASES = ("SWAPDB", "FLUSHDB", "FLUSHALL")


def keys_named(commands: Iterable[Command]) -> set[str]:
    """The keys of the vocabulary that stand in these commands."""
    return {word for command in commands for word in command[1:] if _KEY.fullmatch(word)}


def admissible(commands: Sequence[Command], in_transaction: bool, waited_for: Collection[str] = ()) -> tuple[list[Command], bool]:
    """The commands without those that rproxy refuses in MULTI, as docs/differences.md says; and whether they leave a transaction open.

    `waited_for` are keys for which other clients are blocked. A server looks after them between two reads of input, so whether what follows in a pipeline comes
    before or after what they have sent meanwhile depends on the packets, there as here. So a command that may wake them is the last one, but for those
    that end a silence, and databases are not exchanged.
    """
    kept: list[Command] = []
    woken = False
    for command in commands:
        name = command[0].upper()
        if (waited_for and name in _WHOLE_DATABASES) or (woken and tuple(map(str.upper, command[:2])) != ("CLIENT", "REPLY")):
            continue
        if in_transaction and (
            name in REFUSED_IN_MULTI or (name == "CLIENT" and command[1:] and command[1].upper() in REFUSED_CLIENT_IN_MULTI)
        ):
            continue
        if name == "MULTI" and len(command) == 1:
            in_transaction = True
        elif name == "EXEC" or (name in ("DISCARD", "RESET") and len(command) == 1):
            in_transaction = False
        kept.append(command)
        woken = woken or bool(waited_for) and (name == "EXEC" or bool(keys_named([command]) & set(waited_for)))
    return kept, in_transaction


STATE = ("name", "db", "sub", "psub", "ssub", "user", "resp", "lib-name", "lib-ver")
"""The fields of CLIENT LIST in which rproxy's idea of a session must be the server's."""
FLAGS = "xPtBT"
"""Of the flags: in a transaction, subscribed, tracking, broadcast, no-touch."""


def state(row: Mapping[str, str]) -> dict[str, str]:
    """What a row of CLIENT LIST says of the session."""
    return {
        **{name: row.get(name, "") for name in STATE},
        "flags": "".join(flag for flag in FLAGS if flag in row.get("flags", "")),
    }
