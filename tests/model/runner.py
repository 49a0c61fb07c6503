"""Runs a plan on both sides, step by step, and says where they differ first.

The single server tells how much it has read of each connection and written to it (CLIENT LIST), so it is known without waiting which replies belong to a
step; rproxy has to give as many, and nothing else.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.integration.wire import Wire
from tests.model import differences
from tests.model.channel import DEADLINE, Channel, Ledger, Silent, packed
from tests.model.rig import Rig
from tests.model.steps import Command, Expire, Iterate, Pause, Plan, Reopen, Restore, Send, Step, Together

SHOWN = 300
PUSH_DEADLINE = 3.0
DATA_DEADLINE = 5.0
PAGES = 2000
HOLDING = ("60", "60000")
"""Time-outs of commands that wait for somebody else; all others are over soon."""
MOVING = tuple(f"moving{kind}{number}".encode() for kind in "slthzxpgb" for number in range(3))
BUSY = "local n=0 for i=1,ARGV[1]*50000 do n=n+i end return 'done'"
"""Keeps a server busy for some milliseconds: about one for each in ARGV, on one core of 2020."""
EMPTY = (b"\r\n", b"*0\r\n")
"""Commands without a word: they have no reply."""
_ID = re.compile(r"\{id:(\d+)\}")


@dataclass(frozen=True)
class Failure:
    """The first difference: `kind` says of what kind it is, so that a shrunk plan fails in the same way."""

    kind: str
    step: int
    text: str


class Difference(Exception):
    """The two sides differ."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


Rows = dict[int, dict[str, str]]


def clients(wire: Wire) -> Rows:
    """CLIENT LIST, by ids."""
    rows = {}
    for line in wire.call("CLIENT", "LIST").decode("latin-1").splitlines():
        row = dict(pair.split("=", 1) for pair in line.split(" ") if "=" in pair)
        rows[int(row["id"])] = row
    return rows


class Run:
    """One plan on one rig."""

    def __init__(self, rig: Rig, plan: Plan) -> None:
        self.rig = rig
        self.plan = plan
        self.direct: list[Channel] = []
        self.proxied: list[Channel] = []
        self.ledgers: list[Ledger] = []
        self.rows: list[dict[str, str]] = []
        self.told: list[set[bytes]] = []
        self.open_transactions: list[bool] = []
        self.at = 0

    def run(self) -> Failure | None:
        """The first difference, if there is one."""
        try:
            self.rig.reset(self.plan.seed)
            for _ in range(self.plan.connections):
                self._open(len(self.direct))
            self._compare()
            for at, step in enumerate(self.plan.steps):
                self.at = at
                self._take(step)
                self._compare()
            self._end()
        except Difference as difference:
            return Failure(difference.kind, self.at, difference.text)
        except Silent:
            return Failure("hang", self.at, f"no reply within {DEADLINE} s")
        except (EOFError, ConnectionError) as problem:
            return Failure("closed", self.at, f"a connection was closed: {problem!r}")
        finally:
            for channel in (*self.direct, *self.proxied):
                channel.close()
        return None

    def _open(self, number: int) -> None:
        """A connection of both sides, in place of an earlier one of this number."""
        for side, address in ((self.direct, self.rig.single.address), (self.proxied, self.rig.proxy.address)):
            channel = Channel(address)
            side[number : number + 1] = [channel]
            channel.id = int(channel.ask([b"CLIENT", b"ID"])[1:])
            if self.plan.protocol == 3:
                channel.ask([b"HELLO", b"3"])
        self.ledgers[number : number + 1] = [Ledger()]
        self.rows[number : number + 1] = [{}]
        self.told[number : number + 1] = [set()]
        self.open_transactions[number : number + 1] = [False]

    # what steps do

    def _take(self, step: Step) -> None:
        match step:
            case Send():
                self._send(step)
            case Together():
                self._together(step)
            case Expire():
                self._send(Send(step.connection, step.commands))
                self._compare()
                time.sleep(step.wait_ms / 1000)
            case Iterate():
                self._iterate(step)
            case Restore():
                self._restore(step)
            case Reopen():
                for side in (self.direct, self.proxied):
                    side[step.connection].close(step.reset)
                self._gone(self.direct[step.connection].id)
                self._open(step.connection)
            case Pause():
                time.sleep(step.ms / 1000)

    def _send(self, step: Send) -> None:
        number = step.connection
        waits = bool(self.ledgers[number].waiting)  # then the server has not come to what was sent before
        before = self.open_transactions[number] if waits else "x" in self.rows[number].get("flags", "")
        others = [ledger.waiting for other, ledger in enumerate(self.ledgers) if other != number]
        waited_for = differences.keys_named(command for waiting in others for command, _ in waiting)
        commands, self.open_transactions[number] = differences.admissible(step.commands, before, waited_for)
        self.told[number] |= differences.late_to_tell(commands)
        for command, text in zip(commands, self._written(commands, step.dress, self.direct), strict=True):
            if text.startswith(EMPTY):
                self.ledgers[number].pass_over()
            self.ledgers[number].add(command)
        for side in (self.direct, self.proxied):
            channel = side[number]
            data = b"".join(self._written(commands, step.dress, side))
            edges = [0, *sorted({cut % len(data) for cut in step.cuts} if data else ()), len(data)]
            for begin, end in zip(edges, edges[1:], strict=False):
                if step.gap_ms and begin:
                    time.sleep(step.gap_ms / 1000)
                channel.send(data[begin:end])

    def _written(self, commands: Sequence[Command], dress: int, side: Sequence[Channel]) -> list[bytes]:
        dice = random.Random(dress)
        return [_dressed(self._words(command, side), dice if dress else None) for command in commands]

    def _words(self, command: Command, side: Sequence[Channel]) -> list[bytes]:
        words = [_ID.sub(lambda found: str(side[int(found[1]) % len(side)].id), word) for word in command]
        return [b"x" * int(word[2:]) if word.startswith("x*") else word.encode("latin-1") for word in words]

    def _plain(self, connection: int) -> bool:
        """Whether a command on this connection is answered with one reply now, whatever was sent before."""
        row, ledger = self.rows[connection], self.ledgers[connection]
        return row.get("flags") == "N" and not ledger.waiting and not ledger.silent and not ledger.skips

    def _together(self, step: Together) -> None:
        if not all(self._plain(send.connection) for send in step.sends):
            return
        with contextlib.ExitStack() as stack:
            busy = []
            if step.busy_ms:
                for address in (self.rig.single.address, self.rig.proxy.address):
                    busy.append(Channel(address))
                    stack.callback(busy[-1].close)
                    busy[-1].send(packed([b"EVAL", BUSY.encode(), b"0", str(step.busy_ms).encode()]))
            for send in step.sends:
                self._send(send)
            for channel in busy:
                channel.until_replied(1)
                if channel.replies[0] != b"$4\r\ndone\r\n":
                    raise Difference("reply:busy", repr(channel.replies[0]))

    def _iterate(self, step: Iterate) -> None:
        if not self._plain(step.connection) or not self._plain(step.other) or step.connection == step.other:
            return
        direct, proxied = (self._iterated(step, side) for side in (self.direct, self.proxied))
        if direct != proxied:
            text = f"only direct {sorted(direct - proxied)[:5]}, only through rproxy {sorted(proxied - direct)[:5]}"
            raise Difference(f"iteration:{step.command[0]}", text)

    def _iterated(self, step: Iterate, side: Sequence[Channel]) -> set[str]:
        """What an iteration to the end shows, and the error with which it ended."""
        cursor, shown = b"0", set[str]()
        for _ in range(PAGES):
            reply = side[step.connection].ask([*self._words(step.command, side), cursor, *self._words(step.options, side)])
            value = differences.value_of(reply)
            if not isinstance(value, list):
                shown.add(f"error {value!r}")
                break
            cursor, page = value
            pairs = step.command[0] in ("HSCAN", "ZSCAN")
            shown |= {repr(one) for one in (zip(page[::2], page[1::2], strict=False) if pairs else page)}
            if cursor == b"0":
                break
            for command in step.between:
                side[step.other].ask(self._words(command, side))
        else:
            shown.add("no end")
        if step.between:
            side[step.other].ask([b"DEL", *MOVING])
        return {one for one in shown if not one.startswith("b'moving")}

    def _restore(self, step: Restore) -> None:
        if not self._plain(step.connection):
            return
        replies = []
        for side in (self.direct, self.proxied):
            channel = side[step.connection]
            payload = differences.value_of(channel.ask([b"DUMP", step.source.encode()]))
            words = [b"RESTORE", step.target.encode(), b"0", payload, b"REPLACE"]
            replies.append(channel.ask(words) if isinstance(payload, bytes) else repr(payload).encode())
        if replies[0] != replies[1]:
            raise Difference("reply:RESTORE", f"direct {replies[0]!r}, rproxy {replies[1]!r}")

    # what is compared

    def _compare(self) -> None:
        """All that both sides have said since the last time, and what they hold of the sessions."""
        rows = self._settle()
        for number, row in enumerate(rows):
            self._compare_replies(number, row)
            if row is None or "b" not in row["flags"]:
                self.ledgers[number].take_silent()
        self.rows = [row or {} for row in rows]
        for number in range(self.plan.connections):
            self._compare_pushes(number)
        self._compare_blocked()
        self._compare_states()
        for number, row in enumerate(rows):
            if row is None:
                self._gone(self.direct[number].id)
                for side in (self.direct, self.proxied):
                    side[number].close()
                self._open(number)
                self.rows[number] = clients(self.rig.ask_single)[self.direct[number].id]

    def _settle(self) -> list[dict[str, str] | None]:
        """Wait until the single server has done all that it can do now, and take what it wrote. None stands for a connection that it has closed."""
        deadline = time.monotonic() + DEADLINE
        while True:
            found = clients(self.rig.ask_single)
            rows = [found.get(channel.id) for channel in self.direct]
            if all(self._settled(number, row) for number, row in enumerate(rows)):
                return rows
            if time.monotonic() > deadline:
                raise RuntimeError(f"the single server does not settle: {rows}, {[channel.sent for channel in self.direct]}")

    def _settled(self, number: int, row: dict[str, str] | None) -> bool:
        channel = self.direct[number]
        channel.drain()
        if row is None:
            channel.until_closed()
            return True
        if row["obl"] != "0" or row["oll"] != "0":
            return False
        if "b" in row["flags"]:
            channel.until_received(int(row["tot-net-out"]))
            return self._waits_for_others(number, row)
        if int(row["tot-net-in"]) < channel.sent:
            return False
        channel.until_received(int(row["tot-net-out"]))
        return True

    def _waits_for_others(self, number: int, row: dict[str, str]) -> bool:
        """Whether the command in which the connection is blocked waits for somebody else, and not for its time-out.

        Of silent commands it may not be known which it is: then it is one of those that wait for others if it has waited for longer than the time-outs are.
        """
        commands = self.ledgers[number].behind(self.direct[number].replies)
        for_others = [any(word in HOLDING for word in command) for command in commands if command[0].lower() == row["cmd"]]
        return any(for_others) and (all(for_others) or int(row["idle"]) > 1)

    def _compare_replies(self, number: int, row: dict[str, str] | None) -> None:
        direct, proxied = self.direct[number], self.proxied[number]
        ledger = self.ledgers[number]
        for position in range(len(direct.replies)):
            right = direct.replies.popleft()
            command, ran = ledger.take(right)
            name = command[0].upper()
            try:
                proxied.until_replied(1)
            except Silent:
                raise Difference(
                    f"hang:{name}", f"connection {number}: {brief(command)} is not answered, direct {brief(right)}"
                ) from None
            if not proxied.replies:
                raise Difference(f"closed:{name}", f"connection {number} is closed at {brief(command)}, direct {brief(right)}")
            mine = proxied.replies.popleft()
            if not differences.same(command, ran, right, mine):
                text = f"connection {number}, reply {position}, {brief(command)}\n    direct {brief(right)}\n    rproxy {brief(mine)}"
                raise Difference(f"reply:{name}", text)
        if row is None:
            try:
                proxied.until_closed()
            except Silent:
                raise Difference("open", f"connection {number} was closed by the server, and is not by rproxy") from None
        proxied.drain()
        if row is None and len(proxied.replies) <= ledger.due():
            proxied.replies.clear()  # a server throws away what it has not written to a client that another one closes; rproxy may have written it
        if proxied.replies:
            raise Difference("unasked", f"connection {number}: {brief(proxied.replies[0])}, {len(proxied.replies)} in all")
        if row is not None and proxied.closed:
            raise Difference("closed", f"connection {number} was closed by rproxy, and is not by the server")

    def _compare_pushes(self, number: int) -> None:
        """What nobody asked for. A key may be named once more a step later: when it was, its second change may still have been on the way to rproxy. One that
        a client has changed in one step with the end of its tracking may be named or not.
        """
        direct, proxied = self.direct[number], self.proxied[number]
        deadline = time.monotonic() + PUSH_DEADLINE
        while not differences.told_alike(
            right := differences.changed_keys(direct.pushes), mine := differences.changed_keys(proxied.pushes), self.told[number]
        ):
            if time.monotonic() > deadline:
                raise Difference("pushes", f"connection {number}\n    direct {brief(right)}\n    rproxy {brief(mine)}")
            direct.look(0.005)
            proxied.look(0.005)
        self.told[number] = right[0]
        direct.pushes.clear()
        proxied.pushes.clear()

    def _compare_blocked(self) -> None:
        wanted = sum("b" in row.get("flags", "") for row in self.rows)
        deadline = time.monotonic() + PUSH_DEADLINE
        while (found := self.rig.blocked()) != wanted:
            if time.monotonic() > deadline:
                raise Difference("blocked", f"{wanted} clients wait in the server, and {found} in the leader")

    def _compare_states(self) -> None:
        found = clients(self.rig.ask_proxy)
        for number, row in enumerate(self.rows):
            if not row or "b" in row["flags"]:
                continue
            mine = found.get(self.proxied[number].id, {})
            right, held = differences.state(row), differences.state(mine)
            wrong = {name: (value, held[name]) for name, value in right.items() if held[name] != value}
            if wrong:
                raise Difference("state:" + ",".join(wrong), f"connection {number} (server's, rproxy's): {wrong}")

    def _gone(self, ident: int) -> None:
        """Wait until the single server knows that this connection is closed."""
        deadline = time.monotonic() + DEADLINE
        while ident in clients(self.rig.ask_single) and time.monotonic() < deadline:
            time.sleep(0.001)

    def _end(self) -> None:
        """Close all, and compare the data."""
        for channel in (*self.direct, *self.proxied):
            channel.close()
        self.rows = []
        self._compare_blocked()
        deadline = time.monotonic() + DATA_DEADLINE
        while len(set(self.rig.digests())) > 1:
            contents = self.rig.contents()
            differing = {key for key in set().union(*contents) if len({held.get(key) for held in contents}) > 1}
            if not differing:
                return
            if time.monotonic() > deadline:
                held = {key: [one.get(key) for one in contents] for key in sorted(differing)}
                raise Difference("data", f"of the server, the leader and its replicas: {brief(held)}")
            time.sleep(0.02)


def _dressed(words: list[bytes], dice: random.Random | None) -> bytes:
    """The command as clients may write it: inline where that can be, or behind an empty line or an empty array."""
    if dice is None:
        return packed(words)
    chance = dice.random()
    plain = all(word and word.isalnum() for word in words) and sum(map(len, words)) < 500
    if plain and chance < 0.1:
        return b" ".join(words) + dice.choice([b"\r\n", b"\n"])
    return dice.choice(EMPTY) + packed(words) if chance > 0.97 and words[0].upper() != b"CLIENT" else packed(words)


def brief(what: object) -> str:
    """The beginning of it."""
    text = " ".join(what) if isinstance(what, tuple) and all(isinstance(word, str) for word in what) else repr(what)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)})"
