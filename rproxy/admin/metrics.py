"""/metrics: the status as Prometheus reads it.

One collector over the facts, made anew for each question: nothing is counted here, so a command costs no metric. Labels hold no word of a client: kinds,
codes and servers are few. docs/metrics.md has every name; a test holds them together. It must never ask a server.
"""

from __future__ import annotations

import asyncio
import platform
import resource
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rproxy.admin.desk import Desk, desk_of
from rproxy.dataplane.introspect import facts_of
from rproxy.dataplane.tallies import (
    ACCEPTED,
    CLOSED_MEMORY,
    CLOSED_OUTPUT,
    FAILED_LOGINS,
    FILES,
    HELD_BYTES,
    LOG_LINES_LOST,
    LOOP_LAG,
    REFUSED,
    REFUSED_ADDRESS,
    REFUSED_PROXY,
    REFUSED_TLS,
    REFUSED_USER,
    TIMED_OUT_IDLE,
    TIMED_OUT_LOGIN,
    TIMED_OUT_TRANSACTION,
)
from rproxy.service.control import EJECTED_FOR

Facts = dict[str, Any]
COUNTED = {
    "rproxy_protocol_errors": ("protocol_errors", "Clients whose bytes broke the protocol"),
    "rproxy_writes_lost": ("lost", "Writes whose reply was lost; their clients got an error that says so"),
    "rproxy_reads_retried": ("retried", "Reads asked a second time, because their server was lost"),
    "rproxy_reads_diverted": ("diverted", "Reads that a replica refused and the leader answered"),
    "rproxy_reads_leaderless": ("leaderless_reads", "Reads answered while no leader was there"),
    "rproxy_reads_for_freshness": ("freshness_reads", "Reads that the leader answered because no replica was fresh"),
}
OF_A_SERVER = {
    "rproxy_server_up": ("in", 1, "Whether it gets what servers of its role get"),
    "rproxy_server_silent": ("silent", 1, "Whether it owes replies and sends nothing"),
    "rproxy_server_lag_bytes": ("lag_bytes", 1, "Bytes of replication behind the leader"),
    "rproxy_server_mark_age_seconds": ("mark_age_ms", 1000, "Age of the moment up to which a replica has every write"),
    "rproxy_server_pending": ("pending", 1, "Commands under way on shared connections to it"),
    "rproxy_server_link_down_seconds": ("link_down_s", 1, "How long a replica has had no link to its leader"),
    "rproxy_server_latency_seconds": ("latency_ms", 1000, "How long the last probe took"),
}


COUNTED_OF_A_SERVER = {
    "rproxy_server_connect_errors": ("connect_errors", "Connections to it that could not be had"),
    "rproxy_server_retries": ("retries", "Reads asked elsewhere, because it was lost or silent"),
}
OF_A_POOL = {
    "rproxy_pool_waiting": ("waiting", 1, "Commands that wait for a connection; server nobody: for a leader"),
    "rproxy_pool_maxwait_seconds": ("waited_ms", 1000, "How long that which waits longest has waited"),
}


def families(desk: Desk) -> Iterator[Metric]:
    """All that is told."""
    facts: Facts = facts_of(desk.running.plane)
    yield from _process(desk, facts)
    yield from _traffic(facts)
    yield from _servers(facts["servers"])
    yield from _pools([*facts["servers"], {"server": "nobody"} | facts["waiting_for_a_leader"]])
    yield _ejections(desk, facts["servers"])


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))


def _process(desk: Desk, facts: Facts) -> Iterator[Metric]:
    """rproxy itself, its clients and its settings."""
    tallies, topology, reload = desk.running.plane.tallies, desk.running.plane.topology, desk.reload
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    runs = {"version": facts["version"], "python": platform.python_version(), "loop": loop}
    yield InfoMetricFamily("rproxy_build", "What runs", value=runs)
    yield _gauge("rproxy_start_time_seconds", "When it was started, in seconds since 1970", time.time() - facts["uptime_s"])
    yield _gauge("rproxy_workers", "Processes that serve clients", facts["workers"])
    yield _counter("rproxy_worker_restarts", "Workers that died and were started again", tallies.buried)
    yield _gauge("rproxy_clients", "Connections of clients", facts["clients"])
    yield _gauge("rproxy_clients_max", "limits.clients", desk.loaded.settings.limits.clients)
    yield _counter("rproxy_clients_accepted", "Clients accepted", tallies.total(ACCEPTED))
    refused = CounterMetricFamily(
        "rproxy_clients_refused",
        "Clients refused: too many, no TLS handshake, or no header of the PROXY protocol",
        labels=["reason"],
    )
    special = {"address": tallies.total(REFUSED_ADDRESS), "user": tallies.total(REFUSED_USER)}
    refused.add_metric(["limit"], max(0, tallies.total(REFUSED) - sum(special.values())))
    for reason, count in special.items():
        refused.add_metric([reason], count)
    refused.add_metric(["tls"], tallies.total(REFUSED_TLS))
    refused.add_metric(["proxy"], tallies.total(REFUSED_PROXY))
    yield refused
    timed_out = CounterMetricFamily("rproxy_clients_timed_out", "Clients closed at a time-out of theirs", labels=["timeout"])
    for name, field in (("idle", TIMED_OUT_IDLE), ("login", TIMED_OUT_LOGIN), ("transaction", TIMED_OUT_TRANSACTION)):
        timed_out.add_metric([name], tallies.total(field))
    yield timed_out
    closed = CounterMetricFamily("rproxy_clients_closed", "Clients closed because too much was held for them", labels=["limit"])
    for name, field in (("session_output", CLOSED_OUTPUT), ("memory", CLOSED_MEMORY)):
        closed.add_metric([name], tallies.total(field))
    yield closed
    yield _gauge(
        "rproxy_clients_held_bytes",
        "Unread replies and commands that wait, of clients that hold more than a little",
        tallies.total(HELD_BYTES),
    )
    yield _gauge("rproxy_loop_lag_seconds", "The longest delay of an event loop within a minute", tallies.most(LOOP_LAG) / 1e6)
    yield _gauge("rproxy_open_files", "Files that are open, in the process that has most", tallies.most(FILES))
    yield _gauge("rproxy_open_files_max", "How many a process may have open", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield _counter("rproxy_logins_failed", "Logins of clients that the leader refused", tallies.total(FAILED_LOGINS))
    yield _counter("rproxy_log_lines_lost", "Lines of the log that could not be written", tallies.total(LOG_LINES_LOST))
    yield _gauge("rproxy_leader_up", "Whether there is a leader that takes writes", facts["leader_up"] and facts["settled"])
    yield _counter("rproxy_leader_changes", "Times that another server led than before", facts["leader_changes"])
    yield _gauge("rproxy_replicas", "Replicas that are known", len(topology.replicas))
    yield _gauge("rproxy_readers", "Replicas that are read", len(topology.readers))
    yield _gauge("rproxy_paused_seconds", "How long an administrator's pause goes on; 0 without one", facts["paused_s"])
    yield _counter("rproxy_config_reloads", "Times that settings were read again, taken over or not", reload.asked)
    yield _counter("rproxy_config_reload_failures", "Times that they were refused", reload.refused)
    yield _gauge("rproxy_config_last_reload_ok", "Whether the last ones were taken over; 1 before the first time", reload.fine)


def _traffic(facts: Facts) -> Iterator[Metric]:
    """Commands, errors and durations, of which a part may not be counted."""
    for name, (key, text) in COUNTED.items():
        yield _counter(name, text, facts[key])
    for key, text in (("received", "Bytes read from connections"), ("sent", "Bytes written to connections")):
        passed = CounterMetricFamily(f"rproxy_{key}_bytes", text, labels=["side"])
        for side, count in facts[key].items():
            passed.add_metric([side], count)
        yield passed
    if "kinds" in facts:
        commands = CounterMetricFamily("rproxy_commands", "Commands of clients", labels=["kind"])
        for kind, count in facts["kinds"].items():
            commands.add_metric([kind], count)
        yield commands
    if "errors" in facts:
        errors = CounterMetricFamily("rproxy_errors", "Errors that clients got", labels=["code"])
        for code, count in facts["errors"].items():
            errors.add_metric([code], count)
        yield errors
    if "latency" in facts:
        yield _durations(facts["latency"])


def _durations(latency: Facts) -> Metric:
    found = HistogramMetricFamily("rproxy_command_duration_seconds", "From a command to its reply", labels=["kind", "server"])
    bounds = [f"{bound / 1000:g}" for bound in latency["bounds_ms"]] + ["+Inf"]
    for series in latency["series"]:
        total, buckets = 0, []
        for bound, count in zip(bounds, series["counts"], strict=True):
            total += count
            buckets.append((bound, total))
        found.add_metric([series["kind"], series["server"]], buckets, series["sum_ms"] / 1000)
    return found


def _servers(rows: list[Facts]) -> Iterator[Metric]:
    """Each server; a number that isn't known is left out."""
    for name, (key, unit, text) in OF_A_SERVER.items():
        gauge = GaugeMetricFamily(name, text, labels=["server"])
        for row in rows:
            if row[key] is not None:
                gauge.add_metric([row["server"]], row[key] / unit)
        yield gauge
    leads = GaugeMetricFamily("rproxy_server_leader", "Whether it is the leader", labels=["server"])
    sent = CounterMetricFamily("rproxy_server_requests", "Commands sent to it", labels=["server", "kind"])
    connections = GaugeMetricFamily(
        "rproxy_server_connections", "Connections to it: shared, or of one client", labels=["server", "use"]
    )
    for row in rows:
        leads.add_metric([row["server"]], row["role"] == "leader")
        for key, kind in (("reads", "read"), ("writes", "write")):
            sent.add_metric([row["server"], kind], row[key])
        for key, use in (("lanes", "lane"), ("leases", "lease")):
            connections.add_metric([row["server"], use], row[key])
    yield from (leads, sent, connections)
    for name, (key, text) in COUNTED_OF_A_SERVER.items():
        counter = CounterMetricFamily(name, text, labels=["server"])
        for row in rows:
            counter.add_metric([row["server"]], row[key])
        yield counter


def _pools(rows: list[Facts]) -> Iterator[Metric]:
    """What waits for a connection."""
    for name, (key, unit, text) in OF_A_POOL.items():
        gauge = GaugeMetricFamily(name, text, labels=["server"])
        for row in rows:
            gauge.add_metric([row["server"]], row[key] / unit)
        yield gauge


def _ejections(desk: Desk, rows: list[Facts]) -> Metric:
    """Of each server and reason, also of those that there were none of yet: what begins with 1 has not grown, as Prometheus sees it."""
    ejected = desk.running.plane.tallies.ejected
    found = CounterMetricFamily(
        "rproxy_server_ejections", "Times that a replica was taken out of the reads", labels=["server", "reason"]
    )
    for server, reason in dict.fromkeys([*ejected, *((row["server"], reason) for row in rows for reason in EJECTED_FOR)]):
        found.add_metric([server, reason], ejected.get((server, reason), 0))
    return found


class _Once(Collector):
    """For one question."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for."""
        return families(self._desk)


async def metrics(request: Request) -> Response:
    """In the format that the asker prefers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(desk_of(request)))
    encode, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=content_type)


ROUTES = [Route("/metrics", metrics)]
