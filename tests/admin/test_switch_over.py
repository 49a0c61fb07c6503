"""An administrator's switch-over as the guide tells it: pause, promote, reload, resume. No client sees an error, and no write is lost."""

from __future__ import annotations

import pytest

from tests.admin.asking import ask
from tests.admin.test_reload import running
from tests.freshness.registers import Registers
from tests.integration.servers import cluster
from tests.integration.wire import eventually


@pytest.mark.parametrize(("workers", "discovery"), [(1, "roles"), (2, "roles"), (2, "static")])
def test_clients_see_no_error_and_nothing_is_lost(workers: int, discovery: str) -> None:
    with cluster() as servers, running(servers, "--workers", str(workers), discovery=discovery) as one:
        last, leader, other = servers.nodes
        with Registers(one.proxy, kinds=["string", "hash", "transaction"], rest=0.01) as registers:
            registers.go_on(500)
            assert ask(one.admin, "/api/pause?for=20s", "POST").json["done"].endswith("nothing is under way")
            servers.settle()
            leader.call("REPLICAOF", "NO", "ONE")
            other.call("REPLICAOF", "127.0.0.1", str(leader.port))
            one.write([f"redis://127.0.0.1:{node.port}" for node in (leader, other)], discovery=discovery)
            code, said = one.reload()
            assert code == 0, said
            eventually(lambda: ask(one.admin, "/readyz").status == 200, "there is a leader and a reader")
            assert one.status()["leader"] == f"127.0.0.1:{leader.port}"
            writes = int(last.info("replication")["master_repl_offset"])
            assert ask(one.admin, "/api/resume", "POST").status == 200
            registers.go_on(500)
            assert int(last.info("replication")["master_repl_offset"]) == writes, "the last leader is written no more"
        assert registers.errors == []
        assert registers.stale == []


@pytest.mark.parametrize("workers", [1, 2])
def test_another_user_and_password_are_taken_over_under_load(workers: int) -> None:
    with cluster() as servers, running(servers, "--workers", str(workers)) as one:
        with Registers(one.proxy, kinds=["string", "hash", "transaction"], rest=0.01) as registers:
            registers.go_on(500)
            for node in servers.nodes:
                node.call("ACL", "SETUSER", "app", "on", ">s3cret", "~*", "&*", "+@all")
            one.write([url.replace("redis://", "redis://app:s3cret@") for url in servers.urls])
            code, said = one.reload()
            assert code == 0 and "app:***@" in said and "s3cret" not in said
            registers.go_on(1000)
            for node in servers.nodes:
                eventually(lambda node=node: b"user=app" in node.call("CLIENT", "LIST"), "the new user is there")  # type: ignore[misc]
        assert registers.errors == []
        assert registers.stale == []
