"""/api/status and /api/config."""

from __future__ import annotations

from rproxy.embedded import free_port
from tests.admin.asking import answers, ask
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster
from tests.integration.wire import eventually


def test_the_status_is_that_of_rproxy_status(proxy: Proxy, admin: str, admin_socket: str, servers: Cluster) -> None:
    facts = ask(admin, "/api/status").json
    assert [row["server"] for row in facts["servers"]] == [f"127.0.0.1:{node.port}" for node in servers.nodes]
    assert facts["leader_up"] and all(row["in"] for row in facts["servers"])
    assert ask(admin_socket, "/api/status").json.keys() == facts.keys()


def test_of_several_workers_it_is_that_of_all(servers: Cluster) -> None:
    admin = f"tcp://127.0.0.1:{free_port()}"
    with rproxy(servers, "--workers", "2", admin=admin) as proxy, proxy.connect() as one, proxy.connect() as other:
        eventually(lambda: answers(admin), "it answers")
        for wire in (one, other):
            wire.ask("SET", "k", "v")
        facts = ask(admin, "/api/status").json
        assert facts["clients"] == 2 and facts["workers"] == 2 and facts["consistency"] == "fresh"
        eventually(lambda: ask(admin, "/api/status").json["servers"][0]["writes"] >= 2, "both workers' writes are counted")
        eventually(lambda: all(row["fresh"] for row in ask(admin, "/api/status").json["servers"]), "all replicas have all")


def test_the_settings_are_told_with_their_places(proxy: Proxy, admin: str) -> None:
    rows = {row["key"]: row for row in ask(admin, "/api/config").json["settings"]}
    assert rows["consistency"] == {"key": "consistency", "value": "fresh", "origin": "default"}
    assert rows["listen"]["origin"] == "flag --listen" and rows["admin.listen"]["origin"] == "variable RPROXY_ADMIN__LISTEN"
