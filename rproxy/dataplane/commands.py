"""Name (and subcommand) to Command: its kind, what it does to a session's state, where its keys stand.

Called by `session` for each command, by `rproxy explain`, and by the control plane with what the leader's own COMMAND says. Unknown commands are writes: what
is not known to be a read goes to the leader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

from rproxy import errors
from rproxy.dataplane import key_specs, overlay
from rproxy.dataplane.command_table import FACTS
from rproxy.dataplane.facts import Fact, facts_of
from rproxy.dataplane.policies import OPEN, Policy, Restricted
from rproxy.dataplane.reach import Reach, reach_of
from rproxy.dataplane.script_keys import ScriptKeys
from rproxy.errors import SettingsError


class Kind(IntEnum):
    """What a command is to the router."""

    READ = 0
    WRITE = 1
    LOCAL = 2
    LEASED = 3
    BROADCAST = 4
    DENIED = 5


class Effect(IntEnum):
    """What a command does to its session's state; NONE for nearly all."""

    NONE = 0
    MULTI = 1
    EXEC = 2
    DISCARD = 3
    WATCH = 4
    UNWATCH = 5
    BLOCKING = 6
    ATTACH = 7
    CURSOR = 8
    WAIT = 9


_OVERLAID = {name: (route, why) for names, route, why in overlay.ROUTES for name in names.split()}
_KINDS = {
    overlay.ANY: Kind.READ,
    overlay.LEADER: Kind.WRITE,
    overlay.LOCAL: Kind.LOCAL,
    overlay.DENIED: Kind.DENIED,
    overlay.BROADCAST: Kind.BROADCAST,
}
_EFFECTS = {name: Effect[name] for name in ("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH")}
_EFFECTS |= dict.fromkeys(overlay.ATTACHING.split(), Effect.ATTACH)
_EFFECTS |= dict.fromkeys(overlay.CURSORS.split(), Effect.CURSOR)
_EFFECTS |= dict.fromkeys(("WAIT", "WAITAOF"), Effect.WAIT)
_IN_TRANSACTIONS = (Effect.EXEC, Effect.DISCARD, Effect.UNWATCH)
_RELAYS = ("EVAL", "EVALSHA", "FCALL", "EVAL_RO", "EVALSHA_RO", "FCALL_RO", "DEBUG")
_SCRIPTS = ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO")
_FLAGS_OF_DATA = frozenset(("readonly", "write", "movablekeys"))
_ALONE = overlay.ALONE.split()
_UNORDERED = overlay.UNORDERED.split()
_FLAGS = "flags of COMMAND"
_LEARNT = "the leader's own COMMAND"
_UNKNOWN_RULE = "unknown commands go to the leader, on a connection of their own: they may change its state"
_ROUTES = {"leader": Kind.WRITE, "replica": Kind.READ, "deny": Kind.DENIED}


class Command:
    """One command or subcommand.

    `name` in upper case, `CONFIG|GET` for a subcommand. `kind` a `Kind`, `effect` an `Effect`. `arity` as COMMAND says (negative: at least so many
    words; 0: not known). `rule` is the rule that decided; `overridden`: it is the settings'. `subcommands` by their word in upper and lower case, None for a
    command without. `blocks_on`: it blocks only where this option is among its words. `plain`: it is simply sent, whatever its words are. `reach` is a
    `Reach`, with the key positions of `FIXED` in `last` and `step`. `unordered`: a read whose reply has no order of its own. `alone`: its connection is lent
    to nobody else, and closed behind its reply. `script`: it runs one, which may have acted before it answers an error. `relays`: its error reply may be the
    words of whoever sent it (a script's, or nobody knows what it does), so it says nothing of the server. `script_keys`: whose scripts touch only the
    keys among its words, and else all; None where its words are believed. `refusal` is the answer to a denied one. `calls`
    counts how often clients of this process have sent it.
    """

    __slots__ = (
        "name", "kind", "effect", "arity", "flags", "rule", "key_specs", "subcommands", "blocks_on", "plain",
        "reach", "last", "step", "script", "relays", "unordered", "alone", "overridden", "refusal", "calls",
        "script_keys",
    )  # fmt: skip

    def __init__(
        self,
        fact: Fact,
        kind: int,
        effect: int,
        rule: str,
        blocks_on: bytes = b"",
        reach: int = 0,
        unproven: bool = False,
        script_keys: ScriptKeys | None = None,
    ) -> None:
        self.script_keys = script_keys
        self.name = fact.name.encode()
        self.kind = kind
        self.effect = effect
        self.arity = fact.arity
        self.flags = frozenset(fact.flags.split())
        self.rule = rule
        self.overridden = rule.startswith("settings: ")
        self.key_specs = key_specs.read(fact.key_specs, "movablekeys" in self.flags)
        self.subcommands: dict[bytes, Command] | None = None
        self.blocks_on = blocks_on
        self.calls = 0
        self.script = fact.name in ("EVAL", "EVALSHA", "FCALL", "EVAL_RO")
        self.alone = kind == Kind.LEASED and (unproven or fact.name in _ALONE)
        self.unordered = kind == Kind.READ and fact.name in _UNORDERED
        self.relays = fact.name in _RELAYS or "module" in self.flags or not fact.arity
        # EVALSHA_RO is a request of its own, for `scripts.must_wait` to find.
        self.plain = kind <= Kind.WRITE and effect == Effect.NONE and not self.script and self.name != b"EVALSHA_RO"
        self.refusal = errors.denied(self.name) if kind == Kind.DENIED else b""
        self.reach = reach
        self.last, self.step = key_specs.fixed(fact.key_specs[0]) if reach == Reach.FIXED else (0, 1)

    def keys(self, args: Sequence[bytes]) -> list[bytes]:
        """The keys among `args`, of which the first is the name, in their order; empty where they can't be known or the command is malformed."""
        if len(args) < -self.arity or 0 < self.arity != len(args):
            return []
        return [args[at] for at in key_specs.positions(self.name, self.key_specs, args)]

    def rule_for(self, args: Sequence[bytes]) -> str:
        """The rule that decided, and of a script what its text says of its keys."""
        if self.script_keys is None:
            return self.rule
        proved = self.script_keys.declared(args)
        return f"{self.rule}; " + (
            "its text proves that it touches only its keys"
            if proved
            else "nothing proves that it touches only its keys, so it counts as touching all"
        )

    def misfit(self, count: int) -> str:
        """What is wrong with this number of words, "" if nothing is. Arity as in COMMAND: negative means at least, 0 is unknown."""
        if self.arity == 0 or count == self.arity or (self.arity < 0 and count >= -self.arity):
            return ""
        wanted = f"at least {-self.arity}" if self.arity < 0 else f"{self.arity}"
        name = self.name.decode(errors="backslashreplace").replace("|", " ")
        return f"wrong number of arguments: {name} takes {wanted} words, with its name, and these are {count}"

    def may_block(self, words: Sequence[bytes]) -> bool:
        """Whether a command that can block does so with these words."""
        return not self.blocks_on or any(word.upper() == self.blocks_on for word in words)

    def takes_a_lease(self, words: Sequence[bytes]) -> bool:
        """Whether the leader gets it with these words on a connection of its own."""
        if self.effect == Effect.BLOCKING:
            return self.may_block(words)
        return self.kind == Kind.LEASED or self.effect in (Effect.MULTI, Effect.WATCH, Effect.ATTACH)

    def refused(self, sentence: bytes) -> Command:
        """One like it that is answered with this sentence."""
        fact = Fact(self.name.decode(errors="replace"), self.arity, " ".join(sorted(self.flags)), ())
        command = Command(fact, Kind.DENIED, Effect.NONE, "settings: the listener does not allow it")
        command.refusal = sentence
        return command

    def add(self, word: str, command: Command) -> None:
        """Give it a subcommand."""
        if self.subcommands is None:
            self.subcommands = {}
        self.subcommands[word.upper().encode()] = self.subcommands[word.lower().encode()] = command
        self.plain = False


class CommandTable:
    """Every command by name in upper and lower case (`commands`, the same object for ever). `overrides`: the settings' `[commands]`, NAME or NAME|SUB to
    "leader", "replica" or "deny". `scripts_declare_keys`: scripts touch the keys that they are given and no others, whatever their text shows. Raises
    SettingsError for an override that can't be. `script_keys` is None where all are believed.
    """

    def __init__(self, overrides: Mapping[str, str] | None = None, scripts_declare_keys: bool = True) -> None:
        self._declared = scripts_declare_keys
        self.script_keys = None if scripts_declare_keys else ScriptKeys(self.key_places)
        self._overrides: dict[str, str] = {}
        for spelt, route in (overrides or {}).items():
            name = "|".join(spelt.upper().replace("|", " ").split())
            if self._overrides.setdefault(name, route) != route:
                raise SettingsError(
                    f'{_setting(spelt)} = "{route}": under another spelling of the name it is "{self._overrides[name]}"'
                )
        self.commands: dict[bytes, Command] = {}
        self.unknown = Command(
            Fact("UNKNOWN", 0, "", ()), Kind.LEASED, Effect.BLOCKING, _UNKNOWN_RULE, reach=Reach.ALL, unproven=True
        )
        self._only_named: set[bytes] = set()
        self._restricted: dict[Policy, Restricted] = {}
        self._learnt: list[Sequence[object]] = []
        for row in FACTS:
            self._add(Fact(*row[:4]), _FLAGS)
        for name, arity in overlay.ADDED.items():
            self._add(Fact(name, arity, "", ()), "")
        for name in self._overrides:
            if "." in name and not self._knows(name):
                self._add(Fact(name, 0, "", ()), "")  # a module's, of which nothing is known until the leader tells
                self._only_named.add(name.encode())
            elif not self._knows(name):
                raise SettingsError(f"{_setting(name)}: no such command{_nearest(name)}")

    def find(self, name: bytes, sub: bytes = b"") -> Command:
        """The command of this name, in any case; `unknown` where there is none. With `sub`, its subcommand of that word, if it has one."""
        command = self.commands.get(name) or self.commands.get(name.upper(), self.unknown)
        if sub and command.subcommands:
            return command.subcommands.get(sub) or command.subcommands.get(sub.upper(), command)
        return command

    def key_places(self, name: bytes, count: int) -> list[int] | None:
        """At which of its words a command of this name has keys, that is sent with `count` words, its name included. None where that depends on more, where
        nobody knows, or where it touches more than its keys.
        """
        command = self.find(name)
        if command is self.unknown or command.subcommands or key_specs.is_special(command.name):
            return None
        if command.reach == Reach.FIRST:
            return [1]
        if command.reach == Reach.FIXED:
            last = command.last if command.last >= 0 else count + command.last
            return list(range(1, last + 1, command.step)) if last < count else None
        if command.reach == Reach.SEARCH and "movablekeys" not in command.flags and all(spec.fixed for spec in command.key_specs):
            return key_specs.positions(command.name, command.key_specs, [b""] * count) or None
        return None if command.reach != Reach.NOTHING or command.flags & _FLAGS_OF_DATA else []

    def all(self) -> list[Command]:
        """Every command and subcommand once, and that which stands for unknown ones."""
        found = {id(command): command for command in (self.unknown, *self.commands.values())}
        for command in list(found.values()):
            found |= {id(inner): inner for inner in (command.subcommands or {}).values()}
        return list(found.values())

    def learn(self, rows: Iterable[Sequence[object]]) -> list[bytes]:
        """Take from COMMAND rows what the table lacks; what it knows stays as it is. Of a command that only the settings name it takes the facts, and the
        settings' route stays. Returns the names that were not there. Raises ValueError for a row that is none.
        """
        learnt: list[bytes] = []
        for row in rows:
            for fact in facts_of(row):
                name = fact.name.encode()
                new = not self._knows(fact.name)
                if new or name in self._only_named:
                    self._learnt.append(row)
                    self._only_named.discard(name)
                    self._add(fact, _LEARNT)
                if new:
                    learnt.append(name)
        self._restrict_again()
        return learnt

    def change(self, overrides: Mapping[str, str], scripts_declare_keys: bool) -> None:
        """Have it as if it had been made with these; what was learnt stays known. Raises SettingsError, with nothing changed."""
        new = CommandTable(overrides, scripts_declare_keys)
        new.learn(self._learnt)
        calls = {command.name: command.calls for command in self.all()}
        for command in new.all():
            command.calls = calls.get(command.name, 0)
        self.unknown.calls, new.unknown.calls = calls[self.unknown.name], 0
        self._declared, self._overrides, self._only_named = new._declared, new._overrides, new._only_named
        self.script_keys = new.script_keys
        self.commands.clear()
        self.commands.update(new.commands)
        self._restrict_again()

    def under(self, policy: Policy) -> CommandTable | Restricted:
        """The table as clients of a listener with this policy see it. Raises SettingsError for commands that do not exist."""
        if policy == OPEN:
            return self
        if policy not in self._restricted:
            self._restricted[policy] = Restricted(self, policy)
        return self._restricted[policy]

    def _restrict_again(self) -> None:
        for restricted in self._restricted.values():
            restricted.build()

    def _knows(self, name: str) -> bool:
        first, _, sub = name.encode().partition(b"|")
        command = self.find(first, sub)
        return command is not self.unknown and command.name == name.encode()

    def _add(self, fact: Fact, source: str) -> None:
        command = self._judge(fact, source)
        name, _, sub = fact.name.partition("|")
        container = self.commands.get(name.encode())
        if not sub:
            for word, inner in (container.subcommands or {}).items() if container else ():
                command.add(word.decode(), inner)  # those that the settings name
            self.commands[name.encode()] = self.commands[name.lower().encode()] = command
            return
        if container is None:
            self._add(Fact(name, 0, "", ()), "")
            self._only_named.add(name.encode())
        self.commands[name.encode()].add(sub, command)

    def _judge(self, fact: Fact, source: str) -> Command:
        """Decide what a command is: by the settings, the overlay, or the flags."""
        flags = fact.flags.split()
        name = fact.name
        blocks_on = overlay.BLOCK_OPTION.get(name, "").encode()
        effect = _EFFECTS.get(name, Effect.BLOCKING if "blocking" in flags else Effect.NONE)
        readonly = "readonly" in flags
        flags_of_data = readonly or "write" in flags
        kind = Kind.READ if readonly else Kind.WRITE
        rule = f"{source}: {'readonly' if readonly else 'write' if 'write' in flags else 'not readonly, so to the leader'}"
        unproven = source == _LEARNT and (not flags_of_data or "noscript" in flags)
        if not source:
            rule = _UNKNOWN_RULE
        if name in _OVERLAID:
            route, why = _OVERLAID[name]
            kind, effect, rule = _KINDS[route], Effect.NONE, f"overlay: {why}"
        elif effect in (Effect.MULTI, Effect.WATCH):
            kind, rule = Kind.LEASED, "overlay: it begins a transaction, on a lease"
        elif effect == Effect.WAIT:
            kind, rule = Kind.LEASED, "overlay: on a lease, at a place in the leader's stream behind the client's writes"
        elif effect == Effect.ATTACH:
            kind, rule = Kind.LEASED, "overlay: it gives the client state on one server connection, a lease that it keeps"
        elif effect == Effect.CURSOR:
            rule = "overlay: a cursor means something only to the server that gave it, so it says whose it is"
        elif effect == Effect.BLOCKING and not blocks_on:
            kind, rule = Kind.LEASED, "flags of COMMAND: blocking, on a lease"
        override = self._overrides.get(name) or self._overrides.get(name.partition("|")[0])
        if override:
            kind, effect, rule = self._override(name, kind, effect, override)
        elif unproven:
            kind, effect, rule = Kind.LEASED, Effect.BLOCKING, f"{source}: it may change its connection, so it has one of its own"
        reach = reach_of(name, frozenset(flags), fact.key_specs, kind == Kind.READ, source == _FLAGS, self._declared)
        if name in overlay.SIGNS_OF_LIFE.split() and not override:
            reach = Reach.LEADER
        script_keys = self.script_keys if name in _SCRIPTS else None
        return Command(fact, int(kind), int(effect), rule, blocks_on, int(reach), unproven and not override, script_keys)

    def _override(self, name: str, kind: Kind, effect: Effect, route: str) -> tuple[Kind, Effect, str]:
        if route not in _ROUTES:
            raise SettingsError(f'{_setting(name)} = "{route}": write "leader", "replica" or "deny"')
        own = name in self._overrides
        setting = _setting(name if own else name.partition("|")[0])
        if (kind in (Kind.LOCAL, Kind.LEASED) or effect in _IN_TRANSACTIONS) and route != "deny":
            if not own:
                return kind, effect, f"settings: {setting} leaves alone what is about the client's connection"
            words = name.replace("|", " ")
            raise SettingsError(f'{setting} = "{route}": {words} is about the client\'s own connection and can only be "deny"')
        if name in _ALONE and route != "deny":
            return Kind.LEASED, Effect.BLOCKING, f'settings: {setting} = "{route}", on a lease of its own'
        return _ROUTES[route], Effect.NONE if route == "deny" else effect, f'settings: {setting} = "{route}"'


def _setting(name: str) -> str:
    """The key of an override, as TOML wants it."""
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return f"commands.{name}" if bare else f'commands."{name}"'


def _nearest(name: str) -> str:
    import difflib  # 10 ms, for those alone who have mistyped a name

    nearest = difflib.get_close_matches(name, [row[0] for row in FACTS], 1)
    return f", did you mean {nearest[0]}?" if nearest else ""
