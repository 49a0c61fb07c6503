"""What one server would have answered: a client that asks everything twice, through rproxy and on one real server without replicas.

Used by the freshness tests. Both get the same commands in the same packets, one packet after another, so the single server's replies are
the right ones; what differs is remembered in `Twins.wrong`. It must never decide by itself what is right.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.integration.wire import Address, Wire, pack, value_of

ORDERLESS = (b"SMEMBERS", b"KEYS", b"SUNION", b"SINTER", b"SDIFF", b"HGETALL", b"HKEYS", b"HVALS")
"""The order of their replies depends on the server's own hash seed."""
SHOWN = 160
Command = str | Sequence[bytes | str | int]


def words_of(command: Command) -> list[bytes]:
    """The words of a command that is given as words, or as one line: quotes hold words together, and `x*9` stands for nine letters."""
    if isinstance(command, str):
        command = ["x" * int(word[2:]) if word.startswith("x*") else word for word in shlex.split(command)]
    return [word if isinstance(word, bytes) else str(word).encode() for word in command]


class Twins:
    """A crowd of clients of one proxy, each with its twin on the `oracle`, and what went wrong among them."""

    def __init__(self, proxy: Address, oracle: Address, setting: Sequence[Command] = ()) -> None:
        """Each client begins with the commands of `setting`, whose replies don't count."""
        self.addresses = (proxy, oracle)
        self.setting = setting
        self.clients: list[Twin] = []
        self.wrong: list[str] = []
        self.asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for client in self.clients:
            client.close()

    def client(self) -> Twin:
        self.clients.append(Twin(self))
        return self.clients[-1]


class Twin:
    """One client and its double."""

    def __init__(self, crowd: Twins) -> None:
        self.crowd = crowd
        self.wires = [Wire(address) for address in crowd.addresses]
        for command in crowd.setting:
            for wire in self.wires:
                wire.ask(*words_of(command))

    def close(self) -> None:
        for wire in self.wires:
            wire.close()

    def run(self, *commands: Command, cut: int = 0) -> bool:
        """Send them in one packet (or in two, cut at that byte) to both; True when all replies are the same."""
        self.send(commands, cut)
        return self.compare(commands)

    def send(self, commands: Sequence[Command], cut: int = 0) -> None:
        """Send them to both in one packet, or in two. The replies are for `compare`."""
        data = b"".join(pack(*words_of(command)) for command in commands)
        for wire in self.wires:
            if cut:
                wire.send(data[:cut])
            wire.send(data[cut:])

    def compare(self, commands: Sequence[Command]) -> bool:
        """Read the replies to these commands and note which ones differ."""
        ours, theirs = (wire.frames(len(commands)) for wire in self.wires)
        self.crowd.asked += len(commands)
        wrong = [
            f"{shown(command)} -> {shown(mine)} and not {shown(right)}"
            for command, mine, right in zip(commands, ours, theirs, strict=True)
            if mine != right and not (words_of(command)[0].upper() in ORDERLESS and alike(mine, right))
        ]
        self.crowd.wrong += wrong
        return not wrong


def alike(one: bytes, other: bytes) -> bool:
    """The same elements, in whatever order."""
    values = [value_of(frame) for frame in (one, other)]
    return all(isinstance(value, list) for value in values) and sorted(values[0]) == sorted(values[1])


def shown(what: Command | bytes) -> str:
    text = what if isinstance(what, bytes) else b" ".join(words_of(what))
    return repr(text[:SHOWN])[2:-1] + ("..." if len(text) > SHOWN else "")
