"""How the keys of each command are found: never fewer than a server may touch."""

from __future__ import annotations

import pytest

from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.reach import Reach

TABLE = CommandTable()


@pytest.mark.parametrize(
    ("names", "reach"),
    [
        ("GET SET INCR HSET LPUSH EXPIRE XADD TYPE TTL GETEX SPOP RESTORE HSCAN", Reach.FIRST),
        ("MGET DEL MSET UNLINK EXISTS BLPOP SINTER PFCOUNT LCS", Reach.FIXED),
        (
            "RENAME COPY EVAL FCALL EVAL_RO EVALSHA_RO SORT SORT_RO BITOP ZUNION XREAD XREADGROUP BLMOVE MIGRATE SMOVE",
            Reach.SEARCH,
        ),
        ("FLUSHALL FLUSHDB SWAPDB KEYS SCAN DBSIZE RANDOMKEY DEBUG FUNCTION|LOAD FUNCTION|RESTORE", Reach.ALL),
        (
            "INFO CONFIG|SET PUBLISH MULTI EXEC WATCH CLUSTERSCAN TOUCH SCRIPT|LOAD SUBSCRIBE TIME",
            Reach.NOTHING,
        ),
        ("PING ECHO", Reach.LEADER),
    ],
)
def test_the_keys_of_a_command_are_found_by_its_facts(names: str, reach: Reach) -> None:
    for name in names.split():
        word, _, sub = name.encode().partition(b"|")
        assert TABLE.find(word, sub).reach == reach, name


def test_every_write_and_every_read_of_data_reaches_something() -> None:
    for command in TABLE.commands.values():
        if "write" in command.flags or ("readonly" in command.flags and command.kind == 0):
            assert command.reach != Reach.NOTHING, command.name


def test_an_unknown_command_reaches_all_keys() -> None:
    assert TABLE.unknown.reach == Reach.ALL


def test_a_modules_command_without_flags_and_keys_reaches_all_and_one_with_keys_those() -> None:
    table = CommandTable()
    table.learn(
        [
            [b"mod.do", -1, [], 0, 0, 0],
            [b"mod.set", 3, [b"write"], 1, 1, 1],
            [b"mod.get", 2, [b"readonly"], 1, 1, 1],
            [b"mod.list", 1, [b"readonly"], 0, 0, 0],
        ]
    )
    reaches = [table.find(name).reach for name in (b"mod.do", b"mod.set", b"mod.get", b"mod.list")]
    assert reaches == [Reach.ALL, Reach.FIRST, Reach.FIRST, Reach.ALL]


def test_functions_reach_all_where_they_are_not_believed_and_scripts_by_their_text() -> None:
    table = CommandTable(None, scripts_declare_keys=False)
    for name in (b"FCALL", b"FCALL_RO"):
        assert table.find(name).reach == Reach.ALL
    for name in (b"EVAL", b"EVALSHA", b"EVAL_RO", b"EVALSHA_RO"):
        assert (table.find(name).reach, table.find(name).script_keys) == (Reach.SEARCH, table.script_keys)
        assert CommandTable().find(name).script_keys is None
    assert table.find(b"GET").reach == Reach.FIRST


def test_a_read_that_the_settings_send_to_the_leader_writes_nothing() -> None:
    assert CommandTable({"GET": "leader"}).find(b"GET").reach == Reach.NOTHING
