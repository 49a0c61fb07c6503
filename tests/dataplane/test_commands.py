"""What each command is to the router, by which rule, and how settings and the leader's own COMMAND change that."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane import overlay
from rproxy.dataplane.command_table import FACTS
from rproxy.dataplane.commands import Command, CommandTable, Effect, Kind
from rproxy.embedded import EmbeddedServer
from rproxy.errors import SettingsError

TABLE = CommandTable()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as started:
        yield started


def find(text: str, table: CommandTable = TABLE) -> Command:
    name, _, sub = text.encode().partition(b" ")
    return table.find(name, sub)


def kind(text: str, table: CommandTable = TABLE) -> Kind:
    return Kind(find(text, table).kind)


def lacking(*names: str, overrides: dict[str, str] | None = None) -> CommandTable:
    table = CommandTable(overrides)
    for name in names:
        del table.commands[name.encode()], table.commands[name.lower().encode()]
    return table


def row(
    name: str, *flags: str, arity: int = -2, subcommands: tuple[list[Any], ...] = (), specs: tuple[Any, ...] = ()
) -> list[Any]:
    """A row as hiredis gives it in RESP2."""
    return [name.encode(), arity, [flag.encode() for flag in flags], 0, 0, 0, [b"@slow"], [], list(specs), list(subcommands)]


ONE_KEY = [b"flags", [b"RO"], b"begin_search", [b"type", b"index", b"spec", [b"index", 1]],
           b"find_keys", [b"type", b"range", b"spec", [b"lastkey", 0, b"keystep", 1, b"limit", 0]]]  # fmt: skip
"""A key specification as a server gives it: the first argument."""

READS = """GET MGET STRLEN EXISTS TYPE TTL PTTL EXPIRETIME HGETALL HGET HMGET LRANGE SMEMBERS ZRANGE SINTERCARD ZDIFF XRANGE XLEN LCS BITCOUNT PFCOUNT
SORT_RO BITFIELD_RO GEORADIUS_RO GEOSEARCH KEYS DBSIZE RANDOMKEY SRANDMEMBER EVAL_RO EVALSHA_RO FCALL_RO XPENDING XINFO|GROUPS PING ECHO"""
WRITES = """SET GETSET GETEX GETDEL DEL INCR SORT BITFIELD GEORADIUS SPOP LMPOP XADD XACK PUBLISH SPUBLISH EVAL EVALSHA FCALL FLUSHALL
SCRIPT|EXISTS FUNCTION|LOAD FUNCTION|LIST ACL|LIST INFO ROLE TIME CONFIG|GET CONFIG|SET DEBUG PUBSUB|CHANNELS
DUMP XINFO|STREAM XINFO|CONSUMERS TOUCH OBJECT|FREQ OBJECT|IDLETIME OBJECT|ENCODING OBJECT|REFCOUNT MEMORY|USAGE LOLWUT CLUSTERSCAN EXEC DISCARD UNWATCH
COMMAND COMMAND|COUNT READONLY READWRITE LASTSAVE"""
EVERYWHERE = "ACL|SETUSER ACL|DELUSER ACL|LOAD ACL|SAVE SCRIPT|LOAD SCRIPT|FLUSH"
CURSORS = "SCAN HSCAN SSCAN ZSCAN"
LOCAL = """SELECT AUTH HELLO RESET QUIT CLIENT|ID CLIENT|GETNAME CLIENT|SETNAME CLIENT|SETINFO CLIENT|MAINT_NOTIFICATIONS CLIENT|LIST CLIENT|INFO
CLIENT|KILL CLIENT|UNBLOCK CLIENT|PAUSE CLIENT|UNPAUSE SCRIPT|KILL FUNCTION|KILL FUNCTION|STATS"""
BLOCKING = "BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP"
ATTACHING = """SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE MONITOR CLIENT|TRACKING CLIENT|REPLY
CLIENT|NO-EVICT CLIENT|NO-TOUCH"""
DENIED = """SYNC PSYNC REPLCONF REPLICAOF SLAVEOF FAILOVER SHUTDOWN CLIENT|CAPA CLIENT|IMPORT-SOURCE SCRIPT|DEBUG"""


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (f"{READS} {CURSORS}", Kind.READ), (WRITES, Kind.WRITE), (LOCAL, Kind.LOCAL), (DENIED, Kind.DENIED), (EVERYWHERE, Kind.BROADCAST),
        (f"{BLOCKING} {ATTACHING} MULTI WATCH WAIT WAITAOF", Kind.LEASED),
    ],
)  # fmt: skip
def test_each_command_goes_where_it_belongs(names: str, wanted: Kind) -> None:
    assert {name: kind(name.replace("|", " ")) for name in names.split()} == dict.fromkeys(names.split(), wanted)
    assert {find(name.replace("|", " ")).name.decode() for name in names.split()} == set(names.split())


@pytest.mark.parametrize(
    ("names", "effect"),
    [("MULTI", Effect.MULTI), ("EXEC", Effect.EXEC), ("DISCARD", Effect.DISCARD), ("WATCH", Effect.WATCH), ("UNWATCH", Effect.UNWATCH),
     ("WAIT WAITAOF", Effect.WAIT),
     (BLOCKING, Effect.BLOCKING), (ATTACHING, Effect.ATTACH), (f"{READS} {WRITES} {LOCAL} {DENIED}", Effect.NONE)],
)  # fmt: skip
def test_each_command_has_its_effect_on_the_session(names: str, effect: Effect) -> None:
    wanted = set(names.split()) - ({"EXEC", "DISCARD", "UNWATCH"} if effect == Effect.NONE else set())
    assert {name: Effect(find(name.replace("|", " ")).effect) for name in wanted} == dict.fromkeys(wanted, effect)


def test_xread_blocks_only_with_its_option() -> None:
    for name, wanted in (("XREAD", Kind.READ), ("XREADGROUP", Kind.WRITE)):
        command = find(name)
        assert (command.kind, command.effect, command.blocks_on) == (wanted, Effect.BLOCKING, b"BLOCK")
    assert find("BLPOP").blocks_on == b""


def test_whatever_blocks_has_a_lease_an_option_or_a_refusal() -> None:
    for command in everything():
        if "blocking" in command.flags:
            assert command.kind in (Kind.LEASED, Kind.DENIED) or command.blocks_on, command.name


def test_only_what_servers_call_readonly_is_read_from_a_replica() -> None:
    for command in everything():
        if command.kind == Kind.READ:
            assert "readonly" in command.flags or command.name in (b"PING", b"ECHO")
            assert not command.flags & {"write", "admin", "pubsub"}, command.name


def test_no_write_is_anything_but_a_write_or_a_blocking_one() -> None:
    for command in everything():
        if "write" in command.flags:
            assert command.kind == Kind.WRITE or (command.kind == Kind.LEASED and "blocking" in command.flags), command.name


def everything(table: CommandTable = TABLE) -> Iterator[Command]:
    for command in {id(command): command for command in table.commands.values()}.values():
        yield command
        yield from {id(inner): inner for inner in (command.subcommands or {}).values()}.values()


def test_the_table_holds_every_fact() -> None:
    facts = {row[0]: (row[1], frozenset(row[2].split())) for row in FACTS} | {
        name: (arity, frozenset()) for name, arity in overlay.ADDED.items()
    }
    assert {command.name.decode(): (command.arity, command.flags) for command in everything()} == facts


def test_every_command_has_a_rule_that_says_who_decided() -> None:
    for command in everything():
        assert command.rule.startswith(("flags of COMMAND: ", "overlay: ")), (command.name, command.rule)
    assert find("GET").rule == "flags of COMMAND: readonly" and find("SET").rule == "flags of COMMAND: write"
    assert find("TOUCH").rule == "overlay: its effect is the leader's LRU clock"
    assert TABLE.unknown.rule.startswith("unknown commands go to the leader, on a connection of their own")


def test_only_what_is_simply_sent_is_plain() -> None:
    for command in everything():
        simply_sent = command.kind in (Kind.READ, Kind.WRITE) and command.effect == Effect.NONE and not command.subcommands
        simply_sent = simply_sent and command.name not in (b"EVAL", b"EVAL_RO", b"EVALSHA", b"EVALSHA_RO", b"FCALL")
        assert bool(command.plain) == simply_sent, command.name
    assert not TABLE.unknown.plain


@pytest.mark.parametrize("spelt", [b"GET", b"get", b"gEt"])
def test_names_are_found_in_any_case(spelt: bytes) -> None:
    assert TABLE.find(spelt) is TABLE.commands[b"GET"] is TABLE.commands[b"get"]


@pytest.mark.parametrize(("name", "sub"), [(b"XINFO", b"STREAM"), (b"xinfo", b"stream"), (b"Xinfo", b"streaM")])
def test_subcommands_are_found_in_any_case(name: bytes, sub: bytes) -> None:
    assert TABLE.find(name, sub).name == b"XINFO|STREAM"


def test_a_container_stands_for_subcommands_that_nobody_knows() -> None:
    assert TABLE.find(b"CONFIG", b"FROB").name == b"CONFIG" and kind("CONFIG FROB") == Kind.WRITE
    assert TABLE.find(b"CONFIG").name == b"CONFIG"
    assert TABLE.find(b"GET", b"STREAM").name == b"GET"


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_any_bytes_find_a_command(name: bytes, sub: bytes) -> None:
    command = TABLE.find(name, sub)
    assert command is TABLE.unknown or name.upper() in TABLE.commands


def test_keys_by_subcommand() -> None:
    assert find("XINFO STREAM").keys([b"xinfo", b"stream", b"s"]) == [b"s"]
    assert find("CONFIG GET").keys([b"config", b"get", b"x"]) == []
    assert TABLE.unknown.keys([b"frob", b"x"]) == []


@pytest.mark.parametrize(
    ("overrides", "text", "wanted", "rule"),
    [
        ({"KEYS": "leader"}, "KEYS", Kind.WRITE, 'settings: commands.KEYS = "leader"'),
        ({"keys": "deny"}, "KEYS", Kind.DENIED, 'settings: commands.KEYS = "deny"'),
        ({"SCAN": "replica"}, "SCAN", Kind.READ, 'settings: commands.SCAN = "replica"'),
        ({"CONFIG|GET": "deny"}, "CONFIG GET", Kind.DENIED, 'settings: commands."CONFIG|GET" = "deny"'),
        ({"config get": "deny"}, "CONFIG GET", Kind.DENIED, 'settings: commands."CONFIG|GET" = "deny"'),
        ({"CONFIG": "deny"}, "CONFIG GET", Kind.DENIED, 'settings: commands.CONFIG = "deny"'),
        ({"CONFIG": "deny", "CONFIG|GET": "leader"}, "CONFIG GET", Kind.WRITE, 'settings: commands."CONFIG|GET" = "leader"'),
        ({"CONFIG": "deny", "CONFIG|GET": "leader"}, "CONFIG SET", Kind.DENIED, 'settings: commands.CONFIG = "deny"'),
        ({"SHUTDOWN": "leader"}, "SHUTDOWN", Kind.WRITE, 'settings: commands.SHUTDOWN = "leader"'),
        ({"BLPOP": "deny"}, "BLPOP", Kind.DENIED, 'settings: commands.BLPOP = "deny"'),
        ({"CLIENT": "deny"}, "CLIENT SETNAME", Kind.DENIED, 'settings: commands.CLIENT = "deny"'),
        ({"CLIENT": "leader"}, "CLIENT TRACKINGINFO", Kind.WRITE, 'settings: commands.CLIENT = "leader"'),
        ({"JSON.GET": "replica"}, "json.get", Kind.READ, 'settings: commands."JSON.GET" = "replica"'),
        ({"FT.CONFIG|GET": "deny"}, "FT.CONFIG GET", Kind.DENIED, 'settings: commands."FT.CONFIG|GET" = "deny"'),
    ],
)
def test_settings_override_the_table(overrides: dict[str, str], text: str, wanted: Kind, rule: str) -> None:
    command = find(text, CommandTable(overrides))
    assert (command.kind, command.rule) == (wanted, rule)


def test_a_container_s_override_leaves_alone_what_is_about_the_connection() -> None:
    table = CommandTable({"CLIENT": "leader"})
    assert kind("CLIENT SETNAME", table) == Kind.LOCAL and kind("CLIENT TRACKING", table) == Kind.LEASED
    assert find("CLIENT SETNAME", table).rule == "settings: commands.CLIENT leaves alone what is about the client's connection"


def test_an_override_keeps_what_the_command_does_to_the_session() -> None:
    command = find("XREAD", CommandTable({"XREAD": "leader"}))
    assert (command.kind, command.effect, command.blocks_on) == (Kind.WRITE, Effect.BLOCKING, b"BLOCK")
    assert find("XREAD", CommandTable({"XREAD": "deny"})).effect == Effect.NONE


def test_what_would_change_a_shared_connection_is_allowed_on_one_of_its_own() -> None:
    command = find("SYNC", CommandTable({"SYNC": "leader"}))
    assert (command.kind, command.effect, command.alone) == (Kind.LEASED, Effect.BLOCKING, True)
    assert not find("BLPOP").alone and not find("XREAD", CommandTable({"XREAD": "leader"})).alone


def test_what_is_not_overridden_stays() -> None:
    table = CommandTable({"KEYS": "deny", "CONFIG|GET": "deny"})
    changed = {
        command.name for command in everything(table) if command.rule != find(command.name.decode().replace("|", " ")).rule
    }
    assert changed == {b"KEYS", b"CONFIG|GET"}


@pytest.mark.parametrize("name", f"{LOCAL} {BLOCKING} {ATTACHING} MULTI WATCH EXEC DISCARD UNWATCH".split())
@pytest.mark.parametrize("route", ["leader", "replica"])
def test_what_is_about_the_connection_can_only_be_denied(name: str, route: str) -> None:
    with pytest.raises(SettingsError, match=r'can only be "deny"') as raised:
        CommandTable({name: route})
    assert name.replace("|", " ") in str(raised.value) and route in str(raised.value)
    assert kind(name.replace("|", " "), CommandTable({name: "deny"})) == Kind.DENIED


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"KEYS": "refuse"}, ["commands.KEYS", '"refuse"', '"leader", "replica" or "deny"']),
        ({"KEYZ": "deny"}, ["commands.KEYZ", "no such command", "did you mean KEYS?"]),
        ({"UNKNOWN": "deny"}, ["commands.UNKNOWN", "no such command"]),
        ({"CONFIG|GTE": "deny"}, ['commands."CONFIG|GTE"', "no such command", "did you mean CONFIG|GET?"]),
        ({"GET|X": "deny"}, ["no such command"]),
        ({"": "deny"}, ["no such command"]),
        ({"CONFIG|GET": "deny", "config get": "leader"}, ['commands."config get" = "leader"', "another spelling", '"deny"']),
    ],
)
def test_an_override_that_cannot_be_is_refused_in_clear_words(overrides: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        CommandTable(overrides)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_two_spellings_of_one_override_may_agree() -> None:
    assert kind("CONFIG GET", CommandTable({"CONFIG|GET": "deny", "config get": "deny"})) == Kind.DENIED


@pytest.mark.parametrize("hello", ["2", "3"])
def test_what_the_leader_says_becomes_what_the_table_says(server: EmbeddedServer, hello: str) -> None:
    names = "GET SET XINFO XREAD BLPOP".split()
    table = lacking(*names)
    commands = table.commands
    assert find("GET", table) is table.unknown
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        ask(connection, "HELLO", hello)
        learnt = table.learn(ask(connection, "COMMAND"))
    subcommands = {row[0].encode() for row in FACTS if row[0].startswith("XINFO|")}
    assert set(learnt) == {name.encode() for name in names} | subcommands
    assert table.commands is commands
    before = {command.name: command for command in everything()}
    for command in everything(table):
        if command.name in (b"XINFO", b"XINFO|HELP"):
            assert command.alone  # neither a read nor a write
            continue
        same = before[command.name]
        assert (command.kind, command.effect, command.arity, command.flags, command.key_specs, command.blocks_on, command.plain) == (
            same.kind, same.effect, same.arity, same.flags, same.key_specs, same.blocks_on, same.plain,
        )  # fmt: skip
    assert find("GET", table).rule == "the leader's own COMMAND: readonly"


def ask(connection: socket.socket, *words: str) -> Any:
    reader = hiredis.Reader(notEnoughData=Ellipsis)
    connection.sendall(" ".join(words).encode() + b"\r\n")
    while (reply := reader.gets()) is Ellipsis:
        reader.feed(connection.recv(65536))
    return reply


def test_the_leader_teaches_nothing_that_the_table_knows(server: EmbeddedServer) -> None:
    table = CommandTable()
    before = dict(table.commands)
    learnt = table.learn(server.call("COMMAND"))
    known = {row[0].encode() for row in FACTS}
    assert not known & set(learnt)
    assert {name: table.commands[name] for name in before} == before
    assert table.learn(server.call("COMMAND")) == []


def test_a_module_s_commands_are_learnt_with_their_subcommands() -> None:
    table = CommandTable()
    sub = row("mod.info|size", "readonly", arity=3)
    assert table.learn([row("mod.get", "readonly", specs=(ONE_KEY,)), row("mod.info", subcommands=(sub,)), row("mod.set", "write")]) == [
        b"MOD.GET", b"MOD.INFO", b"MOD.INFO|SIZE", b"MOD.SET",
    ]  # fmt: skip
    assert kind("MOD.GET", table) == Kind.READ and kind("mod.set", table) == Kind.WRITE
    assert kind("MOD.INFO SIZE", table) == Kind.READ and find("MOD.INFO x", table).alone
    assert find("MOD.GET", table).keys([b"mod.get", b"k"]) == [b"k"]
    assert TABLE.find(b"MOD.GET") is TABLE.unknown


@pytest.mark.parametrize(
    "flags", [(), ("noscript",), ("noscript", "write"), ("pubsub",), ("admin",), ("fast", "loading", "stale")]
)
def test_a_learnt_command_that_may_change_its_connection_is_alone(flags: tuple[str, ...]) -> None:
    table = CommandTable()
    table.learn([row("begin", *flags)])
    command = find("BEGIN", table)
    assert (command.alone, command.kind, command.effect) == (True, Kind.LEASED, Effect.BLOCKING)


def test_a_setting_vouches_for_a_learnt_command() -> None:
    table = CommandTable({"MOD.X": "leader"})
    table.learn([row("mod.x", "admin")])
    assert (find("MOD.X", table).alone, kind("MOD.X", table)) == (False, Kind.WRITE)


def test_a_subcommand_that_the_table_lacks_is_learnt_into_its_container() -> None:
    table = CommandTable()
    container = table.find(b"OBJECT")
    assert table.learn([row("object", subcommands=(row("object|color", "readonly", arity=3),))]) == [b"OBJECT|COLOR"]
    assert table.find(b"OBJECT") is container
    assert kind("OBJECT COLOR", table) == Kind.READ and kind("OBJECT FREQ", table) == Kind.WRITE


def test_rows_of_servers_before_7_tell_keys_by_first_last_and_step() -> None:
    table = CommandTable()
    flags = [b"readonly"]
    table.learn(
        [
            [b"old.mget", -2, flags, 1, -1, 1],
            [b"old.copy", 3, flags, 1, 2, 1],
            [b"old.mset", -3, flags, 1, -1, 2],
            [b"old.ping", 1, flags, 0, 0, 0],
        ]
    )
    assert find("OLD.MGET", table).keys([b"old.mget", b"a", b"b"]) == [b"a", b"b"]
    assert find("OLD.COPY", table).keys([b"old.copy", b"a", b"b"]) == [b"a", b"b"]
    assert find("OLD.MSET", table).keys([b"old.mset", b"a", b"1", b"b", b"2"]) == [b"a", b"b"]
    assert find("OLD.PING", table).keys([b"old.ping"]) == []


def test_a_learnt_command_whose_keys_move_has_none_that_can_be_known() -> None:
    table = CommandTable()
    table.learn([row("mod.eval", "readonly", "movablekeys", specs=(ONE_KEY,))])
    assert find("MOD.EVAL", table).keys([b"mod.eval", b"k"]) == []


def test_a_learnt_command_that_blocks_has_a_lease() -> None:
    table = CommandTable()
    table.learn([row("mod.pop", "write", "blocking")])
    assert (kind("MOD.POP", table), find("MOD.POP", table).effect) == (Kind.LEASED, Effect.BLOCKING)


def test_settings_win_over_what_the_leader_says() -> None:
    table = CommandTable({"MOD.GET": "deny", "MOD.SET": "leader", "MOD.INFO|SIZE": "deny"})
    sub = row("mod.info|size", "readonly", arity=3)
    rows = [
        row("mod.get", "readonly"),
        row("mod.set", "write", arity=-3, specs=(ONE_KEY,)),
        row("mod.info", "readonly", subcommands=(sub,)),
    ]
    assert table.learn(rows) == []  # the settings have named them all
    assert (
        kind("MOD.GET", table) == Kind.DENIED
        and kind("MOD.INFO SIZE", table) == Kind.DENIED
        and kind("MOD.INFO x", table) == Kind.READ
    )
    assert find("MOD.SET", table).rule == 'settings: commands."MOD.SET" = "leader"'
    assert find("MOD.SET", table).arity == -3 and find("MOD.SET", table).keys([b"mod.set", b"k", b"v"]) == [b"k"]
    assert table.learn(rows) == []


def test_a_denied_subcommand_stays_denied_where_the_leader_names_no_subcommands() -> None:
    table = CommandTable({"MOD.CONFIG|SET": "deny"})
    table.learn([row("mod.config", "readonly")])
    assert kind("MOD.CONFIG SET", table) == Kind.DENIED and kind("mod.config get", table) == Kind.READ


@pytest.mark.parametrize(
    "bad", [[], [b"x"], [b"x", b"two", [], 0, 0, 0], [b"x", 2, 3, 0, 0, 0], [b"\xff", 2, [], 0, 0, 0], "GET", [None] * 10]
)
def test_a_row_that_is_none_is_refused_and_changes_nothing(bad: Any) -> None:
    table = CommandTable()
    before = dict(table.commands)
    with pytest.raises(ValueError, match="COMMAND"):
        table.learn([bad])
    assert table.commands == before


def test_a_command_cannot_be_changed_by_accident() -> None:
    with pytest.raises(AttributeError):
        find("GET").mood = "good"  # type: ignore[attr-defined]
