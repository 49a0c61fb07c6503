"""What is done to servers, network and rproxy. Each nemesis is a coroutine that goes on until the run's time is up, and says what may be found without a fault
of rproxy's: a promotion of a replica that lags loses writes, whoever stands in front.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rproxy.embedded import server_binary
from tests.chaos.connection import Connection
from tests.chaos.history import History, Kind, now
from tests.chaos.rig import FAKETIME, Rig, call, tried
from tests.integration.wire import Wire

LOSSES = frozenset({Kind.LOST, Kind.STALE, Kind.BACK, Kind.NOT_LINEARIZABLE, Kind.ORDER, Kind.POPPED_AGAIN})
"""What a promotion, or two leaders, may do to data."""
OLD = frozenset({Kind.STALE, Kind.BACK, Kind.NOT_LINEARIZABLE, Kind.ORDER})
"""What the docs allow while no leader answers: replicas answer reads that are as fresh as they can be."""
TAKEOVER = ("--timeouts.drain", "3s")


@dataclass
class Run:
    """What a nemesis is given."""

    rig: Rig
    history: History
    workers: int
    until: float = 0.0
    mute: list[int] = field(default_factory=list)

    @property
    def on(self) -> bool:
        return now() < self.until

    def says(self, text: str) -> None:
        self.history.event(text)

    async def rest(self, *seconds: float) -> None:
        """Sleep for so long, or for one of these by chance."""
        await asyncio.sleep(random.choice(seconds))


Do = Callable[[Run], Awaitable[None]]
Start = Callable[[Run], None]


@dataclass(frozen=True)
class Nemesis:
    """A nemesis and what is expected of rproxy under it: the longest times without a write and without a read, in seconds."""

    do: Do
    writes: float
    reads: float
    forgiven: frozenset[Kind] = frozenset()
    durable: bool = False
    relayed: bool = False
    replication_relayed: bool = False
    sentinels: bool = False
    workers: int = 1
    ends: bool = False
    """Whether it may end rproxy itself."""
    arguments: tuple[str, ...] = ()
    """For the servers."""
    binary: str = ""
    """Their program, where it isn't the usual one."""
    namespace: bool = False
    """Whether it runs in a network of its own, where names are resolved by 127.0.0.1."""
    seconds: float = 24.0
    settle: float = 3.0
    start: Start | None = None
    """Starts rproxy in place of the usual way."""
    needs: Callable[[], str] = str
    """Says what is missing on this machine; nothing when all is there."""

    @property
    def title(self) -> str:
        return (self.do.__doc__ or "").split("\n")[0]


NEMESES: dict[str, Nemesis] = {}


def nemesis(writes: float, reads: float, **traits: object) -> Callable[[Do], Do]:
    """Register a nemesis under its function's name."""

    def take(do: Do) -> Do:
        name = getattr(do, "__name__", "").replace("_", "-")
        NEMESES[name] = Nemesis(do, writes, reads, **traits)  # type: ignore[arg-type]
        return do

    return take


def only_root() -> str:
    return "" if os.geteuid() == 0 else "needs root"


def namespaces() -> str:
    return only_root() or program("unshare")() or program("ip")()


def program(name: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(name) else f"needs {name}"


# servers that end or stand still


@nemesis(1.0, 0.5)
async def calm(run: Run) -> None:
    """Nothing happens."""
    await asyncio.sleep(run.until - now())


@nemesis(3.0, 0.6, durable=True)
async def leader_kill_restart(run: Run) -> None:
    """The leader is killed and comes back with its data."""
    while run.on:
        await run.rig.kill(0)
        run.says("leader killed")
        await run.rest(0.05, 0.4, 1.0)
        await run.rig.come_back(0)
        await run.rig.whole()
        run.says("leader is back")
        await run.rest(2)


@nemesis(4.5, 0.6, forgiven=LOSSES)
async def leader_kill_promote(run: Run) -> None:
    """The leader is killed, a replica promoted, and the old one comes back as a replica."""
    while run.on:
        old, new = run.rig.leader, (run.rig.leader + 1) % 3
        await run.rig.kill(old)
        run.says(f"leader {old} killed")
        await run.rest(0.0, 0.5, 1.2)
        await run.rig.promote(new)
        run.says(f"{new} promoted")
        await run.rest(2)
        await run.rig.come_back(old)
        await run.rig.whole()
        await run.rest(2)


@nemesis(0.5, 0.5)
async def replica_kill(run: Run) -> None:
    """One replica after the other is killed and comes back."""
    while run.on:
        number = random.choice((1, 2))
        await run.rig.kill(number)
        run.says(f"replica {number} killed")
        await run.rest(0.05, 1.0)
        await run.rig.come_back(number)
        await run.rest(0.3, 2.0)


@nemesis(0.5, 0.5)
async def replicas_kill(run: Run) -> None:
    """All replicas are killed and come back."""
    while run.on:
        for number in (1, 2):
            await run.rig.kill(number)
        run.says("all replicas killed")
        await run.rest(0.2, 1.5)
        for number in (1, 2):
            await run.rig.come_back(number)
        await run.rig.whole()
        await run.rest(2)


@nemesis(6.0, 1.2, forgiven=OLD)
async def leader_stop(run: Run) -> None:
    """The leader stands still for 3 s, and nobody else is promoted."""
    while run.on:
        run.rig.servers[0].stop()
        run.says("leader stopped")
        await run.rest(3)
        run.rig.servers[0].cont()
        run.says("leader goes on")
        await run.rest(4)


@nemesis(5.0, 1.2, forgiven=LOSSES)
async def leader_stop_promote(run: Run) -> None:
    """The leader stands still, a replica is promoted, and the old one goes on as a leader for 3 s."""
    while run.on:
        old, new = run.rig.leader, (run.rig.leader + 1) % 3
        run.rig.servers[old].stop()
        run.says(f"leader {old} stopped")
        await run.rest(1.2)
        await run.rig.promote(new)
        await run.rest(2)
        run.rig.servers[old].cont()
        run.says(f"{new} was promoted, {old} goes on as a leader")
        await run.rest(3)
        await run.rig.demote(old)
        await run.rest(2)


@nemesis(0.7, 1.2)
async def replica_stop(run: Run) -> None:
    """A replica stands still for up to 4 s."""
    while run.on:
        number = random.choice((1, 2))
        run.rig.servers[number].stop()
        run.says(f"replica {number} stopped")
        await run.rest(0.3, 2.0, 4.0)
        run.rig.servers[number].cont()
        await run.rest(1.5)


# rproxy's own processes


def _to_worker(run: Run, number: signal.Signals) -> int:
    """Send a signal to one worker by chance; its process id, 0 when there is none."""
    workers = run.rig.workers()
    pid = random.choice(workers) if workers else 0
    _to(pid, number)
    return pid


def _to(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if pid:
            os.kill(pid, number)


@nemesis(2.0, 2.0, workers=2)
async def worker_kill(run: Run) -> None:
    """Workers are killed."""
    while run.on:
        _to_worker(run, signal.SIGKILL)
        run.says("worker killed")
        await run.rest(0.2, 2.5, 3.0, 6.0)


@nemesis(2.0, 2.0, workers=2)
async def worker_stop(run: Run) -> None:
    """A worker stands still for 1, 4 and 2 s, and then for so long that the supervisor ends it."""
    for seconds in (1, 4, 2, 11):
        if not run.on:
            break
        pid = _to_worker(run, signal.SIGSTOP)
        run.says(f"worker stopped for {seconds} s")
        await run.rest(seconds)
        _to(pid, signal.SIGCONT)
        await run.rest(1.5)


@nemesis(2.0, 2.0, workers=2)
async def supervisor_stop(run: Run) -> None:
    """The supervisor stands still for up to 7 s."""
    while run.on:
        run.rig.signal(signal.SIGSTOP)
        run.says("supervisor stopped")
        await run.rest(0.5, 3, 7)
        run.rig.signal(signal.SIGCONT)
        await run.rest(2)


@nemesis(12.0, 2.0, workers=2, forgiven=LOSSES)
async def supervisor_stop_failover(run: Run) -> None:
    """The supervisor stands still while the leader is killed and a replica promoted."""
    while run.on:
        old, new = run.rig.leader, (run.rig.leader + 1) % 3
        run.rig.signal(signal.SIGSTOP)
        await run.rest(1)
        await run.rig.kill(old)
        await run.rig.promote(new)
        run.says(f"supervisor stopped, leader {old} killed, {new} promoted")
        await run.rest(4)
        run.rig.signal(signal.SIGCONT)
        await run.rest(3)
        await run.rig.come_back(old)
        await run.rig.whole()
        await run.rest(2)


@nemesis(4.0, 4.0, workers=2, ends=True)
async def supervisor_kill(run: Run) -> None:
    """The supervisor is killed, and another rproxy starts 0.3 s later, as systemd would have it."""
    while run.on:
        run.rig.proxy.kill()
        run.rig.proxy.wait()
        run.says("supervisor killed")
        await run.rest(0.3)
        run.rig.start_proxy(workers=2, wait=False)
        await run.rig.until(run.rig.takes_writes, "rproxy serves again")
        await run.rest(3)


@nemesis(12.0, 12.0, workers=2, ends=True)
async def supervisor_kill_worker_stopped(run: Run) -> None:
    """A worker stands still while its supervisor is killed and another rproxy starts."""
    while run.on:
        await run.rig.until(lambda: len(run.rig.workers()) == 2, "two workers")
        workers = run.rig.workers()
        _to(workers[0], signal.SIGSTOP)
        await run.rest(0.3)
        run.rig.proxy.kill()
        run.rig.proxy.wait()
        run.says("worker stopped, supervisor killed")
        run.rig.start_proxy(workers=2, wait=False)
        await run.rest(2)
        _to(workers[0], signal.SIGCONT)
        await run.rest(3)
        left = [pid for pid in workers if os.path.exists(f"/proc/{pid}")]
        if left:
            run.history.found(Kind.ODD, f"orphaned workers live on: {left}")
            for pid in left:
                _to(pid, signal.SIGKILL)
        await run.rig.until(run.rig.takes_writes, "rproxy serves again")
        await run.rest(2)


@nemesis(5.0, 5.0)
async def proxy_stop(run: Run) -> None:
    """rproxy stands still for up to 4 s."""
    while run.on:
        run.rig.signal(signal.SIGSTOP)
        await run.rest(0.2, 2, 4)
        run.rig.signal(signal.SIGCONT)
        run.says("rproxy stopped and goes on")
        await run.rest(2)


@nemesis(8.0, 8.0, forgiven=LOSSES)
async def proxy_stop_promote(run: Run) -> None:
    """rproxy stands still while a replica is promoted; the old leader goes on as one for 2 s more."""
    while run.on:
        old, new = run.rig.leader, (run.rig.leader + 1) % 3
        run.rig.signal(signal.SIGSTOP)
        await run.rest(1)
        await run.rig.promote(new)
        await run.rest(2)
        run.rig.signal(signal.SIGCONT)
        run.says(f"{new} was promoted while rproxy stood still, {old} leads too")
        await run.rest(3)
        await run.rig.demote(old)
        await run.rest(2)


# the network


@nemesis(1.5, 1.0, relayed=True)
async def net_delay(run: Run) -> None:
    """The way to the leader takes 20 to 80 ms, that to a replica 5 to 205 ms."""
    run.rig.spoil("p0", "delay", ms=20, jitter=60)
    run.rig.spoil("p1", "delay", ms=5, jitter=200)
    await asyncio.sleep(run.until - now())
    run.rig.spoil("*", "pass")


@nemesis(1.0, 0.5, relayed=True)
async def net_reset(run: Run) -> None:
    """Connections are reset every 0.05 to 0.5 s."""
    while run.on:
        run.rig.spoil(random.choice(("p0", "p0", "p1", "p2")), act="reset", p=random.choice((1.0, 0.3)))
        await asyncio.sleep(random.uniform(0.05, 0.5))


@nemesis(1.0, 0.5, relayed=True)
async def net_cut_late(run: Run) -> None:
    """Connections end in the middle of replies."""
    for link in ("p0", "p1", "p2"):
        run.rig.spoil(link, "cut_late", p=0.003)
    await asyncio.sleep(run.until - now())
    run.rig.spoil("*", "pass")


async def _hold(run: Run, mode: str) -> None:
    while run.on:
        run.rig.spoil("p0", mode)
        run.says(f"leader: {mode}")
        await run.rest(4)
        run.rig.spoil("p0", "pass")
        await run.rest(4)


@nemesis(9.0, 1.5, relayed=True, forgiven=OLD)
async def net_hold_down(run: Run) -> None:
    """The leader hears, and its answers don't come for 4 s."""
    await _hold(run, "hold_down")


@nemesis(9.0, 1.5, relayed=True, forgiven=OLD)
async def net_hold_up(run: Run) -> None:
    """What is sent to the leader doesn't come for 4 s."""
    await _hold(run, "hold_up")


@nemesis(0.7, 1.2, relayed=True)
async def net_hold_replica(run: Run) -> None:
    """A replica's network stands still, in one direction or in both."""
    while run.on:
        link, mode = random.choice(("p1", "p2")), random.choice(("hold", "hold_up", "hold_down"))
        run.rig.spoil(link, mode)
        run.says(f"{link}: {mode}")
        await run.rest(0.3, 3)
        run.rig.spoil(link, "pass")
        await run.rest(1.5)


@nemesis(35.0, 1.5, relayed=True, forgiven=OLD, settle=8.0)
async def net_half_open_leader(run: Run) -> None:
    """All connections to the leader are dead and nobody is told; new ones work."""
    await run.rest(2)
    run.rig.spoil("p0", act="half_open")
    await asyncio.sleep(max(20.0, run.until - now()))


@nemesis(1.0, 2.0, relayed=True, settle=8.0)
async def net_half_open_replica(run: Run) -> None:
    """All connections to a replica are dead and nobody is told; new ones work."""
    await run.rest(2)
    run.rig.spoil("p1", act="half_open")
    await asyncio.sleep(max(20.0, run.until - now()))


@nemesis(3.0, 1.5, relayed=True)
async def net_trickle(run: Run) -> None:
    """Replies come byte by byte for 1.5 s."""
    while run.on:
        link = random.choice(("p0", "p1"))
        run.rig.spoil(link, "trickle", rate=2000)
        await run.rest(1.5)
        run.rig.spoil(link, "pass")
        await run.rest(3)


@nemesis(9.0, 9.0, relayed=True, forgiven=frozenset(Kind) - {Kind.DIED, Kind.NOT_SERVED, Kind.LOG, Kind.NO_READS, Kind.NO_WRITES})
async def net_corrupt(run: Run) -> None:
    """Single bytes of replies are changed: rproxy neither ends nor stands still."""
    for link in ("p0", "p1", "p2"):
        run.rig.spoil(link, "corrupt", p=0.002)
    await asyncio.sleep(run.until - now())
    run.rig.spoil("*", "pass")


@nemesis(6.0, 1.5, relayed=True, forgiven=LOSSES)
async def net_partition_promote(run: Run) -> None:
    """The leader can't be reached, a replica is promoted, and then both can be."""
    while run.on:
        old, new = run.rig.leader, (run.rig.leader + 1) % 3
        run.rig.spoil(f"p{old}", "hold")
        await run.rest(1.5)
        await run.rig.promote(new)
        await run.rest(2)
        run.rig.spoil(f"p{old}", "pass")
        run.says(f"{old} was cut off, {new} promoted, now both lead")
        await run.rest(3)
        await run.rig.demote(old)
        await run.rest(2)


@nemesis(1.0, 0.5, relayed=True, replication_relayed=True)
async def replication_lag(run: Run) -> None:
    """Replication lags by up to 400 ms, stands still, and is cut."""
    while run.on:
        mode = random.choice(("delay", "hold", "", "pass", "delay"))
        if mode:
            run.rig.spoil("r0", mode, ms=random.choice((5, 50, 300)), jitter=100)
        else:
            run.rig.spoil("r0", act="reset", p=0.5)
        await asyncio.sleep(random.uniform(0.2, 1.5))
    run.rig.spoil("r0", "pass")


@nemesis(4.0, 2.0, relayed=True, replication_relayed=True)
async def late_write(run: Run) -> None:
    """The leader stands still while its connections are reset: what was lost on its way is run when it goes on, on replicas that lag apart."""
    run.rig.spoil("r0", "delay", ms=1, jitter=500)
    while run.on:
        run.rig.servers[0].stop()
        await run.rest(0.3)
        run.rig.spoil("p0", act="reset")
        await run.rest(2.2)
        run.rig.servers[0].cont()
        run.says("leader stopped, reset, goes on")
        await run.rest(3)
    run.rig.spoil("*", "pass")


# roles


@nemesis(3.0, 0.6, forgiven=LOSSES)
async def swap(run: Run) -> None:
    """REPLICAOF changes the leader, without care for what is under way."""
    while run.on:
        old, new = run.rig.leader, (run.rig.leader + 1) % 3
        await run.rig.promote(new, demote=True)
        run.says(f"{old} and {new} swapped")
        await run.rig.whole()
        await run.rest(3)


@nemesis(3.0, 0.6)
async def failover_command(run: Run) -> None:
    """FAILOVER: the servers lose nothing, so nothing may be lost."""
    while run.on:
        old = run.rig.leader
        new = random.choice([number for number in range(3) if number != old])
        said = await run.rig.on(old, "FAILOVER", "TO", "127.0.0.1", run.rig.servers[new].port)
        if said != b"OK":
            await run.rest(0.5)
            continue
        await run.rig.until_leads(new)
        run.rig.leader = new
        run.says(f"FAILOVER from {old} to {new}")
        await asyncio.to_thread(run.rig.follow, 3 - old - new, new)
        await run.rig.whole()
        await run.rest(0.5, 2.5)


@nemesis(10.0, 0.6, forgiven=LOSSES)
async def split_brain(run: Run) -> None:
    """A replica is promoted and the third follows it, while the leader goes on leading for 4 s."""
    while run.on:
        old, new = run.rig.leader, (run.rig.leader + 1) % 3
        await run.rig.promote(new)
        run.says(f"{new} leads with the third behind it, {old} leads too")
        await run.rest(4)
        await run.rig.demote(old)
        await run.rest(2)


@nemesis(12.0, 0.6, forgiven=LOSSES)
async def split_brain_tie(run: Run) -> None:
    """A replica says for 4 s that it leads, alone, while the leader goes on with the third."""
    while run.on:
        await asyncio.to_thread(run.rig.servers[1].lead)
        run.says("1 says that it leads")
        await run.rest(4)
        await run.rig.demote(1)
        await run.rest(3)


# Sentinel


async def _wait_for_another(run: Run, old: int) -> None:
    await run.rig.until(lambda: run.rig.named() != old, "the Sentinels name another leader", 20)
    run.rig.leader = run.rig.named()
    run.says(f"the Sentinels name {run.rig.leader}")


async def _wait_until_settled(run: Run) -> None:
    """Wait until all follow the one that the Sentinels name, who may think again; one that stood still does nothing for 30 s (sentinel.c, TILT)."""

    def settled() -> bool:
        run.rig.leader = run.rig.named()
        return all(server.in_sync() for number, server in enumerate(run.rig.servers) if number != run.rig.leader)

    await run.rig.until(settled, "all follow the leader that the Sentinels name", 60)


@nemesis(8.0, 1.0, sentinels=True, forgiven=LOSSES, seconds=40.0)
async def sentinel_kill(run: Run) -> None:
    """The leader is killed, the Sentinels promote another, and the old one comes back as a leader until they tell it."""
    while run.on:
        old = run.rig.named()
        await run.rig.kill(old)
        run.says(f"leader {old} killed")
        await _wait_for_another(run, old)
        await run.rest(2)
        await asyncio.to_thread(run.rig.servers[old].come_back)
        await _wait_until_settled(run)
        await run.rest(2)


@nemesis(6.0, 1.0, sentinels=True, forgiven=LOSSES, seconds=40.0)
async def sentinel_failover(run: Run) -> None:
    """SENTINEL FAILOVER, again and again."""
    while run.on:
        old = run.rig.named()
        if not _sentinel(run, "FAILOVER", "mymaster"):
            await run.rest(2)
            continue
        await _wait_for_another(run, old)
        await _wait_until_settled(run)
        await run.rest(5)


def _sentinel(run: Run, *words: str) -> bool:
    return bool(tried(lambda: call(run.rig.sentinels[0][0], "SENTINEL", *words)) == b"OK")


@nemesis(9.0, 1.5, sentinels=True, forgiven=LOSSES, seconds=45.0)
async def sentinel_stop_leader(run: Run) -> None:
    """The leader stands still, the Sentinels promote another, and the old one goes on as a leader until they tell it."""
    while run.on:
        old = run.rig.named()
        run.rig.servers[old].stop()
        run.says(f"leader {old} stopped")
        await _wait_for_another(run, old)
        await run.rest(2)
        run.rig.servers[old].cont()
        await _wait_until_settled(run)
        await run.rest(2)


@nemesis(1.0, 0.6, sentinels=True)
async def sentinels_stop(run: Run) -> None:
    """One, two or all Sentinels stand still; the servers are well."""
    while run.on:
        some = random.sample([process for _, process in run.rig.sentinels], random.choice((1, 2, 3)))
        for process in some:
            process.send_signal(signal.SIGSTOP)
        run.says(f"{len(some)} Sentinels stopped")
        await run.rest(3)
        for process in some:
            process.send_signal(signal.SIGCONT)
        await run.rest(3)
        run.rig.leader = run.rig.named()


@nemesis(14.0, 1.5, sentinels=True, forgiven=LOSSES, seconds=45.0)
async def sentinel_minority(run: Run) -> None:
    """rproxy hears only the one Sentinel that knows nothing of the failover."""
    processes = [process for _, process in run.rig.sentinels]
    while run.on:
        old = run.rig.named()
        processes[2].send_signal(signal.SIGSTOP)
        await run.rest(0.5)
        run.rig.servers[old].stop()
        await _wait_for_another(run, old)
        for process in processes[:2]:
            process.send_signal(signal.SIGSTOP)
        processes[2].send_signal(signal.SIGCONT)
        run.rig.servers[old].cont()
        run.says(f"only the old Sentinel is heard, and {old} goes on as a leader")
        await run.rest(4)
        for process in processes[:2]:
            process.send_signal(signal.SIGCONT)
        await _wait_until_settled(run)
        await run.rest(2)


# what servers do to their clients


async def _kill_one_client(run: Run, number: int) -> None:
    rows = await run.rig.on(number, "CLIENT", "LIST", "TYPE", "normal")
    if rows:
        row = random.choice(rows.decode().splitlines())
        await run.rig.on(number, "CLIENT", "KILL", "ID", row.split(" ")[0].removeprefix("id="))


@nemesis(1.0, 0.5)
async def client_kill(run: Run) -> None:
    """CLIENT KILL on leader and replicas, of one connection or of all."""
    while run.on:
        number = random.choice((0, 0, 1, 2))
        if random.random() < 0.5:
            await run.rig.on(number, "CLIENT", "KILL", "TYPE", "normal")
        else:
            await _kill_one_client(run, number)
        await asyncio.sleep(random.uniform(0.05, 0.6))


@nemesis(4.0, 4.0, forgiven=OLD)
async def client_pause(run: Run) -> None:
    """CLIENT PAUSE on the leader itself."""
    while run.on:
        mode = random.choice(("WRITE", "ALL"))
        await run.rig.on(0, "CLIENT", "PAUSE", 2000, mode)
        run.says(f"CLIENT PAUSE 2000 {mode}")
        await run.rest(4.5)


@nemesis(4.5, 1.2, forgiven=OLD)
async def debug_sleep(run: Run) -> None:
    """DEBUG SLEEP on leader and replica."""
    while run.on:
        number = random.choice((0, 0, 1))
        run.says(f"DEBUG SLEEP on {number}")
        await run.rig.on(number, "DEBUG", "SLEEP", "2.5", timeout=10)
        await run.rest(2)


BUSY = "local n=0 for i=1,1e9 do n=n+i if i%1e6==0 then redis.call('PING') end end return 'done'"


@nemesis(8.0, 8.0, forgiven=OLD, arguments=("--busy-reply-threshold", "200"))
async def slow_script(run: Run) -> None:
    """A client's script keeps the leader busy until it is killed."""
    while run.on:
        task = asyncio.create_task(run.rig.through("EVAL", BUSY, "0", timeout=15))
        await run.rest(1.2, 3.0)
        run.says(f"SCRIPT KILL -> {await run.rig.through('SCRIPT', 'KILL', timeout=8)}")
        await run.rig.on(0, "SCRIPT", "KILL")
        await task
        await run.rest(2)


@nemesis(1.5, 1.0, forgiven=LOSSES | {Kind.TORN, Kind.CROSSED, Kind.DOUBLED, Kind.ODD})
async def flush_all(run: Run) -> None:
    """FLUSHALL and FLUSHDB: what was there before is read no more."""
    writer = await Connection.open(run.rig.port)
    readers = [await Connection.open(run.rig.port) for _ in range(4)]
    number = 0
    while run.on:
        number += 1
        await writer.call("SET", "flush:key", number)
        await run.rest(0.0, 0.02, 0.2)
        await writer.call(random.choice(("FLUSHALL", "FLUSHDB")), *random.choice(((), ("ASYNC",))))
        found = await asyncio.gather(
            *[reader.call("GET", "flush:key") for reader in readers], readers[0].call("EXISTS", "flush:key")
        )
        if any(value is not None for value in found[:4]) or found[-1]:
            run.history.found(Kind.UNASKED, f"after the flush, a key is read: {found}")
        await run.rest(0.3)
    for connection in (writer, *readers):
        connection.close()


@nemesis(2.0, 0.6)
async def full_resync(run: Run) -> None:
    """Replicas have to copy everything anew."""
    while run.on:
        await run.rig.on(0, "DEBUG", "CHANGE-REPL-ID")
        for number in (1, 2):
            await run.rig.on(number, "CLIENT", "KILL", "TYPE", "master")
        run.says("replication id changed, links cut")
        await run.rig.whole()
        await run.rest(3)


@nemesis(2.0, 0.6)
async def large_sync(run: Run) -> None:
    """300 MB are copied to a replica that starts empty."""
    for part in range(30):  # each of which keeps the leader busy for a moment only
        await run.rig.on(0, "DEBUG", "POPULATE", 10_000, f"fill{part}", 1000, timeout=60)
    while run.on:
        await run.rig.kill(1)
        await run.rig.come_back(1)
        run.says("a replica starts empty")
        await run.rig.whole(90)
        await run.rest(2)


@nemesis(20.0, 1.0)
async def out_of_memory(run: Run) -> None:
    """The leader refuses writes for 3 s, since maxmemory is reached."""
    while run.on:
        await run.rig.on(0, "CONFIG", "SET", "maxmemory", "1mb")
        run.says("maxmemory reached")
        await run.rest(3)
        await run.rig.on(0, "CONFIG", "SET", "maxmemory", "0")
        await run.rest(2)


@nemesis(20.0, 1.0, arguments=("--enable-protected-configs", "yes"), needs=only_root)
async def disk_full(run: Run) -> None:
    """The leader can't save, and refuses writes."""
    folder = run.rig.folder / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,ro", "tmpfs", str(folder)], check=True)
    try:
        while run.on:
            await run.rig.on(0, "CONFIG", "SET", "dir", str(folder), "save", "3600 1")
            await run.rig.on(0, "BGSAVE")
            await run.rig.until(lambda: run.rig.servers[0].info("persistence")["rdb_last_bgsave_status"] == "err", "BGSAVE fails")
            run.says("BGSAVE fails")
            await run.rest(3)
            await run.rig.on(0, "CONFIG", "SET", "dir", str(run.rig.servers[0].folder), "save", "")
            await run.rig.on(0, "BGSAVE")
            await run.rest(3)
    finally:
        await run.rig.on(0, "CONFIG", "SET", "dir", str(run.rig.servers[0].folder))
        subprocess.run(["umount", str(folder)], check=True)


@nemesis(3.0, 1.0)
async def maxclients(run: Run) -> None:
    """maxclients of leader and replica is lower than what is connected, and all connections are cut."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(("127.0.0.1", server.port), 20.0)) for server in run.rig.servers[:2]]
        while run.on:
            for wire in wires:
                await asyncio.to_thread(wire.call, "CONFIG", "SET", "maxclients", 12)
            await asyncio.to_thread(wires[0].call, "CLIENT", "KILL", "TYPE", "normal")  # not this connection
            run.says("maxclients 12")
            await run.rest(3)
            for wire in wires:
                await asyncio.to_thread(wire.call, "CONFIG", "SET", "maxclients", 10_000)
            await run.rest(3)


@nemesis(3.0, 1.0, binary="redis-server", needs=program("redis-server"))
async def upgrade(run: Run) -> None:
    """Redis becomes Valkey: replicas one by one, FAILOVER, then the old leader."""
    valkey = server_binary()
    for number in (1, 2):
        await run.rig.kill(number)
        await run.rig.come_back(number, binary=valkey)
        await run.rig.whole()
        run.says(f"{number} is Valkey")
        await run.rest(2)
    await run.rig.on(0, "FAILOVER", "TO", "127.0.0.1", run.rig.servers[1].port)
    await run.rig.until_leads(1)
    run.rig.leader = 1
    await asyncio.to_thread(run.rig.follow, 2, 1)
    await run.rest(3)
    await run.rig.kill(0)
    await run.rig.come_back(0, binary=valkey)
    await run.rig.whole()
    run.says("all are Valkey")
    await run.rest(4)


@nemesis(1.0, 0.6, needs=lambda: "" if Path(FAKETIME).exists() else "needs faketime")
async def clock_skew(run: Run) -> None:
    """A replica's clock is 3 s ahead or behind: no key ends too early."""
    writer, reader = await Connection.open(run.rig.port), await Connection.open(run.rig.port)
    number = 0
    while run.on:
        shift = random.choice(("+3s", "-3s"))
        await run.rig.kill(1)
        await run.rig.come_back(1, shift=shift)
        await run.rig.whole()
        run.says(f"clock {shift}")
        end = now() + 3
        while now() < end:
            number += 1
            begun = now()
            await writer.call("SET", f"live:{number}", number, "PX", 2500)
            await asyncio.sleep(0.05)
            found = await reader.call("GET", f"live:{number}")
            if found is None and now() - begun < 2.4:
                run.history.found(Kind.LOST, f"live:{number} has expired after {now() - begun:.2f} s")
        await run.rig.kill(1)
        await run.rig.come_back(1)
        await run.rest(1)
    writer.close()
    reader.close()


# rproxy itself


def _with_file(run: Run) -> None:
    run.rig.write_settings(run.rig.folder / "rproxy.toml")
    run.rig.start_proxy("-c", str(run.rig.folder / "rproxy.toml"), workers=run.workers)


def _with_takeover(run: Run) -> None:
    run.rig.start_proxy("--takeover", str(run.rig.folder / "takeover.sock"), *TAKEOVER, workers=run.workers)


def _wrapped(*words: str) -> Start:
    return lambda run: run.rig.start_proxy(wrap=words, workers=run.workers)


def _logging_to(open_it: Callable[[Run], int]) -> Start:
    def start(run: Run) -> None:
        where = open_it(run)
        run.rig.start_proxy(stderr=where, workers=run.workers)
        os.close(where)

    return start


def _closed_pipe(run: Run) -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def _unread_pipe(run: Run) -> int:
    reading, writing = os.pipe()
    run.mute.append(reading)
    return writing


@nemesis(1.0, 1.0, start=_with_file)
async def reload_loop(run: Run) -> None:
    """SIGHUP with other settings: replicas leave and come, consistency and policies change."""
    path = run.rig.folder / "rproxy.toml"
    while run.on:
        urls = run.rig.urls()
        some = [urls[0], *random.sample(urls[1:], random.choice((0, 1, 2, 2)))]
        consistency, policy = random.choice(("fresh", "fresh", "leader")), random.choice(("random", "nearest", "least-pending"))
        run.rig.write_settings(path, some, consistency=f'"{consistency}"', read_policy=f'"{policy}"')
        run.rig.signal(signal.SIGHUP)
        await run.rest(0.02, 0.1, 0.5)
    run.rig.write_settings(path)
    run.rig.signal(signal.SIGHUP)


@nemesis(1.0, 1.0, start=_with_file)
async def signal_storm(run: Run) -> None:
    """Thousands of SIGHUP and SIGUSR1, to rproxy and its workers, with a file that is broken half of the time."""
    path = run.rig.folder / "rproxy.toml"
    while run.on:
        if random.random() < 0.05:
            path.write_text("servers = [")
        elif random.random() < 0.05:
            run.rig.write_settings(path)
        for pid in (run.rig.proxy.pid, *run.rig.workers()):
            _to(pid, random.choice((signal.SIGHUP, signal.SIGHUP, signal.SIGUSR1)))
        await run.rest(0.01)
    run.rig.write_settings(path)
    run.rig.signal(signal.SIGHUP)


def _take_over(run: Run) -> subprocess.Popen[bytes]:
    """Start the next rproxy; the one before it is returned."""
    old = run.rig.proxy
    run.rig.start_proxy("--takeover", str(run.rig.folder / "takeover.sock"), *TAKEOVER, workers=run.workers, wait=False)
    return old


@nemesis(2.0, 2.0, start=_with_takeover, ends=True, settle=5.0)
async def takeover_loop(run: Run) -> None:
    """The next rproxy takes over, again and again."""
    while run.on:
        old = _take_over(run)
        await run.rig.until_ended(old)
        run.says(f"taken over, the older one ended with {old.poll()}")
        if old.poll() != 0:
            run.history.found(Kind.ODD, f"rproxy ended with {old.poll()} after a takeover")
        await run.rest(0.0, 0.3, 2.0)


@nemesis(4.0, 2.0, start=_with_takeover, ends=True, forgiven=LOSSES, settle=5.0)
async def takeover_failover(run: Run) -> None:
    """The leader is killed and a replica promoted during a takeover."""
    while run.on:
        before = _take_over(run)
        await run.rest(0.0, 0.2, 0.5, 0.8)
        old, new = run.rig.leader, (run.rig.leader + 1) % 3
        await run.rig.kill(old)
        await run.rig.promote(new)
        run.says(f"takeover, {old} killed, {new} promoted")
        await run.rig.until_ended(before)
        await run.rig.come_back(old)
        await run.rig.whole()
        await run.rest(2)


@nemesis(3.0, 3.0, start=_with_takeover, ends=True, settle=5.0)
async def takeover_kill(run: Run) -> None:
    """The older or the next rproxy is killed in the middle of a takeover."""
    while run.on:
        old = _take_over(run)
        new = run.rig.proxy
        await run.rest(0.1, 0.25, 0.4, 0.6, 1.0)
        victim = random.choice((old, new))
        victim.kill()
        victim.wait()
        await run.rest(0.5)
        if new.poll() is not None:
            run.rig.proxy = old
        gone = old.poll() is not None and new.poll() is not None
        if gone or (victim is new and not await asyncio.to_thread(run.rig.takes_writes)):  # the older one may be about to end
            _with_takeover(run)
        run.says(f"the {'older' if victim is old else 'next'} one was killed")
        await run.rig.until(run.rig.takes_writes, "rproxy serves", 10)
        await run.rest(3.5)


@nemesis(3.0, 3.0, start=_wrapped("prlimit", "--nofile=96"), needs=program("prlimit"))
async def descriptors(run: Run) -> None:
    """rproxy may open 96 files, and 300 clients come and go."""
    clients: list[Connection] = []
    while run.on:
        for _ in range(30):
            with contextlib.suppress(OSError, TimeoutError):
                clients.append(await Connection.open(run.rig.port, timeout=1))
        for client in random.sample(clients, min(20, len(clients))):
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(client.call("PING"), 2)
        while len(clients) > 200:
            clients.pop(0).close()
        await run.rest(0.5)
    for client in clients:
        client.close()
    await run.rest(2)


@nemesis(3.0, 3.0, start=_wrapped("prlimit", "--as=1000000000"), needs=program("prlimit"))
async def memory(run: Run) -> None:
    """rproxy may have 1 GB of addresses; clients ask for large values and don't read them."""
    await run.rig.on(0, "SET", "huge", b"h" * 20_000_000, timeout=20)
    clients: list[Connection] = []
    while run.on:
        with contextlib.suppress(OSError, TimeoutError):
            client = await Connection.open(run.rig.port, timeout=2)
            client.transport.pause_reading()
            for _ in range(3):
                client.forget("GET", "huge")
            clients.append(client)
        while len(clients) > 12:
            clients.pop(0).close()
        await run.rest(0.2)
    for client in clients:
        client.close()
    await run.rest(2)


@nemesis(2.0, 2.0, start=_logging_to(lambda run: os.open("/dev/full", os.O_WRONLY)))
async def log_full(run: Run) -> None:
    """No line can be written to the log, and connections are killed."""
    await client_kill(run)


@nemesis(2.0, 2.0, start=_logging_to(_closed_pipe))
async def log_closed(run: Run) -> None:
    """The log is a pipe whose reader has gone, and connections are killed."""
    await client_kill(run)


@nemesis(2.0, 2.0, start=_logging_to(_unread_pipe))
async def log_stuck(run: Run) -> None:
    """The log is a pipe that nobody reads, and it is full."""
    while run.on:
        run.rig.signal(signal.SIGUSR1)
        await run.rest(0.01)
    for reading in run.mute:
        os.close(reading)


async def _visit(port: int) -> None:
    """A client that asks once and goes, in one of several ways."""
    client = await Connection.open(port)
    how = random.randrange(5)
    if how == 0:
        await client.call("PING")
    elif how == 1:
        client.forget("GET", "r:1")
        client.reset()
    elif how == 2:
        client.forget("SET", "r:none", 1)
    elif how == 3:
        client.forget("BLPOP", "nothing", 0)
        await asyncio.sleep(0.01)
    client.close()


@nemesis(3.0, 3.0)
async def crowd(run: Run) -> None:
    """2,000 idle clients, and hundreds a second that come, ask once and go."""
    idle = [client for _ in range(20) for client in await asyncio.gather(*[Connection.open(run.rig.port) for _ in range(100)])]
    run.says(f"{len(idle)} idle clients, {run.rig.resident() >> 20} MB")
    while run.on:
        await asyncio.gather(*[_visit(run.rig.port) for _ in range(25)], return_exceptions=True)
        await run.rest(0.05)
    for client in idle:
        client.close()
    await run.rest(2)


def _with_names(run: Run) -> None:
    run.rig.start_dns()
    words = [word for number, server in enumerate(run.rig.servers) for word in ("-s", f"redis://s{number}.test:{server.port}")]
    run.rig.start_proxy(*words, workers=run.workers)


@nemesis(30.0, 1.0, start=_with_names, namespace=True, needs=namespaces)
async def dns(run: Run) -> None:
    """Servers have names, and their resolver is slow, silent, or fails, while connections are cut."""
    for mode in ("slow 200", "slow 495", "hole", "servfail", "nx"):
        run.rig.resolve(mode)
        for number in random.choice(((0, 1), (1,), (0, 1, 2))):
            await run.rig.on(number, "CLIENT", "KILL", "TYPE", "normal")
        run.says(f"DNS: {mode}")
        await run.rest(3, 5)
        run.rig.resolve("ok")
        await run.rig.until(run.rig.takes_writes, "writes are taken again", 30)
        await run.rest(2)


# several at once


async def _kill_workers(run: Run, low: float, high: float, stop: bool) -> None:
    while run.on:
        if stop:
            pid = _to_worker(run, signal.SIGSTOP)
            await run.rest(0.2, 1.0, 2.5)
            _to(pid, signal.SIGCONT)
        else:
            _to_worker(run, signal.SIGKILL)
        await asyncio.sleep(random.uniform(low, high))


async def _restart_replica(run: Run) -> None:
    while run.on:
        await run.rig.kill(1)
        await run.rig.come_back(1)
        await asyncio.sleep(random.uniform(1, 5))


@nemesis(3.0, 2.0, workers=2, relayed=True)
async def mix_workers_resets(run: Run) -> None:
    """Workers and a replica are killed and connections reset, all at once."""
    await asyncio.gather(_kill_workers(run, 0.5, 4, stop=False), net_reset(run), _restart_replica(run))


@nemesis(5.0, 2.0, workers=2)
async def mix_workers_failover_command(run: Run) -> None:
    """Workers are killed while FAILOVER changes the leader."""
    await asyncio.gather(_kill_workers(run, 0.5, 3, stop=False), failover_command(run))


@nemesis(8.0, 2.0, workers=2, forgiven=LOSSES)
async def mix_workers_swap(run: Run) -> None:
    """Workers stand still while REPLICAOF changes the leader."""
    await asyncio.gather(_kill_workers(run, 0.3, 2, stop=True), swap(run))


async def _short_stops(run: Run) -> None:
    while run.on:
        run.rig.servers[0].stop()
        await run.rest(0.05, 0.3, 0.8)
        run.rig.servers[0].cont()
        await asyncio.sleep(random.uniform(0.5, 2))


@nemesis(4.0, 2.0, relayed=True, replication_relayed=True)
async def mix_lag_reset_stop(run: Run) -> None:
    """Replicas lag, connections are reset, and the leader stands still for a moment."""
    await asyncio.gather(replication_lag(run), net_reset(run), _short_stops(run))


@nemesis(2.0, 1.0, relayed=True, replication_relayed=True)
async def mix_lag_kill(run: Run) -> None:
    """Replicas lag by half a second while single connections to a leader that is well are killed."""
    run.rig.spoil("r0", "delay", ms=300, jitter=200)
    await run.rest(1)
    while run.on:
        await _kill_one_client(run, 0)
        await asyncio.sleep(random.uniform(0.05, 0.5))
    run.rig.spoil("r0", "pass")


def chosen(names: Sequence[str]) -> list[str]:
    """The nemeses of these names, all without any. Raises KeyError for one that isn't there."""
    for name in names:
        NEMESES[name]
    return list(names) or list(NEMESES)
