"""The clients of a run. Each does one operation at a time, or one pipeline, and writes down what it sent, when, and what was answered."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import hiredis

from tests.chaos.connection import Closed, Connection, Words
from tests.chaos.history import History, Kind, Operation, Outcome, Token, Version, now
from tests.integration.wire import Word

PATIENCE = 12.0
"""Seconds without an answer that are a hang."""
BOTH = "redis.call('RPUSH',KEYS[1],ARGV[1]) redis.call('RPUSH',KEYS[2],ARGV[1]) return ARGV[1]"
PAIR = "#!lua flags=no-writes\nreturn {redis.call('GET',KEYS[1]),redis.call('GET',KEYS[2]),ARGV[1]}"
BROKEN = (TypeError, ValueError, AttributeError, UnicodeDecodeError, IndexError)
HANG = "no answer"


def judged(reply: Any) -> tuple[Outcome, Any]:
    """What became of the command, and its value or the text of its error."""
    if isinstance(reply, Closed):
        return (Outcome.MAYBE if reply.sent else Outcome.NO), str(reply)
    if isinstance(reply, TimeoutError):
        return Outcome.MAYBE, HANG
    if isinstance(reply, hiredis.ReplyError):
        return (Outcome.MAYBE if "may or may not" in str(reply) else Outcome.NO), str(reply)
    return Outcome.OK, reply


class Client:
    """One client, which does `step` again and again, and connects again when its connection is closed."""

    group = "?"

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.history = load.history
        self.number = number
        self.id = f"{self.group}{number}"
        self.connection: Connection | None = None
        self.count = 0

    def token(self) -> str:
        """A value that nobody else writes."""
        self.count += 1
        return f"{self.id}.{self.count}"

    async def connected(self) -> Connection:
        """A connection that is open, as far as it knows. Raises CancelledError when the run ends."""
        while self.connection is None or self.connection.lost:
            if self.load.ended:
                raise asyncio.CancelledError
            try:
                self.connection = await Connection.open(self.load.port)
            except (OSError, TimeoutError) as problem:
                self.history.error(f"connect: {type(problem).__name__}")
                await asyncio.sleep(0.05 + random.random() * 0.05)
        return self.connection

    async def do(self, kind: str, *words: Word) -> tuple[Outcome, Any, float, float]:
        """One command: what became of it, its reply or error, when it began and ended."""
        ((outcome, reply),), begun, ended = await self.do_all(kind, [words])
        return outcome, reply, begun, ended

    async def do_all(self, kind: str, commands: Sequence[Words]) -> tuple[list[tuple[Outcome, Any]], float, float]:
        """Several commands in one packet."""
        connection = await self.connected()
        begun = now()
        futures = connection.calls(commands)
        _, late = await asyncio.wait(futures, timeout=PATIENCE)
        if late:
            self.history.found(Kind.HUNG, f"{self.id}: {str(commands)[:80]}")
            connection.close()
        ended = now()
        results = []
        for future in futures:
            future.cancel()
            problem = TimeoutError() if future.cancelled() else future.exception()
            outcome, reply = judged(problem if problem is not None else future.result())
            if outcome is not Outcome.OK:
                self.history.error(str(reply))
            self.history.done(kind, outcome, begun, ended)
            results.append((outcome, reply))
        return results, begun, ended

    def note(self, token: str, where: str, begun: float, ended: float, outcome: Outcome, reply: Any) -> None:
        self.history.tokens[token] = Token(where, begun, ended, outcome, "" if outcome is Outcome.OK else str(reply))

    def crossed(self, what: str, reply: Any) -> None:
        self.history.found(Kind.CROSSED, f"{self.id}: {what} -> {reply!r}"[:300])

    async def run(self) -> None:
        """Until the run ends."""
        try:
            while not self.load.ended:
                try:
                    await self.step()
                except BROKEN as problem:
                    self.crossed("a reply that its client cannot use", problem)
                await asyncio.sleep(random.expovariate(1.0) * self.load.pace)
        except asyncio.CancelledError:
            pass
        finally:
            if self.connection is not None:
                self.connection.close()

    async def step(self) -> None:
        raise NotImplementedError


class Registers(Client):
    """All write unique values to the same few keys and read them."""

    group = "reg"

    async def step(self) -> None:
        key = f"r:{random.randrange(6)}"
        if random.random() < 0.4:
            value = f"{key}={self.token()}"
            outcome, _, begun, ended = await self.do("w", "SET", key, value)
            self.history.registers[key].append(Operation(True, value, begun, ended, outcome))
            return
        outcome, reply, begun, ended = await self.do("r", "GET", key)
        if outcome is Outcome.OK:
            found = None if reply is None else reply.decode()
            if found is not None and not found.startswith(f"{key}=reg"):
                self.crossed(f"GET {key}", reply)
            else:
                self.history.registers[key].append(Operation(False, found, begun, ended, outcome))


class Versions(Client):
    """The first two write growing numbers, each to keys of its own; the others read them."""

    group = "ver"

    async def step(self) -> None:
        if self.number < 2:
            key = f"v:{self.number}.{random.randrange(3)}"
            written = self.history.versions_written[key]
            number = len(written) + 1
            outcome, _, begun, ended = await self.do("w", "SET", key, f"{key}={number}")
            written.append(Version(number, begun, ended, outcome))
            return
        keys = [f"v:{random.randrange(2)}.{random.randrange(3)}" for _ in range(random.choice((1, 1, 1, 3)))]
        outcome, reply, begun, ended = await self.do("r", *(["GET", *keys] if len(keys) == 1 else ["MGET", *keys]))
        if outcome is not Outcome.OK:
            return
        values = [reply] if len(keys) == 1 else reply
        if len(values) != len(keys):
            self.crossed(f"MGET of {len(keys)} keys", reply)
            return
        for key, value in zip(keys, values, strict=True):
            if value is not None and not value.startswith(key.encode() + b"="):
                self.crossed(f"GET {key}", value)
            else:
                number = int(value.split(b"=")[1]) if value else 0
                self.history.versions_read[key].append(Version(number, begun, ended, outcome))


class Appender(Client):
    """Writes unique tokens that would show twice if they were written twice."""

    group = "app"

    async def step(self) -> None:
        steps = [self.push, self.push, self.append, self.increment, self.script, self.move]
        await random.choice(steps)(self.token())

    async def push(self, token: str) -> None:
        key = f"list:{random.randrange(4)}"
        outcome, reply, begun, ended = await self.do("w", random.choice(("RPUSH", "LPUSH")), key, token)
        self.note(token, key, begun, ended, outcome, reply)
        if outcome is Outcome.OK and not isinstance(reply, int):
            self.crossed("RPUSH", reply)

    async def append(self, token: str) -> None:
        key = f"str:{random.randrange(2)}"
        outcome, reply, begun, ended = await self.do("w", "APPEND", key, f"|{token}")
        self.note(token, key, begun, ended, outcome, reply)

    async def increment(self, token: str) -> None:
        key = f"cnt:{random.randrange(3)}"
        outcome, reply, _, _ = await self.do("w", "INCR", key)
        self.history.increments[key][outcome] += 1
        if outcome is Outcome.OK:
            self.history.increment_values[key].append(int(reply))

    async def script(self, token: str) -> None:
        outcome, reply, begun, ended = await self.do("w", "EVAL", BOTH, 2, "ea", "eb", token)
        self.note(token, "ea", begun, ended, outcome, reply)
        if outcome is Outcome.OK and reply != token.encode():
            self.crossed(f"EVAL {token}", reply)

    async def move(self, token: str) -> None:
        if random.random() < 0.6:
            outcome, reply, begun, ended = await self.do("w", "LPUSH", "src", token)
            self.note(token, "src", begun, ended, outcome, reply)
            return
        outcome, reply, _, _ = await self.do("w", "RPOPLPUSH", "src", "dst")
        if outcome is Outcome.OK and reply is not None and not reply.startswith(b"app"):
            self.crossed("RPOPLPUSH", reply)


class Transactor(Client):
    """MULTI ... EXEC, in one packet or step by step: two lists and two keys are written together."""

    group = "tx"

    async def step(self) -> None:
        token = self.token()
        inner: list[Words] = [("RPUSH", "ta", token), ("SET", "tx", token), ("RPUSH", "tb", token), ("SET", "ty", token)]
        commands: list[Words] = [("MULTI",), *inner, ("EXEC",)]
        if random.random() < 0.5:
            results, begun, ended = await self.do_all("t", commands)
        else:
            results, begun, ended = await self._one_by_one(commands)
        outcome, reply = results[-1]
        if len(results) < len(commands):  # the connection has ended before EXEC was sent, or with it
            outcome = Outcome.NO if len(results) < len(commands) - 1 else Outcome.MAYBE
        elif outcome is Outcome.OK:
            self._executed(results, reply, ended)
        elif any(each is Outcome.OK and what not in (b"OK", b"QUEUED") for each, what in results[:-1]):
            self.crossed("in MULTI", results)
        self.note(token, "ta", begun, ended, outcome, reply)

    async def _one_by_one(self, commands: Sequence[Words]) -> tuple[list[tuple[Outcome, Any]], float, float]:
        results: list[tuple[Outcome, Any]] = []
        begun = ended = 0.0
        for command in commands:
            outcome, reply, started, ended = await self.do("t", *command)
            begun = begun or started
            results.append((outcome, reply))
            over = outcome is Outcome.MAYBE and ("closed" in str(reply) or reply == HANG)
            if over or (outcome is not Outcome.OK and len(results) == 1):
                break
        return results, begun, ended

    def _executed(self, results: list[tuple[Outcome, Any]], reply: Any, ended: float) -> None:
        if not isinstance(reply, list) or len(reply) != 4 or reply[1] != b"OK":
            self.crossed("EXEC", reply)
        if results[0][1] != b"OK" or any(what != b"QUEUED" for _, what in results[1:-1]):
            self.history.found(Kind.TORN, f"EXEC was executed though {results[:-1]!r}"[:300])
        self.history.writes.append(ended)


class Pairs(Client):
    """Reads together what transactions write together."""

    group = "pair"

    async def step(self) -> None:
        token = self.token()
        command: Words = ("MGET", "tx", "ty") if random.random() < 0.7 else ("EVAL", PAIR, 2, "tx", "ty", token)
        outcome, reply, _, _ = await self.do("r", *command)
        if outcome is not Outcome.OK:
            return
        if command[0] == "EVAL":
            if len(reply) != 3 or reply[2] != token.encode():
                self.crossed(f"EVAL {token}", reply)
                return
            reply = reply[:2]
        if len(reply) != 2:
            self.crossed("MGET tx ty", reply)
        elif reply[0] != reply[1]:
            self.history.found(Kind.TORN, f"tx and ty are {reply!r}")


class CompareAndSet(Client):
    """Raises a number under WATCH: there may be no gap in what was written."""

    group = "cas"

    async def step(self) -> None:
        token = self.token()
        outcome, error, begun, _ = await self.do("t", "WATCH", "cas")
        if outcome is not Outcome.OK:
            await self._after_failure(error)
            return
        outcome, reply, _, _ = await self.do("t", "GET", "cas")
        if outcome is not Outcome.OK:
            await self.do("t", "UNWATCH")
            return
        value = int(reply or 0) + 1
        commands: list[Words] = [("MULTI",), ("SET", "cas", value), ("RPUSH", "caslog", f"{token}:{value}"), ("EXEC",)]
        results, _, ended = await self.do_all("t", commands)
        outcome, reply = results[-1]
        if outcome is Outcome.OK and reply is None:
            outcome, reply = Outcome.NO, "conflict"
        self.note(f"{token}:{value}", "caslog", begun, ended, outcome, reply)

    async def _after_failure(self, error: str) -> None:
        """A WATCH that the server has refused changes nothing: the next command is answered as ever."""
        if self.connection is None or self.connection.lost:
            return
        outcome, reply, _, _ = await self.do("x", "PING")
        if outcome is not Outcome.OK and "transaction" in str(reply):
            self.history.found(Kind.POISONED, f"WATCH -> {error}, then PING -> {reply}")
            self.connection.close()


class Echo(Client):
    """Pipelines of values that are its own: any reply that is another's shows."""

    group = "echo"

    def __init__(self, load: Load, number: int) -> None:
        super().__init__(load, number)
        self.last: dict[str, str] = {}
        self.unsure: dict[str, set[str]] = defaultdict(set)

    async def step(self) -> None:
        commands: list[Words] = []
        wanted: list[tuple[str, str]] = []
        for _ in range(random.randrange(1, 12)):
            token, key = self.token(), f"own:{self.id}:{random.randrange(3)}"
            command, want = random.choice(
                (
                    (("ECHO", token), ("", token)),
                    (("PING", token), ("", token)),
                    (("EVAL", "return ARGV[1]", "0", token), ("", token)),
                    (("SET", key, token), (key, token)),
                    (("GET", key), (key, "")),
                    (("GET", key), (key, "")),
                )
            )
            commands.append(command)
            wanted.append(want)
        results, _, _ = await self.do_all("p", commands)
        for (key, token), (outcome, reply) in zip(wanted, results, strict=True):
            self._judge(key, token, outcome, reply)

    def _judge(self, key: str, token: str, outcome: Outcome, reply: Any) -> None:
        if key and token:
            if outcome is Outcome.OK:
                self.last[key] = token
            elif outcome is Outcome.MAYBE:
                self.unsure[key].add(token)
            wanted: Any = b"OK"
        else:
            wanted = token.encode()
        if outcome is not Outcome.OK:
            return
        if token and reply != wanted:
            self.crossed(f"{key or 'ECHO'} {token}", reply)
        elif not token:
            self._read(key, reply)

    def _read(self, key: str, reply: Any) -> None:
        value = reply.decode() if reply is not None else None
        if value is not None and not value.startswith(f"{self.id}."):
            self.crossed(f"GET {key}", reply)
        elif value != self.last.get(key) and value not in self.unsure[key]:
            self.history.found(Kind.ORDER, f"own GET {key} -> {value!r}, expected {self.last.get(key)!r}")


class Blocked(Client):
    """The first pushes to a queue from which the others pop, waiting."""

    group = "pop"

    async def step(self) -> None:
        if self.number == 0:
            token = self.token()
            outcome, reply, begun, ended = await self.do("w", "RPUSH", random.choice(("q:0", "q:1")), token)
            self.note(token, "q", begun, ended, outcome, reply)
            return
        seconds = random.choice((0.2, 1.0, 1.0))
        outcome, reply, begun, ended = await self.do("b", "BLPOP", "q:0", "q:1", str(seconds))
        if outcome is not Outcome.OK:
            self.history.pops_unknown += outcome is Outcome.MAYBE or "UNBLOCKED" in str(reply)
        elif reply is not None:
            if len(reply) != 2 or not reply[1].startswith(b"pop0."):
                self.crossed("BLPOP", reply)
            self.history.popped[reply[1].decode()] += 1
        elif not seconds - 0.15 <= ended - begun <= seconds + 6:
            self.history.found(Kind.ODD, f"BLPOP {seconds} answered nil after {ended - begun:.2f} s")


class Large(Client):
    """Values of up to 700 KB, each of which says in every part of it whose it is."""

    group = "big"

    def __init__(self, load: Load, number: int) -> None:
        super().__init__(load, number)
        self.values: dict[str, set[str]] = {}

    async def step(self) -> None:
        key, token = f"big:{self.number}:{random.randrange(2)}", self.token()
        if random.random() < 0.4:
            value = (token + ";").encode() * (random.choice((20_000, 300_000, 700_000)) // (len(token) + 1))
            outcome, _, _, _ = await self.do("w", "SET", key, value)
            if outcome is Outcome.OK:
                self.values[key] = {token}
            elif outcome is Outcome.MAYBE:
                self.values.setdefault(key, set()).add(token)
        else:
            outcome, reply, _, _ = await self.do("r", "GET", key)
            if outcome is Outcome.OK and reply is not None:
                self._read(key, reply)
        await asyncio.sleep(0.15)

    def _read(self, key: str, value: bytes) -> None:
        head = value.split(b";", 1)[0]
        if value != (head + b";") * (len(value) // (len(head) + 1)) or not head.startswith(self.id.encode()):
            self.crossed(f"GET {key}", f"garbled, begins {value[:40]!r}, {len(value)} bytes")
        elif head.decode() not in self.values.get(key, {head.decode()}):
            self.history.found(Kind.ORDER, f"own GET {key} -> {head!r}, expected {self.values[key]}")


class Publisher(Client):
    """Publishes growing numbers."""

    group = "pub"

    async def step(self) -> None:
        self.count += 1
        await self.do("x", "PUBLISH", "news", self.count)


class Subscriber(Client):
    """Hears them, none twice on one connection."""

    group = "sub"

    async def run(self) -> None:
        epoch = 0
        try:
            while not self.load.ended:
                epoch += 1
                connection = await self.connected()
                await self._listen(connection, epoch)
                connection.close()
        except asyncio.CancelledError:
            pass

    async def _listen(self, connection: Connection, epoch: int) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        connection.push = queue.put_nowait
        connection.calls([("SUBSCRIBE", "news")])[0].add_done_callback(lambda future: future.cancelled() or future.exception())
        while not self.load.ended and not (connection.lost and queue.empty()):
            try:
                message = await asyncio.wait_for(queue.get(), 0.2)
            except TimeoutError:
                continue
            if isinstance(message, hiredis.ReplyError):
                self.history.error(str(message))
                return
            if message[:2] == [b"message", b"news"] and message[2].isdigit():
                self.history.messages.append((epoch, int(message[2])))
            elif message[0] != b"subscribe":
                self.crossed("SUBSCRIBE", message)


GROUPS: tuple[tuple[type[Client], int], ...] = (
    (Registers, 8),
    (Versions, 8),
    (Appender, 8),
    (Transactor, 3),
    (Pairs, 3),
    (CompareAndSet, 2),
    (Echo, 4),
    (Blocked, 3),
    (Large, 1),
    (Publisher, 1),
    (Subscriber, 1),
)


class Load:
    """All clients of a run, on rproxy's port."""

    def __init__(self, port: int, pace: float = 0.02) -> None:
        self.port = port
        self.pace = pace
        self.history = History()
        self.ended = False
        self.tasks: list[asyncio.Task[None]] = []
        Connection.take_unasked()

    def start(self) -> None:
        clients = [kind(self, number) for kind, count in GROUPS for number in range(count)]
        self.tasks = [asyncio.get_running_loop().create_task(client.run()) for client in clients]

    async def end(self) -> None:
        """Let each client finish what it does."""
        self.ended = True
        done, late = await asyncio.wait(self.tasks, timeout=PATIENCE + 2)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=2)
        for task in done:
            if not task.cancelled() and (problem := task.exception()) is not None:
                raise problem
