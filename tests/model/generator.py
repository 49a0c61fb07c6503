"""Makes a plan from a seed: the same seed gives the same plan, whatever the sides answer."""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Callable, Sequence

from tests.model import vocabulary
from tests.model.steps import Command, Expire, Iterate, Pause, Plan, Reopen, Restore, Send, Step, Together

CONNECTIONS = 4
STEPS = 120
TYPES = "slthzxpgb"
LARGE = (16_384, 20_000, 65_536, 70_001, 131_072, 262_100, 262_144, 300_000, 1_100_000)
"""Sizes of values around the limits of rproxy's buffers."""
_CHOICE = re.compile(r'\{([^{}"]*\|[^{}"]*)\}')
_PLACE = re.compile(r"<(#?)([a-zA-Z*]+)(\+?)>")


class Words:
    """Fills templates. Keys begin with `prefix`, so that two of these with different prefixes never touch the same key."""

    def __init__(self, dice: random.Random, prefix: str = "") -> None:
        self.dice = dice
        self.prefix = prefix
        self.serial = 100
        self.ms = 0

    def of(self, table: Sequence[str]) -> Command:
        """One command from this table."""
        return self.fill(self.dice.choice(table))

    def fill(self, template: str, **fixed: str) -> Command:
        """The command of this template; `fixed` names what some of its places stand for."""
        template = _CHOICE.sub(lambda found: self.dice.choice(found[1].split("|")), template)
        words: list[str] = []
        for word in shlex.split(template):
            found = _PLACE.fullmatch(word)
            words += self.place(found[1], found[2], found[3], fixed) if found else [word.replace("\\n", "\n")]
        return tuple(words)

    def place(self, counted: str, what: str, several: str, fixed: dict[str, str]) -> list[str]:
        """The words for one place of a template."""
        if what in fixed:
            return [fixed[what]]
        if what in TYPES or what == "*":
            keys = [self.key(what) for _ in range(self.dice.randint(1, 3) if counted or several else 1)]
            return [str(len(keys)), *keys] if counted else keys
        return [self.simple(what)]

    def simple(self, what: str) -> str:
        """A word that is no key."""
        dice = self.dice
        if what == "id":
            self.serial += 1
            return f"{self.serial}-{dice.randrange(3)}"
        if what == "ms":
            return str(self.ms)
        if what == "m":
            return dice.choice([f"m{dice.randrange(8)}", str(dice.randrange(9))])
        if what == "n":
            return str(dice.choice([0, 1, 2, 3, 5, -1, -2, 10, dice.randrange(40)]))
        if what == "f":
            return dice.choice(["1", "2.5", "-1", "0", "inf", "3e2", "7"])
        if what == "V" and dice.random() < 0.06:
            return f"x*{dice.choice(LARGE)}"
        if dice.random() < 0.1:
            return f"x*{dice.randrange(10, 1200)}"
        return dice.choice([f"v{dice.randrange(20)}", str(dice.randrange(100)), "", "1.5", "x y", "\x00\r\n\"'", "-3", "\xff"])

    def key(self, kind: str) -> str:
        """A key of this type, or now and then of another one."""
        if kind == "*" or self.dice.random() < 0.1:
            kind = self.dice.choice(TYPES)
        return f"{self.prefix}{kind}{self.dice.randrange(3)}"


Weights = tuple[float, ...]
TABLES = (vocabulary.READS, vocabulary.WRITES, vocabulary.TRANSACTIONS, vocabulary.SESSIONS, vocabulary.SCRIPTS)
MOSTLY_READS: Weights = (90, 10, 0, 0, 0)
WRITING: Weights = (50, 40, 5, 2, 3)
MIXED: Weights = (40, 30, 12, 12, 6)
SWITCHING: Weights = (25, 20, 5, 40, 10)
SCRIPTED: Weights = (15, 15, 10, 5, 55)
DATA: Weights = (50, 50, 0, 0, 0)
APART = tuple(
    line
    for line in (*vocabulary.READS, *vocabulary.WRITES)
    if not line.startswith(("KEYS", "DBSIZE", "SORT", "FCALL", "EVAL_RO", "X")) and "BLOCK" not in line and " 0.01" not in line
)
"""What touches nothing but its own keys."""
APART_SESSIONS = (
    "SELECT {0|1|2}",
    "SELECT {0|1}",
    "AUTH {low low|admin admin}",
    "RESET",
    "HELLO {2|3}",
    "ACL WHOAMI",
    "EVAL \"return 'mine'\" 0",
)


class Generator:
    """Makes the steps of one plan."""

    def __init__(self, seed: int, connections: int = CONNECTIONS) -> None:
        self.dice = random.Random(seed)
        self.connections = connections
        self.words = Words(self.dice)
        self.kinds: list[tuple[int, Callable[[], list[Step]]]] = [
            (50, self.traffic),
            (8, self.transaction),
            (4, self.subscriber),
            (4, self.publisher),
            (4, self.silence),
            (6, self.held),
            (4, self.iteration),
            (3, self.expiry),
            (3, self.tracking),
            (2, self.restore),
            (7, self.together),
            (6, self.switches),
            (2, self.reopen),
            (6, self.pause),
            (1, self.other_client),
        ]

    def steps(self, count: int) -> tuple[Step, ...]:
        """About so many steps."""
        steps: list[Step] = []
        weights = [weight for weight, _ in self.kinds]
        while len(steps) < count:
            ((_, make),) = self.dice.choices(self.kinds, weights)
            steps += make()
        return tuple(steps)

    def any(self) -> int:
        return self.dice.randrange(self.connections)

    def next_to(self, connection: int) -> int:
        return (connection + 1 + self.dice.randrange(self.connections - 1)) % self.connections

    def some(self, weights: Weights, count: int, words: Words | None = None) -> list[Command]:
        """So many commands from the tables."""
        words = words or self.words
        return [self.cased(words.of(table)) for table in self.dice.choices(TABLES, weights, k=count)]

    def cased(self, command: Command) -> Command:
        """The command with its name in some mixture of cases, a word missing, or one too many."""
        chance = self.dice.random()
        if chance < 0.1:
            return (command[0].lower(), *command[1:])
        if chance < 0.13:
            return (command[0].title(), *command[1:])
        if chance < 0.15 and not _blocks(command):
            return command[:-1] if len(command) > 1 else (*command, "more")
        return command

    def send(self, connection: int, commands: Sequence[Command]) -> Send:
        """The commands in one packet, or cut somewhere."""
        chance = self.dice.random()
        cuts: tuple[int, ...] = ()
        if chance > 0.95 and len(commands) < 6:
            cuts = tuple(range(1, 200))
        elif chance > 0.6:
            cuts = tuple(sorted(self.dice.randrange(1, 30_000) for _ in range(self.dice.randint(1, 6))))
        gap = self.dice.choice([0.0, 0.0, 0.5, 3.0]) if len(cuts) < 10 else 0.0
        return Send(connection, tuple(commands), cuts, gap, self.dice.choice([0, 0, self.dice.randrange(1, 10_000)]))

    def traffic(self) -> list[Step]:
        count = self.dice.choice([1, 1, 1, 2, 3, 5, 8, 20, 60])
        weights = self.dice.choice([MOSTLY_READS, WRITING, MIXED, MIXED, SWITCHING, SCRIPTED])
        return [self.send(self.any(), self.some(weights, count))]

    def transaction(self) -> list[Step]:
        """MULTI ... EXEC, in one packet or in several, with a write of another client between WATCH and EXEC now and then."""
        connection = self.any()
        watch = [self.words.fill("WATCH <*+>")] if self.dice.random() < 0.4 else []
        inner = self.some(self.dice.choice([DATA, WRITING, SCRIPTED]), self.dice.randint(0, 8))
        commands: list[Command] = [
            *watch,
            ("MULTI",),
            *inner,
            self.dice.choice([("EXEC",), ("EXEC",), ("EXEC",), ("DISCARD",), ("EXEC", "x")]),
        ]
        if self.dice.random() < 0.6:
            return [self.send(connection, commands)]
        at = self.dice.randint(1, len(commands))
        other = self.send(self.next_to(connection), self.some(DATA, 3))
        parts = [self.send(connection, part) for part in (commands[:at], commands[at:]) if part]
        return [parts[0], other, *parts[1:]]

    def subscriber(self) -> list[Step]:
        connection = self.any()
        count = self.dice.randint(1, 4)
        steps: list[Step] = [self.send(connection, [self.words.of(vocabulary.SUBSCRIPTIONS) for _ in range(count)])]
        if self.dice.random() < 0.5:
            steps += self.publisher()
            steps.append(self.send(connection, [self.dice.choice([("RESET",), ("UNSUBSCRIBE",)])]))
        return steps

    def publisher(self) -> list[Step]:
        return [self.send(self.any(), [self.words.of(vocabulary.PUBLICATIONS) for _ in range(self.dice.randint(1, 3))])]

    def silence(self) -> list[Step]:
        """CLIENT REPLY OFF with some commands behind it and ON again, or SKIP."""
        inner = self.some(DATA, self.dice.randint(1, 5))
        before = self.some(DATA, self.dice.randint(0, 3))
        mode = self.dice.choice(["OFF", "SKIP"])
        end: list[Command] = [("CLIENT", "REPLY", "ON")] if mode == "OFF" else [("PING",)]
        return [self.send(self.any(), [*before, ("CLIENT", "REPLY", mode), *inner, *end])]

    def held(self) -> list[Step]:
        """A client waits in a blocking command, and another one ends that."""
        waiting = self.any()
        serving = self.next_to(waiting)
        template = self.dice.choice(vocabulary.HELD)
        kind = next(kind for kind in vocabulary.SERVING if f"<{kind}>" in template)
        key = f"{kind}{self.dice.randrange(2)}"
        begin: Command = ("SELECT", "0")
        push = [self.words.fill(part, **{kind: key}) for part in self.dice.choice(vocabulary.SERVING[kind]).split("/")]
        before, behind = (self.some(MOSTLY_READS, self.dice.randint(0, 3)) for _ in range(2))
        unblock: list[Command] = [("CLIENT", "UNBLOCK", f"{{id:{waiting}}}", self.dice.choice(["TIMEOUT", "ERROR"]))]
        end = self.dice.choice([push, push, push, unblock])
        return [
            self.send(serving, [begin, ("DEL", key)]),
            self.send(waiting, [begin, *before, self.words.fill(template, **{kind: key}), *behind]),
            *(self.pause() if self.dice.random() < 0.3 else []),
            self.send(serving, end),
        ]

    def iteration(self) -> list[Step]:
        connection = self.any()
        command: Command = self.dice.choice([("SCAN",), ("SCAN",), ("HSCAN", "h0"), ("SSCAN", "t0"), ("ZSCAN", "z0")])
        options = self.dice.choice([(), ("COUNT", "3"), ("COUNT", "1"), ("MATCH", "*")])
        moving = Words(self.dice, "moving")
        between = self.some(DATA, self.dice.randint(0, 2), moving) if command == ("SCAN",) else []
        between = [command for command in between if any("moving" in word for word in command[1:]) and not _wide(command)]
        fill = self.send(connection, [self.words.of(vocabulary.WRITES) for _ in range(5)])
        return [fill, Iterate(connection, command, options, self.next_to(connection), tuple(between))]

    def expiry(self) -> list[Step]:
        words = Words(self.dice)
        words.ms = self.dice.choice([30, 60, 120])
        key = self.words.key("s")
        commands = [words.fill(self.dice.choice(vocabulary.EXPIRING), s=key)]
        look = [words.fill(self.dice.choice(vocabulary.EXPIRED), s=key) for _ in range(self.dice.randint(1, 3))]
        connection = self.any()
        wait = words.ms + self.dice.choice([40, 100, 400])
        return [
            Expire(connection, tuple(commands), wait),
            self.send(self.dice.choice([connection, self.any()]), look),
            Pause(300),
        ]

    def tracking(self) -> list[Step]:
        connection = self.any()
        on = self.words.of(vocabulary.TRACKING)
        looking = self.send(connection, [on, *self.some(MOSTLY_READS, self.dice.randint(0, 4))])
        writing = self.send(self.next_to(connection), self.some(DATA, 4))
        off = self.send(connection, [("CLIENT", "TRACKING", "OFF"), *self.some(MOSTLY_READS, 2)])
        return [looking, writing, *([off] if self.dice.random() < 0.8 else [])]

    def restore(self) -> list[Step]:
        return [Restore(self.any(), self.words.key("*"), "restored")]

    def together(self) -> list[Step]:
        """Several connections at once, each with keys of its own."""
        sends = []
        for connection in self.dice.sample(range(self.connections), self.dice.randint(2, self.connections)):
            words = Words(self.dice, f"c{connection}:")
            count = self.dice.choice([2, 5, 10, 30])
            commands = [words.of(APART_SESSIONS if self.dice.random() < 0.25 else APART) for _ in range(count)]
            sends.append(self.send(connection, commands))
        return [Together(tuple(sends), self.dice.choice([0, 0, 10, 30]))]

    def switches(self) -> list[Step]:
        """A client that changes its database, user or protocol between single commands, and then sends reads and writes at once: what one server may have
        answered before the other must not end up where the client was before.
        """
        connection = self.any()
        tables = (vocabulary.READS, vocabulary.WRITES, APART_SESSIONS, APART_SESSIONS, vocabulary.SCRIPTS)
        single = [self.send(connection, [self.words.of(self.dice.choice(tables))]) for _ in range(self.dice.randint(2, 6))]
        last = [self.words.of(self.dice.choice((vocabulary.READS, vocabulary.WRITES))) for _ in range(self.dice.randint(2, 4))]
        return [*self.pause(), *single, self.send(connection, [*last, ("ACL", "WHOAMI")])]

    def reopen(self) -> list[Step]:
        connection = self.any()
        last: list[Step] = []
        if self.dice.random() < 0.3:
            last = [self.send(connection, [*self.some(DATA, 2), ("QUIT",), *self.some(DATA, 1)])]
        return [*last, Reopen(connection, self.dice.random() < 0.5)]

    def other_client(self) -> list[Step]:
        """One client asks for another to be closed."""
        connection = self.any()
        other = self.next_to(connection)
        return [self.send(connection, [("CLIENT", "KILL", "ID", f"{{id:{other}}}"), *self.some(DATA, 2)])]

    def pause(self) -> list[Step]:
        return [Pause(self.dice.choice([10, 100, 250, 450]))]


def plan_of(seed: int, connections: int = CONNECTIONS, steps: int = STEPS) -> Plan:
    """The plan of this seed: RESP2 for even seeds, RESP3 for odd ones."""
    generator = Generator(seed, connections)
    return Plan(seed, 3 if seed % 2 else 2, connections, generator.steps(steps))


def _blocks(command: Command) -> bool:
    return command[0].startswith("B") or "BLOCK" in command


def _wide(command: Command) -> bool:
    """Whether the command touches more than the keys in it, or moves data to another database."""
    return command[0] in ("KEYS", "DBSIZE", "MOVE", "SORT", "SORT_RO") or "DB" in command
