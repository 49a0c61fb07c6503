"""/livez and /readyz."""

from __future__ import annotations

import signal

from rproxy.embedded import free_port
from tests.admin.asking import answers, ask
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually, pack


def lacks(url: str) -> list[str]:
    """The conditions that are not fulfilled."""
    reply = ask(url, "/readyz")
    lacking = [line[3:].partition(":")[0] for line in reply.text.splitlines() if line.startswith("[-]")]
    assert reply.status == (503 if lacking else 200)
    return lacking


def test_who_serves_is_alive_and_ready_and_says_what_it_has(proxy: Proxy, admin: str) -> None:
    assert ask(admin, "/livez") == ask(admin, "/healthz") == (200, "ok\n")
    assert ask(admin, "/readyz") == (200, "[+]listening ok\n[+]leader ok\n[+]readers ok\n[+]serving ok\n")


def test_what_is_lacking_is_named_and_no_reason_to_restart() -> None:
    admin = f"tcp://127.0.0.1:{free_port()}"
    with cluster(replicas=1) as broken, rproxy(broken, admin=admin) as proxy:
        eventually(lambda: answers(admin) and not lacks(admin), "it is ready")
        broken.replicas[0].stop()
        eventually(lambda: lacks(admin) == ["readers"], "it lacks readers")
        broken.leader.stop()
        eventually(lambda: "leader" in lacks(admin), "it lacks a leader")
        assert ask(admin, "/livez").status == 200
        with proxy.connect() as wire:
            assert wire.ask("CLIENT", "ID").startswith(b":")


def test_who_drains_is_not_ready_and_says_so_until_the_last_client_has_gone(servers: Cluster) -> None:
    admin = f"tcp://127.0.0.1:{free_port()}"
    with rproxy(servers, "--workers", "2", admin=admin) as proxy, proxy.connect() as wire:
        eventually(lambda: answers(admin) and not lacks(admin), "it is ready")
        wire.send(pack("BLPOP", "nothing", "0"))
        eventually(lambda: servers.leader.blocked_clients() == 1, "it waits")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: "serving" in lacks(admin), "it is not ready")
        servers.leader.call("RPUSH", "nothing", "now")
        assert wire.frame() == b"*2\r\n$7\r\nnothing\r\n$3\r\nnow\r\n"
        assert proxy.wait(within=10) == 0
