"""Name and subcommand to Command: kinds, effects, overrides, what the leader teaches."""

from __future__ import annotations

import pytest

from rproxy.dataplane.commands import CommandTable, Effect, Kind
from rproxy.errors import SettingsError

TABLE = CommandTable()


def find(line: str, table: CommandTable = TABLE) -> tuple[Kind, Effect]:
    words = line.encode().split()
    command = table.find(words[0], words[1] if len(words) > 1 else b"")
    return Kind(command.kind), Effect(command.effect)


READS = "GET MGET EXISTS TTL HGETALL LRANGE SMEMBERS ZRANGE XRANGE KEYS DBSIZE PFCOUNT SORT_RO GEORADIUS_RO BITFIELD_RO EVAL_RO FCALL_RO PING ECHO"
WRITES = "SET GETSET GETEX GETDEL INCR DEL XADD XDEL XTRIM XACK SORT GEORADIUS BITFIELD SPOP EXPIRE EVAL EVALSHA FCALL PUBLISH FLUSHALL TOUCH SCAN HSCAN"


@pytest.mark.parametrize("name", READS.split())
def test_reads_go_to_replicas(name: str) -> None:
    assert find(name) == (Kind.READ, Effect.NONE)


@pytest.mark.parametrize(
    "name", [*WRITES.split(), "INFO", "ROLE", "CONFIG GET", "SCRIPT LOAD", "OBJECT FREQ", "MEMORY USAGE", "EVALSHA_RO", "TIME"]
)
def test_all_else_goes_to_the_leader(name: str) -> None:
    assert find(name) == (Kind.WRITE, Effect.NONE)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("MULTI", (Kind.LEASED, Effect.MULTI)),
        ("WATCH", (Kind.LEASED, Effect.WATCH)),
        ("EXEC", (Kind.WRITE, Effect.EXEC)),
        ("DISCARD", (Kind.WRITE, Effect.DISCARD)),
        ("UNWATCH", (Kind.WRITE, Effect.UNWATCH)),
        ("BLPOP", (Kind.LEASED, Effect.BLOCKING)),
        ("BZMPOP", (Kind.LEASED, Effect.BLOCKING)),
        ("XREAD", (Kind.READ, Effect.BLOCKING)),
        ("XREADGROUP", (Kind.WRITE, Effect.BLOCKING)),
        ("SUBSCRIBE", (Kind.LEASED, Effect.ATTACH)),
        ("MONITOR", (Kind.LEASED, Effect.ATTACH)),
        ("CLIENT TRACKING", (Kind.LEASED, Effect.ATTACH)),
        ("SELECT", (Kind.LOCAL, Effect.NONE)),
        ("CLIENT ID", (Kind.LOCAL, Effect.NONE)),
        ("CLIENT MAINT_NOTIFICATIONS", (Kind.LOCAL, Effect.NONE)),
        ("SHUTDOWN", (Kind.DENIED, Effect.NONE)),
        ("WAIT", (Kind.DENIED, Effect.NONE)),
        ("CLIENT KILL", (Kind.DENIED, Effect.NONE)),
    ],
)
def test_what_concerns_a_connection_is_told_apart(line: str, found: tuple[Kind, Effect]) -> None:
    assert find(line) == found


def test_every_blocking_command_of_the_table_is_leased_or_says_by_which_option_it_blocks() -> None:
    for command in TABLE.commands.values():
        if "blocking" in command.flags and command.kind != Kind.DENIED:
            assert command.effect == Effect.BLOCKING
            assert command.kind == Kind.LEASED or command.blocks_on == b"BLOCK"


def test_nothing_that_servers_call_a_write_is_read_from_a_replica() -> None:
    commands = [found for command in TABLE.commands.values() for found in (command, *(command.subcommands or {}).values())]
    assert not [command.name for command in commands if "write" in command.flags and command.kind == Kind.READ]


def test_names_are_known_in_any_case() -> None:
    assert TABLE.commands[b"GET"] is TABLE.commands[b"get"] is TABLE.find(b"gEt")
    assert TABLE.find(b"cOnfig", b"gEt") is TABLE.find(b"CONFIG", b"GET")


def test_an_unknown_subcommand_is_its_containers() -> None:
    assert TABLE.find(b"CONFIG", b"NONSENSE") is TABLE.find(b"CONFIG")


def test_a_container_is_never_simply_sent() -> None:
    assert not TABLE.find(b"CONFIG").plain
    assert TABLE.find(b"GET").plain and not TABLE.find(b"XREAD").plain and not TABLE.unknown.plain


@pytest.mark.parametrize(("route", "kind"), [("leader", Kind.WRITE), ("replica", Kind.READ), ("deny", Kind.DENIED)])
@pytest.mark.parametrize("name", ["KEYS", "keys", "CONFIG|GET", "config get", "FT.SEARCH"])
def test_settings_override_a_command(name: str, route: str, kind: Kind) -> None:
    table = CommandTable({name: route})
    assert find(name.replace("|", " "), table)[0] == kind
    words = name.replace("|", " ").encode().split()
    assert table.find(*words).rule.startswith("settings: ")


def test_an_override_of_a_container_holds_for_its_subcommands_unless_they_have_their_own() -> None:
    table = CommandTable({"CONFIG": "deny", "CONFIG|GET": "leader"})
    assert find("CONFIG SET", table)[0] == Kind.DENIED
    assert find("CONFIG GET", table)[0] == Kind.WRITE


def test_a_denied_container_leaves_what_is_about_the_connection_deniable_only() -> None:
    assert find("CLIENT ID", CommandTable({"CLIENT": "deny"}))[0] == Kind.DENIED
    assert find("CLIENT ID", CommandTable({"CLIENT": "leader"}))[0] == Kind.LOCAL


def test_what_is_refused_by_default_can_be_allowed() -> None:
    assert find("SHUTDOWN", CommandTable({"SHUTDOWN": "leader"}))[0] == Kind.WRITE


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"SELECT": "replica"}, "can only be"),
        ({"MULTI": "leader"}, "can only be"),
        ({"KEYS": "somewhere"}, "write"),
        ({"KEYZ": "deny"}, "did you mean KEYS"),
        ({"CONFIG|GETT": "deny"}, "CONFIG|GET"),
    ],
)
def test_an_override_that_cannot_be_is_refused(overrides: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("|", r"\|")):
        CommandTable(overrides)


def test_what_the_leader_knows_and_the_table_lacks_is_learnt() -> None:
    table = CommandTable({"MY.WRITE": "deny"})
    rows = [
        [b"my.read", 2, [b"readonly", b"fast"], 1, 1, 1],
        [b"my.write", -3, [b"write"], 1, 1, 1],
        [b"get", 2, [b"write"], 1, 1, 1],
        [b"config", -2, [], 0, 0, 0, [], [], [], [[b"config|novel", 2, [b"readonly"], 0, 0, 0]]],
    ]
    before = table.commands
    assert table.learn(rows) == [b"MY.READ", b"CONFIG|NOVEL"]
    assert table.commands is before
    assert find("my.read", table)[0] == Kind.READ
    assert find("MY.WRITE", table)[0] == Kind.DENIED
    assert find("GET", table)[0] == Kind.READ
    assert table.find(b"MY.READ").keys([b"my.read", b"k"]) == [b"k"]


def test_a_row_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a row"):
        TABLE.learn([[b"x"]])
