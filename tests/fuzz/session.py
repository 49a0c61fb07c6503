"""A whole data plane as a fuzz target, between scripted clients and servers: bytes decide who connects, sends, answers, closes, and when time goes by.

In half of the runs servers may answer anything at all, and the data plane must only live on. In the other half they are honest, and each command names the
database and the user that its client has chosen: a server that gets it in another database, or as another user, is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rproxy.dataplane import tallies
from rproxy.dataplane.commands import CommandTable
from tests.dataplane.kit import HELLO, End, World, command
from tests.fuzz.words import REPLIES, WORDS
from tests.integration.wire import frame_end

STEPS = 400
CLIENTS = 6
PATIENCE = 0.3
"""Seconds in which no time-out of the data plane ends."""
CONSISTENCIES = ("fresh", "eventual", "leader")
TABLE = CommandTable(None)
MEMORY = bytearray(tallies.size(1))
STATELESS = (b"GET", b"SET", b"MGET", b"EVAL", b"EVAL_RO", b"INCR", b"BLPOP", b"WATCH", b"APPEND", b"LRANGE")


class Source:
    """The bytes of the input, one decision each; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def more(self) -> bool:
        return self.at < len(self.data)

    def byte(self, below: int = 256) -> int:
        self.at += 1
        value = self.data[self.at - 1] if self.at <= len(self.data) else 0
        return value % below

    def raw(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def one(self, choices: tuple[bytes, ...]) -> bytes:
        return choices[self.byte() % len(choices) if len(choices) <= 256 else (self.byte() << 8 | self.byte()) % len(choices)]


@dataclass
class Peer:
    """A scripted client: what it has chosen, as an honest server would see it."""

    end: End
    database: int = 0
    user: int = 0


@dataclass
class Scripted:
    """A scripted server's end of one connection: what it has read and not yet answered, and its state."""

    end: End
    tail: bytes = b""
    owed: list[list[bytes]] = field(default_factory=list)
    database: int = 0
    user: int = 0
    queued: int = -1

    def read(self) -> None:
        data = self.tail + self.end.take()
        position = 0
        while position < len(data) and (end := frame_end(data, position)) > 0:
            self.owed.append(words_of(data[position:end]))
            position = end
        self.tail = data[position:]

    def answer(self, words: list[bytes], honest: bool) -> bytes:
        """What a server would say, more or less."""
        name = words[0].upper() if words else b""
        if honest:
            self._check(words)
        if name == b"HELLO":
            self._log_in(words)
            return HELLO
        if name == b"INFO":
            return b"$20\r\n#S\r\nrun_id:abcdef\r\n\r\n"
        if name == b"MULTI":
            self.queued = 0
            return b"+OK\r\n"
        if name in (b"EXEC", b"DISCARD") and self.queued >= 0:
            count, self.queued = self.queued, -1
            return b"+OK\r\n" if name == b"DISCARD" else b"*%d\r\n" % count + b"+OK\r\n" * count
        if self.queued >= 0:
            self.queued += 1
            return b"+QUEUED\r\n"
        return self._answered(name, words)

    def _answered(self, name: bytes, words: list[bytes]) -> bytes:
        if name == b"SELECT":
            self.database = int(words[1]) if words[-1].isdigit() else self.database
        elif name == b"AUTH":
            self._log_in(words)
        elif name == b"RESET":
            self.database = self.user = 0
            return b"+RESET\r\n"
        elif name in (b"SUBSCRIBE", b"PSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE"):
            some = words[1:] or [b""]
            return b"".join(command(name.lower(), word)[:-2] + b"\r\n:%d\r\n" % at for at, word in enumerate(some)).replace(
                b"*2", b"*3"
            )
        elif name in (b"GET", b"MGET", b"INCR", b"EVAL", b"LRANGE"):
            return b"$1\r\nx\r\n"
        return b"+OK\r\n"

    def _log_in(self, words: list[bytes]) -> None:
        for word in words:
            if word.startswith(b"user") and word[4:].isdigit():
                self.user = int(word[4:])

    def _check(self, words: list[bytes]) -> None:
        for word in words:
            if word.startswith(b"db="):
                wanted = b"db=%d,user=%d" % (self.database, self.user)
                assert word == wanted, f"{words[0]!r} of a client in {word!r} came to a connection in {wanted!r}"


def words_of(frame: bytes) -> list[bytes]:
    """The words of a command that is an array of bulk strings."""
    words: list[bytes] = []
    position = frame.index(b"\r\n") + 2
    while position < len(frame):
        line = frame.index(b"\r\n", position)
        size = int(frame[position + 1 : line])
        words.append(frame[line + 2 : line + 2 + size])
        position = line + 4 + size
    return words


class Script:
    """One run."""

    def __init__(self, data: bytes) -> None:
        self.source = Source(data)
        mode = self.source.byte()
        self.honest = bool(mode & 64)
        options = {"command": 0.3} if mode & 32 and not self.honest else {}
        self.world = World(
            replicas=mode % 3, consistency=CONSISTENCIES[mode // 3 % 3], table=TABLE, tables=True, memory=MEMORY, **options
        )
        self.clients: list[Peer] = []
        self.servers: list[Scripted] = []

    def run(self) -> None:
        """Until the input ends. Raises whatever escapes from the data plane, and AssertionError for what it may not do."""
        common = (
            self.connect,
            self.lose_client,
            self.end_sending,
            self.accept,
            self.serve,
            self.serve,
            self.serve,
            self.wait,
            self.read,
        )
        honest = (*common, *(self.choose,) * 3, *(self.ask,) * 6)
        hostile = (
            *common,
            *(self.send,) * 8,
            self.send_raw,
            self.lie,
            self.lie,
            self.lose_server,
            self.refuse,
            self.prove,
            self.stop_reading,
        )
        for _ in range(STEPS):
            if not self.source.more:
                break
            actions = honest if self.honest else hostile
            action = actions[self.source.byte(len(actions))]
            if self.clients or action in (self.connect, self.accept, self.wait):
                action()
            self.servers = [server for server in self.servers if server.end.open]
            self.clients = [client for client in self.clients if client.end.open]
        for notice in self.world.notices:
            assert "internal error" not in notice, notice

    def client(self) -> Peer:
        return self.clients[self.source.byte(len(self.clients))]

    # what clients do

    def connect(self) -> None:
        if len(self.clients) < CLIENTS:
            self.clients.append(Peer(self.world.client()))

    def lose_client(self) -> None:
        client = self.client()
        client.end.lose()
        self.clients.remove(client)

    def end_sending(self) -> None:
        client = self.client()
        client.end.protocol.eof_received()
        self.world.turn()

    def send(self) -> None:
        """A command of words by chance, perhaps inline, mangled, or cut."""
        client = self.client()
        words = [self.source.one(WORDS) for _ in range(1 + self.source.byte(5))]
        data, how = command(*words), self.source.byte()
        if how < 20:
            data = b" ".join(words) + b"\r\n"
        elif how < 40:
            at = self.source.byte(len(data))
            data = data[:at] + self.source.raw(1 + self.source.byte(3)) + data[at + self.source.byte(2) :]
        elif how < 50:
            data *= 3
        elif how < 56:
            data = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300000\r\n" + b"q" * (1000 * (how % 4))
        at = 1 + self.source.byte(len(data)) if how % 7 == 0 else 0
        client.end.send(*(piece for piece in (data[:at], data[at:]) if piece))

    def send_raw(self) -> None:
        self.client().end.send(self.source.raw(1 + self.source.byte(64)) or b"\r\n")

    def choose(self) -> None:
        """Another database, another user, or neither any more."""
        client, how = self.client(), self.source.byte(4)
        if how < 2:
            client.database = self.source.byte(3)
            client.end.send(command("SELECT", str(client.database)))
        elif how == 2:
            client.user = 1 + self.source.byte(3)
            client.end.send(command("AUTH", f"user{client.user}", "password"))
        else:
            client.database = client.user = 0
            client.end.send(command("RESET"))

    def ask(self) -> None:
        """Commands that name the database and user of their client."""
        client = self.client()
        tag = f"db={client.database},user={client.user}"
        data = b""
        for _ in range(1 + self.source.byte(4)):
            name = self.source.one(STATELESS)
            before = ["return 1", "1"] if name.startswith(b"EVAL") else []
            data += command(name, *before, tag, *(["0"] if name in (b"BLPOP", b"SET", b"APPEND") else []))
        client.end.send(data)

    def read(self) -> None:
        self.client().end.take()

    def stop_reading(self) -> None:
        client, how = self.client(), self.source.byte(2)
        if how:
            client.end.protocol.pause_writing()
        else:
            client.end.protocol.resume_writing()

    # what servers do

    def accept(self) -> None:
        for server, _ in list(self.world.dialled):
            if any(attempt[0] == server for attempt in self.world.dialled):
                self.servers.append(Scripted(self.world.accept(server.index)))

    def serve(self) -> None:
        """All servers answer all that they were asked."""
        self.accept()
        for server in self.servers:
            server.read()
            while server.owed and server.end.open:
                server.end.send(server.answer(server.owed.pop(0), self.honest))
                server.read()

    def lie(self) -> None:
        """A server says something else."""
        if self.servers:
            server = self.servers[self.source.byte(len(self.servers))]
            server.read()
            del server.owed[:1]
            said = b"".join(self.source.one(REPLIES) for _ in range(1 + self.source.byte(3)))
            at = self.source.byte(len(said))
            server.end.send(*(piece for piece in (said[:at], said[at:]) if piece))

    def lose_server(self) -> None:
        if self.servers:
            self.servers.pop(self.source.byte(len(self.servers))).end.lose()

    def refuse(self) -> None:
        self.world.refuse(self.source.byte(3))

    def wait(self) -> None:
        """Time goes by; where servers are honest, never so long that a client is told that there is no leader."""
        seconds = self.source.byte(40) * 0.05
        if self.honest:
            self.serve()
            self.world.wait(min(seconds, PATIENCE))
            self.serve()
        else:
            self.world.wait(seconds)

    def prove(self) -> None:
        self.world.prove(*(server.index for server in self.world.servers[1:]))


def one_input(data: bytes) -> None:
    """Run one input. Raises for a finding."""
    Script(data).run()
