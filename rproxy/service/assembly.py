"""What every process of rproxy is put together from: the data plane's options and its outside, the first topology, and how sessions are ended.

Called by `lifecycle`, `worker` and `supervisor`. It holds no state.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import cast

import rproxy
from rproxy import dataplane
from rproxy.controlplane.credentials import CREDENTIALS
from rproxy.controlplane.nomination import NOBODY
from rproxy.dataplane import tallies
from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.ports import Options, Ports, Transport
from rproxy.dataplane.tallies import ROUNDS
from rproxy.dataplane.topology import Server, Topology
from rproxy.service import loop_errors, memory
from rproxy.service.dialer import Dialer, unheard
from rproxy.service.peers import peer
from rproxy.settings import Settings
from rproxy.urls import parse_listener

log = logging.getLogger("rproxy")

DRAIN_LOOK = 0.02
"""Seconds between two looks at whether the last session has ended."""


def options(settings: Settings, worker: int = 0, workers: int = 1) -> Options:
    """The settings that the data plane of this worker reads."""
    return Options(
        consistency=settings.consistency,
        tables=keeps_tables(settings),
        command=settings.timeouts.command,
        read_policy=settings.read_policy,
        zone=settings.zone,
        leader_reads=settings.leader_reads,
        leaderless_reads=settings.leaderless_reads,
        lost_writes=settings.lost_writes,
        budget=settings.timeouts.budget,
        connect=settings.timeouts.connect,
        idle_lane=settings.timeouts.idle_lane,
        session_output=settings.limits.session_output,
        client_memory=settings.limits.memory,
        clients_per_address=settings.limits.clients_per_address,
        clients_per_user=settings.limits.clients_per_user,
        clients=settings.limits.clients,
        slow=settings.slow.threshold,
        idle=settings.timeouts.idle,
        login=settings.timeouts.login if _wants_login(settings) else 0.0,
        transaction=settings.timeouts.transaction,
        worker=worker,
        workers=workers,
    )


def _wants_login(settings: Settings) -> bool:
    """Whether clients of some listener must say first who they are."""
    return any(parse_listener(url).policy.auth for url in settings.listen)


def keeps_tables(settings: Settings) -> bool:
    """Whether some listener wants fresh reads."""
    return "fresh" in (settings.consistency, *(parse_listener(url).policy.consistency for url in settings.listen))


def table(settings: Settings) -> CommandTable:
    """The commands, as the settings want them."""
    return CommandTable(settings.commands, settings.scripts_declare_keys)


def first_topology(settings: Settings) -> Topology:
    """Before anything is known. Writes wait until a probe has found who leads, unless only one server can."""
    if not settings.servers:
        return Topology(NOBODY, leader_up=False, settled=False)
    leader, *replicas = settings.servers
    settled = settings.discovery == "static" or (settings.discovery == "roles" and not replicas)
    return Topology(leader, tuple(replicas), tuple(replicas), settled=settled, asked=settled)


def doubting(topology: Topology, server: Server, demoted: bool = False, unheard: bool = False) -> Topology:
    """The topology without a replica that failed, or without a leader that says it does not lead, for the moment until the control plane has judged that. A
    connection to the leader that failed proves nothing yet, except where the control plane hears nothing (`unheard`): whether others work is all there is then.
    """
    if demoted:
        return replace(topology, settled=False)
    if unheard and server == topology.leader:
        return replace(topology, leader_up=False)
    return replace(topology, readers=tuple(reader for reader in topology.readers if reader != server))


def outside(
    dialer: Dialer,
    suspect: Callable[[Server, str], None],
    demoted: Callable[[Server, str], None],
    stamped: Callable[[], None],
    table: object = None,
    others: Callable[[list[bytes], Callable[[list[bytes]], None]], None] = lambda words, told: told([]),
) -> Ports:
    """The data plane's outside, on the running loop, which reports as `loop_errors` says from now on. `table`: the memory that all workers share; without it,
    memory of this process alone.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(loop_errors.report)
    return Ports(
        dial=dialer.dial,
        hang_up=dialer.hang_up,
        clock=time.monotonic,
        random=random.random,
        later=loop.call_later,
        soon=loop.call_soon,
        suspect=suspect,
        notice=log.warning,
        clock_ns=time.monotonic_ns,
        system_clock=sys.platform == "linux",
        demoted=demoted,
        descriptor=_descriptor,
        socket=_socket,
        watch=partial(_watch, loop),
        peer=peer,
        unheard=unheard,
        wrong_process=dialer.wrong_process,
        logins=CREDENTIALS,
        stamped=stamped,
        memory=table if table is not None else memory.own(tallies.size(1)),
        wall=time.time,
        others=others,
    )


def about(plane: Plane, settings: Settings, started: float) -> dict[str, object]:
    """What the status says beside the data plane's own. `started`: when rproxy was, on the monotonic clock."""
    return {
        "version": rproxy.__version__,
        "uptime_s": round(time.monotonic() - started, 1),
        "discovery": settings.discovery,
        "process": os.getpid(),
        "worker": plane.options.worker,
        "workers": plane.options.workers,
        "clock_rounds": plane.tallies.total(ROUNDS),
        "clock_rests": plane.freshness.rests(),
    }


def say_hello(settings: Settings, addresses: list[str]) -> None:
    """The first lines of the log."""
    mode = "compiled" if dataplane.compiled() else "interpreted"
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    crew = f", {settings.workers} workers" if settings.workers > 1 else ""
    log.info("rproxy %s, data plane %s, loop %s%s, listening on %s", rproxy.__version__, mode, loop, crew, ", ".join(addresses))
    named = [f"every address of {server.name}" if server.resolve_all else server.name for server in settings.servers]
    if any(server.resolve_all for server in settings.servers):
        log.info("servers: %s", ", ".join(named))
    elif named:
        log.info("leader %s, replicas %s", named[0], ", ".join(named[1:]) or "none")
    if settings.sentinels:
        log.info("sentinels %s, service %s", ", ".join(server.name for server in settings.sentinels), settings.service)


async def linger(seconds: float, at_once: asyncio.Event) -> None:
    """Serve on for so long, or until `at_once`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(at_once.wait(), seconds)


async def drain(plane: Plane, seconds: float, at_once: asyncio.Event) -> None:
    """Let what is in flight finish, for so long or until `at_once`, then close every session. Nobody must be accepted any more."""
    plane.draining = True
    plane.intermission.turn_away()
    plane.pauses.end()
    deadline = time.monotonic() + seconds
    for session in plane.clients:
        session.wake()
    while len(plane.clients) and time.monotonic() < deadline and not at_once.is_set():
        await asyncio.sleep(DRAIN_LOOK)
    for session in plane.clients:
        session.close()


def _watch(loop: asyncio.AbstractEventLoop, descriptor: int, ready: Callable[[], None]) -> Callable[[], object]:
    loop.add_reader(descriptor, ready)
    return partial(loop.remove_reader, descriptor)


def _descriptor(transport: Transport) -> int:
    """The socket of a transport that adds nothing to the bytes; -1 under TLS."""
    known = cast(asyncio.Transport, transport)
    return -1 if known.get_extra_info("sslcontext") is not None else _socket(transport)


def _socket(transport: Transport) -> int:
    """The descriptor of a transport's socket."""
    return int(cast(asyncio.Transport, transport).get_extra_info("socket").fileno())
