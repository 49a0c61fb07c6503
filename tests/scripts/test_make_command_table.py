"""The committed table is what the script makes of real servers."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rproxy.dataplane import command_table
from rproxy.dataplane.facts import Fact
from rproxy.embedded import EmbeddedServer, start_leader

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_command_table.py"
COMMITTED = {fact.name: fact for fact in (Fact(*row) for row in command_table.FACTS)}
NEWEST = "Valkey 9.1.2"


def test_each_fact_of_the_newest_server_stands_in_the_table(leader: EmbeddedServer) -> None:
    script = runpy.run_path(str(SCRIPT))
    address = f"127.0.0.1:{leader.port}"
    found = script["collect"]([address])
    if script["version"](address) == NEWEST:
        assert {name: COMMITTED.get(name) for name in found} == found
    else:  # another release may change facts, but the table must not call one of its writes a read
        assert not [
            name
            for name, fact in found.items()
            if "write" in fact.flags and name in COMMITTED and "readonly" in COMMITTED[name].flags
        ]


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server on PATH")
def test_the_table_is_made_of_both_servers(leader: EmbeddedServer) -> None:
    with start_leader(binary=shutil.which("redis-server")) as redis:
        addresses = [f"127.0.0.1:{server.port}" for server in (leader, redis)]
        made = subprocess.run([sys.executable, SCRIPT, *addresses], capture_output=True, text=True, check=True).stdout
    if NEWEST in made and "Redis 7.0.15" in made:
        assert made == Path(command_table.__file__).read_text()
    else:
        assert '("GET", 2, "fast readonly", ("1 range 0 1 0",)),' in made


def test_without_a_server_it_says_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
    assert done.returncode == 1 and "make_command_table.py HOST:PORT" in done.stderr
