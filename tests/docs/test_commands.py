"""The commands in the documents can be run: they are, page by page and line by line, as a reader would.

Servers, folders and ports of this machine stand in place of those that the pages name.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rproxy.embedded import free_port
from tests.controlplane.sentinels import Sentinel
from tests.docs.test_examples import PAGES, ROOT, blocks
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import Wire, eventually

LEFT_OUT = {
    "systemctl": "it would change which services this machine runs; tests/test_deployment_files.py asks systemd about the unit",
    "docker": "it needs a daemon and pulls images; tests/test_deployment_files.py reads the Dockerfile",
    "python3": "of the environment that rproxy would be installed into, and which the tests already have",
    "pip": "it compiles for minutes what is tested here, and asks a registry",
    "/opt/rproxy/bin/pip": "as pip",
    "export": "where that environment is",
    "make": "it builds an environment first; then make demo is rproxy demo, which tests/test_demo.py runs, and make test would begin this test again",
}
RUN = ("rproxy", "install")
SERVE = "rproxy serve -s redis://10.0.0.1 -s redis://10.0.0.2 -s redis://10.0.0.3"
"""README's: what runs where a page takes for granted that rproxy does."""
SITE = """
CACHES = {{"default": {{"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "{urls}"}}}}
"""


def commands_of(page: Path) -> list[str]:
    """Every line of a page's blocks that are for a shell: those that are said to be, and those whose first word is a program."""
    found = []
    for language, text in blocks(page):
        lines = [line.partition(" #")[0].strip() for line in text.splitlines() if line.strip()]
        if language == "sh" or (not language and lines[0].split()[0] in (*RUN, *LEFT_OUT)):
            found += lines
    return found


class Machine:
    """Where the commands are run: a folder in place of /, three servers in place of 10.0.0.1 to 3, and free ports in place of rproxy's own."""

    def __init__(self, folder: Path, servers: Cluster, sentinels: list[Sentinel]) -> None:
        self.folder, self.servers, self.sentinels = folder, servers, sentinels
        self.port = free_port()
        self.serving: subprocess.Popen[bytes] | None = None
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("RPROXY_")} | {
            "PYTHONPATH": str(ROOT),
            "RPROXY_LISTEN": f"tcp://127.0.0.1:{self.port}",
            "RPROXY_ADMIN__LISTEN": f"tcp://127.0.0.1:{free_port()}",
        }
        if "RPROXY_INTERPRETED" in os.environ:
            self.environment["RPROXY_INTERPRETED"] = os.environ["RPROXY_INTERPRETED"]
        (folder / "etc" / "systemd" / "system").mkdir(parents=True)
        (folder / "mysite").mkdir()
        (folder / "mysite" / "settings.py").write_text(SITE.format(urls=",".join(servers.urls)))

    def words(self, line: str) -> list[str]:
        """The line's words, as they are on this machine."""
        ports = (
            [sentinel.port for sentinel in self.sentinels]
            if "--sentinels" in line
            else [node.port for node in self.servers.nodes]
        )
        for number, port in enumerate(ports, 1):
            line = re.sub(rf"10\.0\.0\.{number}\b(:\d+)?", f"127.0.0.1:{port}", line)
        program, *words = shlex.split(re.sub(r"(?<= )/etc/", f"{self.folder}/etc/", line))
        words = [str(ROOT / word) if word.startswith("systemd/") else word for word in words]
        return [sys.executable, "-m", program, *words] if program == "rproxy" else [program, *words]

    def run(self, line: str) -> None:
        """Run it as the page means it: to its end, or until it serves."""
        if line.startswith("rproxy serve"):
            self.serve(line)
            return
        if not line.startswith(("install", "rproxy config", "rproxy check")) and self.serving is None:
            self.serve(SERVE)
        environment = dict(self.environment)
        if "-c" not in shlex.split(line) and self.serving is not None:
            (self.folder / "running.toml").write_text(f"servers = {self.servers.urls!r}\n".replace("'", '"'))
            environment["RPROXY_CONFIG"] = str(self.folder / "running.toml")
        done = subprocess.run(self.words(line), cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"

    def serve(self, line: str) -> None:
        """In place of what serves now."""
        self.end()
        self.serving = subprocess.Popen(self.words(line), cwd=self.folder, env=self.environment)
        eventually(self.is_well, f"{line} serves", within=30)

    def is_well(self) -> bool:
        """A write comes to the leader, and every replica is read."""
        assert self.serving is not None and self.serving.poll() is None, "it has ended"
        try:
            with Wire(("127.0.0.1", self.port), timeout=5) as wire:
                well = wire.ask("SET", "k", "v") == b"+OK\r\n"
                return well and wire.ask("RPROXY", "STATUS").count(b'"in": true') == len(self.servers.nodes)
        except (OSError, EOFError):
            return False

    def end(self) -> None:
        if self.serving is not None:
            self.serving.terminate()
            assert self.serving.wait(30) == 0
            self.serving = None


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with (
        cluster() as servers,
        Sentinel(servers.leader) as one,
        Sentinel(servers.leader) as two,
        Sentinel(servers.leader) as three,
    ):
        sentinels = [one, two, three]
        for sentinel in sentinels:
            sentinel.wait_for_replicas(2)
        made = Machine(tmp_path, servers, sentinels)
        yield made
        if made.serving is not None and made.serving.poll() is None:
            made.end()


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_can_be_run_one_after_the_other(page: Path, machine: Machine) -> None:
    for line in commands_of(page):
        if line.split()[0] not in LEFT_OUT:
            machine.run(line)


def test_every_command_is_run_or_there_is_a_reason_why_it_is_not() -> None:
    lines = {line for page in PAGES for line in commands_of(page)}
    assert {line.split()[0] for line in lines} == {*RUN, *LEFT_OUT}
    every = {line.partition(" #")[0].strip() for page in PAGES for _, text in blocks(page) for line in text.splitlines()}
    assert {line for line in every if line.startswith("rproxy ")} <= lines
