"""/api/clients, /api/commands, /api/slow, /api/hot."""

from __future__ import annotations

from tests.admin.asking import ask
from tests.integration.harness import Proxy


def test_what_clients_do_is_told(proxy: Proxy, admin: str) -> None:
    with proxy.connect() as wire:
        wire.ask("CLIENT", "SETNAME", "worker-bee")
        wire.ask("SET", "k", "v")
        wire.ask("INCR", "k")
        found = ask(admin, "/api/clients").json
        assert found["total"] >= 1 and "worker-bee" in [row["name"] for row in found["clients"]]
        rows = {row["name"]: row for row in ask(admin, "/api/commands").json["commands"]}
        assert rows["SET"]["kind"] == "write" and rows["SET"]["count"] >= 1
        status = ask(admin, "/api/status").json
        assert status["errors"]["ERR"] >= 1 and status["kinds"]["write"] >= 2
        assert any(series["kind"] == "write" for series in status["latency"]["series"])


def test_a_command_that_takes_long_is_told_and_the_limit_must_be_a_number(proxy: Proxy, admin: str) -> None:
    with proxy.connect() as wire:
        wire.ask("EVAL", "local n = 0 while n < 30000000 do n = n + 1 end return n", "0")
    found = ask(admin, "/api/slow").json
    assert found["threshold_ms"] == 50 and "EVAL" in [row["command"] for row in found["slow"]]
    assert ask(admin, "/api/hot").json.keys() == {"sampled", "keys", "big"}
    assert ask(admin, "/api/clients?limit=x").status == 400
