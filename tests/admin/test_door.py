"""The admin listeners' place in rproxy's life."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from rproxy.admin.door import Door
from rproxy.config import Loaded
from rproxy.embedded import free_port
from rproxy.service.lifecycle import Running
from rproxy.service.reload import Reload
from rproxy.settings import Admin, Settings
from tests.admin.asking import ask
from tests.integration.harness import SERVE, Proxy
from tests.integration.servers import Cluster


def test_only_the_owner_and_his_group_may_use_the_socket(proxy: Proxy, admin_socket: str) -> None:
    assert stat.S_IMODE(Path(admin_socket.removeprefix("unix://")).stat().st_mode) == 0o660


def test_a_taken_address_that_was_set_ends_the_start(servers: Cluster) -> None:
    taken = f"tcp://127.0.0.1:{servers.leader.port}"
    ended = subprocess.run(
        [*SERVE, "-l", f"tcp://127.0.0.1:{free_port()}", "-s", servers.urls[0], "--admin.listen", taken],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ended.returncode == 1 and f"cannot listen on {taken}" in ended.stderr


def test_a_taken_address_that_nobody_set_is_a_line_in_the_log(servers: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    default = Settings(admin=Admin(listen=(f"tcp://127.0.0.1:{servers.leader.port}",)))
    Door(cast(Running, None), cast(Reload, SimpleNamespace(loaded=Loaded(default, {})))).bind()
    assert "no admin listener: tcp://127.0.0.1:" in caplog.text and "admin.listen names another one" in caplog.text


def test_nothing_of_it_is_loaded_for_the_start() -> None:
    loaded = (
        "import sys, rproxy.admin.door, rproxy.cli; print([name for name in ('starlette', 'uvicorn') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=20).stdout == "[]\n"


def test_nothing_is_logged_of_requests(proxy: Proxy, admin: str) -> None:
    before = proxy.log()
    assert ask(admin, "/nothing").status == 404
    assert proxy.log() == before
