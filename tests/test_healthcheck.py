"""`rproxy healthcheck`: exit code 0 where rproxy can serve, 1 with the reason where not."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.harness import rproxy
from tests.integration.servers import cluster
from tests.integration.wire import eventually


def healthcheck(*words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "rproxy", "healthcheck", *words], capture_output=True, text=True)
    return done.returncode, done.stderr


def test_it_says_whether_there_is_a_leader_and_a_reader_and_an_rproxy() -> None:
    with cluster(replicas=1) as servers:
        with rproxy(servers, "--timeouts.probe_interval", "100ms") as proxy:
            listen = f"tcp://127.0.0.1:{proxy.port}"
            assert healthcheck("-l", listen) == healthcheck(listen) == (0, "")
            servers.replicas[0].kill()
            eventually(lambda: healthcheck(listen) == (1, "rproxy: no replica may be read\n"), "the replica is out")
            servers.leader.kill()
            eventually(lambda: "leader" in healthcheck(listen)[1], "the leader is gone")
        code, said = healthcheck(listen)
    assert code == 1 and "no rproxy answers" in said
