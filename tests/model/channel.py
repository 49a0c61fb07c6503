"""One connection of one side: it sends without ever waiting for the other to read, and sorts what arrives into replies and pushes."""

from __future__ import annotations

import copy
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Sequence

from tests.integration.wire import Address, frame_end
from tests.model.steps import Command

DEADLINE = 10.0
"""Seconds until a reply that doesn't come is a failure."""
CONFIRMATIONS = tuple(
    mark + b"3\r\n$%d\r\n%b\r\n" % (len(name), name)
    for name in (b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe", b"ssubscribe", b"sunsubscribe")
    for mark in (b"*", b">")
)
"""How the replies of SUBSCRIBE and its kin begin, which are pushes in RESP3 and yet were asked for."""
MESSAGES = (b"*3\r\n$7\r\nmessage\r\n", b"*4\r\n$8\r\npmessage\r\n", b"*3\r\n$8\r\nsmessage\r\n")
"""How what was published arrives in RESP2. No value of a plan is called so."""


class Silent(Exception):
    """Nothing came until the deadline."""


class Channel:
    """A connection to `address`. `replies` and `pushes` hold frames that nobody has taken yet."""

    def __init__(self, address: Address) -> None:
        assert not isinstance(address, str)
        self.socket = socket.create_connection(address, timeout=DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.buffer = bytearray()
        self.unsent = bytearray()
        self.replies: deque[bytes] = deque()
        self.pushes: list[bytes] = []
        self.received = 0
        self.sent = 0
        self.closed = False
        self.id = 0

    def close(self, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Give data to the other side. What it doesn't take at once is sent whenever this connection is looked at."""
        self.sent += len(data)
        self.unsent += data
        self.look(0)

    def look(self, seconds: float) -> bool:
        """Wait so long for anything to arrive or to be sent, and say whether something has."""
        if self.closed:
            return False
        writing = [self.socket] if self.unsent else []
        readable, writable, _ = select.select([self.socket], writing, [], seconds)
        try:
            if writable:
                del self.unsent[: self.socket.send(memoryview(self.unsent)[: 1 << 20].tobytes())]
            if readable:
                self._take(self.socket.recv(1 << 20))
        except BlockingIOError:
            pass
        except ConnectionError:
            self.closed = True
        return bool(readable or writable)

    def _take(self, chunk: bytes) -> None:
        self.closed = not chunk
        self.received += len(chunk)
        self.buffer += chunk
        position = 0
        while (end := frame_end(self.buffer, position)) > 0:
            frame = bytes(memoryview(self.buffer)[position:end])
            if is_push(frame):
                self.pushes.append(frame)
            else:
                self.replies.append(frame)
            position = end
        del self.buffer[:position]

    def drain(self) -> None:
        """Take whatever has arrived."""
        while self.look(0) and not self.closed:
            pass

    def until_received(self, total: int) -> None:
        """Wait until so many bytes have arrived in all. Raises Silent."""
        self._until(lambda: self.received >= total)

    def until_replied(self, count: int) -> None:
        """Wait until so many replies are there, or the other side has closed. Raises Silent."""
        self._until(lambda: len(self.replies) >= count)

    def until_closed(self) -> None:
        """Wait until the other side has closed. Raises Silent."""
        self._until(lambda: False)

    def _until(self, holds: object) -> None:
        assert callable(holds)
        deadline = time.monotonic() + DEADLINE
        while not self.closed and not holds():
            left = deadline - time.monotonic()
            if left <= 0:
                raise Silent
            self.look(left)

    def ask(self, command: Sequence[bytes]) -> bytes:
        """Send one command and give its reply. Raises Silent, and EOFError when the other side closes."""
        self.send(packed(command))
        self.until_replied(1)
        if not self.replies:
            raise EOFError
        return self.replies.popleft()


def packed(words: Sequence[bytes]) -> bytes:
    """One command as an array of bulk strings."""
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)])


def is_push(frame: bytes) -> bool:
    """Whether nobody asked for this frame."""
    if frame.startswith(b">"):
        return not frame.startswith(CONFIRMATIONS)
    return frame.startswith(MESSAGES)


class Ledger:
    """Which command each reply of one connection belongs to: replies come in the order of commands, and some have none or several.

    `waiting` holds the commands that nothing is known of yet, each with the number of its replies to come: none for one that is answered by silence.
    """

    def __init__(self) -> None:
        self.waiting: deque[tuple[Command, int]] = deque()
        self.silent = False
        self.skips = 0
        self.queued: list[Command] | None = None
        self.ending: Command = ()

    def add(self, command: Command) -> None:
        """The command was sent."""
        words = [word.upper() for word in command]
        if words[:2] == ["CLIENT", "REPLY"] and words[2:] in (["ON"], ["OFF"], ["SKIP"]) and self.queued is None:
            self.silent = words[2] == "OFF"
            self.skips = 2 if words[2] == "SKIP" else 0
        elif words == ["RESET"]:
            self.silent = False  # its own reply comes, unless that is the one that is skipped
        if self.skips or self.silent:
            self.skips -= bool(self.skips)
            self.waiting.append((command, 0))
            return
        several = words[0].endswith("SUBSCRIBE") and len(words) > 1
        self.waiting.append((command, len(words) - 1 if several else 1))

    def pass_over(self) -> None:
        """A command without a word was sent: it has no reply, and counts as the one whose reply was to be skipped (networking.c, resetClient)."""
        self.skips = 0

    def behind(self, frames: Iterable[bytes]) -> list[Command]:
        """What the server may be at when it has sent these replies: the command whose reply is the next to come, and silent ones before it."""
        later = copy.deepcopy(self)
        for frame in frames:
            later.take(frame)
        waiting = later.waiting
        heard = next((at for at, (_, left) in enumerate(waiting) if left), len(waiting))
        return [command for command, _ in list(waiting)[: heard + 1]]

    def take(self, frame: bytes) -> tuple[Command, list[Command]]:
        """The command that this reply is for, and for EXEC the commands that it ran."""
        self.take_silent()
        if self._goes_on(frame):
            return self.ending, []
        if not self.waiting:
            return ("?",), []
        command, left = self.waiting.popleft()
        if left > 1 and frame.startswith(CONFIRMATIONS):
            self.waiting.appendleft((command, left - 1))
        self.ending = command if len(command) == 1 and command[0].upper().endswith("UNSUBSCRIBE") else ()
        return command, self._ran(command, frame)

    def _goes_on(self, frame: bytes) -> bool:
        """Whether this is one more reply to an UNSUBSCRIBE without channels, which has as many as there were subscriptions."""
        if not self.ending or not frame.startswith(CONFIRMATIONS):
            return False
        name = self.ending[0].lower()
        behind = self.waiting[0][0][0].lower() if self.waiting else ""
        return b"\r\n%b\r\n" % name.encode() in frame[:32] and behind != name

    def take_silent(self) -> None:
        """The server has done what is answered by silence, up to the next command that is not."""
        while self.waiting and not self.waiting[0][1]:
            command, _ = self.waiting.popleft()
            self._ran(command, b"+OK\r\n" if command[0].upper() == "MULTI" else b"+QUEUED\r\n")

    def _ran(self, command: Command, frame: bytes) -> list[Command]:
        """What EXEC ran. Keeps the commands that a transaction holds."""
        name = command[0].upper()
        ends = name in ("EXEC", "DISCARD", "RESET") and not (name != "EXEC" and frame.startswith(b"-"))
        ran: list[Command] = []
        if self.queued is not None and ends:
            ran, self.queued = self.queued, None
        elif self.queued is not None and frame == b"+QUEUED\r\n":
            self.queued.append(command)
        elif name == "MULTI" and frame == b"+OK\r\n":
            self.queued = []
        return ran

    def due(self) -> int:
        """How many replies have not come yet."""
        return sum(left for _, left in self.waiting)

    def next(self) -> Command | None:
        """The command whose reply is the next to come."""
        return next((command for command, left in self.waiting if left), None)
