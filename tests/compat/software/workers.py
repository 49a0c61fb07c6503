"""Queue workers whose servers are lost under them: a real worker process, direct and through rproxy, and no job may be lost or done twice.

Each test breaks something while the worker has nothing to do but wait, which is when a job that comes next may be handed to a connection that is gone.
Jobs are enqueued while it is broken and after. A job that was accepted is done once; one whose enqueuing failed is done once or never, since its
sender was told that nobody knows. The worker's process must be the same at the end, but for one that is meant to have a supervisor.

Direct, a leader that is lost is started again on its port, for nothing else can be done for a client that knows one address.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.compat.software.outcomes import Outcome, Side
from tests.compat.software.workspace import DebianWorkspace, NodeWorkspace, Workspace
from tests.integration.harness import rproxy
from tests.integration.servers import Cluster, Node, cluster
from tests.integration.wire import eventually

JOBS = Path(__file__).parent / "jobs"
KEPT = ("--appendonly", "yes", "--appendfsync", "always")
"""Flags of a server that has what it acknowledged when it is started again."""
AT_ONCE = 5
"""Jobs that are enqueued before something is broken, and after."""
OUTAGE = 5.0
"""Seconds without a leader: longer than rproxy holds back a write that it can send nowhere (1.5 s), which then gets an error."""
PATIENCE = 60.0
"""Seconds for a worker to start, or to come back. Celery waits up to 10 s between its tries, RQ up to 60 s."""


@dataclass(frozen=True)
class Framework:
    """A queue: the commands that start its worker and the program that enqueues, and what tells that no job is open.

    In the commands `{python}` is the environment's interpreter, `{jobs}` the folder of the jobs and `{url}` where the servers are.
    Each of the commands in `idle` answers 0 when the worker has said that all it took is done. One that `blocks` waits in a blocking command then.
    A `supervised` worker is started again when it has ended: RQ's ends when its server is lost, direct as well, and leaves the rest to systemd.
    """

    name: str
    worker: tuple[str, ...]
    producer: tuple[str, ...]
    idle: tuple[tuple[str, ...], ...]
    blocks: bool = True
    supervised: bool = False
    quick: bool = False
    runtime: str = "python"


WORKSPACES: dict[str, Callable[[], Workspace | NodeWorkspace | DebianWorkspace]] = {
    "python": lambda: Workspace("workers"),
    "node": lambda: NodeWorkspace("bullmq"),
    "ruby": lambda: DebianWorkspace("sidekiq", package="ruby-sidekiq"),
}
"""What the workers of a runtime need."""


def _python(module: str) -> tuple[str, ...]:
    """The command that enqueues jobs of the framework that this module is about."""
    return ("{python}", "{jobs}/produce.py", module)


FRAMEWORKS = (
    Framework(
        "celery",
        worker=("{python}", "-m", "celery", "-A", "celery_jobs", "worker", "--pool=solo", "--loglevel=WARNING"),
        producer=_python("celery_jobs"),
        idle=(("HLEN", "unacked"), ("LLEN", "celery")),
    ),
    Framework(
        "rq",
        worker=("{python}", "-m", "rq.cli", "worker", "--url", "{url}"),
        producer=_python("rq_jobs"),
        idle=(("ZCARD", "rq:wip:default"), ("LLEN", "rq:queue:default")),
        supervised=True,
    ),
    Framework(
        "huey",
        worker=("{python}", "-m", "huey.bin.huey_consumer", "huey_jobs.app"),
        producer=_python("huey_jobs"),
        idle=(("LLEN", "huey.redis.jobs"),),
        quick=True,
    ),
    Framework(
        "dramatiq",
        worker=("{python}", "-m", "dramatiq", "dramatiq_jobs", "-p", "1", "-t", "1"),
        producer=_python("dramatiq_jobs"),
        idle=(("HLEN", "dramatiq:default.msgs"),),
        blocks=False,
    ),
    Framework(
        "bullmq",
        worker=("node", "{jobs}/bullmq_worker.cjs"),
        producer=("node", "{jobs}/bullmq_produce.cjs"),
        idle=(("LLEN", "bull:jobs:active"), ("LLEN", "bull:jobs:wait")),
        runtime="node",
    ),
    Framework(
        "sidekiq",
        worker=("sidekiq", "-r", "{jobs}/sidekiq_jobs.rb", "-c", "1"),
        producer=("ruby", "{jobs}/sidekiq_produce.rb"),
        idle=(("LLEN", "queue:default"),),
        runtime="ruby",
    ),
)


class Site:
    """A worker and a program that enqueues, both of one framework and with one URL. `log` is what they say."""

    def __init__(
        self, framework: Framework, url: str, workspace: Workspace | NodeWorkspace | DebianWorkspace, folder: Path
    ) -> None:
        self._framework = framework
        self._done = folder / "done"
        self._done.touch()
        self._log = (folder / "log").open("wb")
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(("RPROXY_", "PYTHON"))}
        self._environment |= {
            "JOBS_URL": url,
            "JOBS_DONE": str(self._done),
            "PYTHONPATH": str(JOBS),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._environment |= {"NODE_PATH": str(workspace.folder / "node_modules")}
        self._folder = folder
        names = {"url": url, "jobs": str(JOBS), "python": str(workspace.folder / "venv" / "bin" / "python")}
        self._command = [word.format(**names) for word in framework.worker]
        self.worker = self._start(self._command, subprocess.DEVNULL)
        self._producer = self._start([word.format(**names) for word in framework.producer], subprocess.PIPE)
        self._number = 0
        self.accepted: list[int] = []
        self.failed: dict[int, str] = {}

    def _start(self, command: list[str], stdin: int) -> subprocess.Popen[bytes]:
        answers = subprocess.PIPE if stdin == subprocess.PIPE else self._log
        return subprocess.Popen(command, stdin=stdin, stdout=answers, stderr=self._log, cwd=self._folder, env=self._environment)

    def _all_done(self) -> bool:
        """Every accepted job is done; a supervised worker that has ended is started again meanwhile."""
        if self._framework.supervised and self.worker.poll() is not None:
            self.worker = self._start(self._command, subprocess.DEVNULL)
        return set(self.accepted) <= set(self.done())

    def enqueue(self, count: int) -> None:
        """Enqueue so many jobs, however many tries that takes; each try is a job of its own."""
        assert self._producer.stdin is not None and self._producer.stdout is not None
        wanted = len(self.accepted) + count
        deadline = time.monotonic() + PATIENCE
        while len(self.accepted) < wanted:
            assert time.monotonic() < deadline, f"jobs are accepted again; the last errors: {list(self.failed.values())[-3:]}"
            self._number += 1
            self._producer.stdin.write(b"%d\n" % self._number)
            self._producer.stdin.flush()
            answer = self._producer.stdout.readline().decode().strip()
            if answer == "accepted":
                self.accepted.append(self._number)
            else:
                self.failed[self._number] = answer
                time.sleep(0.1)

    def done(self) -> Counter[int]:
        """How often each job was done."""
        return Counter(map(int, self._done.read_bytes().split()))

    def catch_up(self, leader: Node) -> None:
        """Wait until every accepted job is done, the worker has said so, and waits."""
        eventually(self._all_done, f"of {self.accepted} all are done", within=PATIENCE, pause=0.05)
        questions = self._framework.idle
        eventually(
            lambda: not any(leader.call(*each) for each in questions), f"all answer 0: {questions}", within=PATIENCE, pause=0.05
        )

    def judge(self) -> None:
        """No job was lost or done twice, and the worker lives."""
        done = self.done()
        assert self._framework.supervised or self.worker.poll() is None, f"the worker has ended with {self.worker.returncode}"
        assert {job: done[job] for job in self.accepted if done[job] != 1} == {}, "accepted jobs that were not done once"
        assert {job: done[job] for job in self.failed if done[job] > 1} == {}, "jobs with an error that were done more than once"

    def end(self) -> None:
        for process in (self._producer, self.worker):
            process.kill()
            process.wait()
        for pipe in (self._producer.stdin, self._producer.stdout, self._log):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class Servers:
    """The servers of one run, and what can be done to them. `leader` changes with `lose_leader`."""

    def __init__(self, started: Cluster, spares: list[Node]) -> None:
        self._started = started
        self._spares = spares
        self.leader = started.leader

    def close_connections(self) -> None:
        """The leader closes every client's connection, as it does for `CLIENT KILL` or when its `timeout` is over."""
        self.leader.disconnect_clients()

    def restart_leader(self) -> None:
        """The leader is killed and started again, with all that it had acknowledged."""
        self.leader.restart()

    def stop_leader_for_long(self) -> None:
        """The leader is killed, and started again when clients have been without one for `OUTAGE`."""
        self.leader.kill()
        time.sleep(OUTAGE)
        self.leader.restart()

    def lose_leader(self) -> None:
        """The leader is killed; a replica that has all that it had takes its place, where there is one."""
        if not self._spares:
            self.leader.restart()
            return
        new, *others = self._spares
        target = int(self.leader.info("replication")["master_repl_offset"])
        eventually(lambda: int(new.info("replication")["slave_repl_offset"]) >= target, "the replica has all", within=20)
        self.leader.kill()
        new.call("REPLICAOF", "NO", "ONE")
        for other in others:
            other.call("REPLICAOF", "127.0.0.1", str(new.port))
        self.leader, self._spares = new, others


TESTS: dict[str, tuple[Callable[[Servers], None], int]] = {
    "the leader closes its connections": (Servers.close_connections, 3),
    "the leader is killed and started again": (Servers.restart_leader, 2),
    "the leader is away for seconds": (Servers.stop_leader_for_long, 1),
    "the leader is lost": (Servers.lose_leader, 2),
}
"""What is done to the servers, and how often one after the other."""


def attempt(site: Site, servers: Servers, harm: Callable[[Servers], None], times: int) -> None:
    """Jobs, harm, jobs, as often as it says; then the verdict. Raises AssertionError."""
    site.enqueue(AT_ONCE)
    site.catch_up(servers.leader)
    for _ in range(times):
        harm(servers)
        site.enqueue(AT_ONCE)
        site.catch_up(servers.leader)
    site.judge()


@contextlib.contextmanager
def servers_of(through: bool) -> Iterator[tuple[Servers, str]]:
    """Servers, and the URL that clients are given: of the only one, or `through` rproxy with two replicas."""
    if not through:
        with Node(arguments=KEPT) as alone:
            yield Servers(Cluster(alone, []), []), f"redis://127.0.0.1:{alone.port}"
        return
    with cluster(replicas=2, arguments=KEPT) as started, rproxy(started, "--timeouts.drain", "1s") as proxy:
        yield Servers(started, list(started.replicas)), proxy.url


class WorkersSuite:
    """The tests of one framework's worker, as a suite: what passes direct must pass through rproxy."""

    def __init__(self, framework: Framework) -> None:
        self._framework = framework
        self.name = f"{framework.name}-worker"
        self.quick = framework.quick
        self._workspace = WORKSPACES[framework.runtime]()

    def prepare(self) -> None:
        self._workspace.prepare()

    def direct(self) -> Side:
        return self._run(through=False)

    def proxied(self) -> Side:
        return self._run(through=True)

    def _run(self, through: bool) -> Side:
        outcome, began = Outcome(), time.monotonic()
        output = ""
        for title, (harm, times) in TESTS.items():
            name = f"{self._framework.name}::{title}"
            with tempfile.TemporaryDirectory(prefix="rproxy-workers-") as folder, servers_of(through) as (servers, url):
                site = Site(self._framework, url, self._workspace, Path(folder))
                try:
                    attempt(site, servers, harm, times)
                    outcome.passed.add(name)
                except AssertionError as problem:
                    outcome.failed[name] = f"{problem}\n{(Path(folder) / 'log').read_text(errors='replace')[-1000:]}"
                finally:
                    site.end()
                output += (
                    f"{name}: {len(site.accepted)} accepted, {len(site.failed)} not: {sorted(set(site.failed.values()))[:5]}\n"
                )
        return Side(outcome, time.monotonic() - began, output)
