"""File descriptors of this process: raises their limit, and keeps a reserve that no client takes.

Called by `lifecycle` at the start and by `acceptor` for each client. The kernel gives a new socket the lowest number that is free, so the number tells how
many are taken, and nothing has to be counted: a client whose socket has a number in the upper part, the reserve, is refused. What rproxy opens for itself
(connections to servers, probes, the admin listeners, files) may have any number. It must never lower a limit.
"""

from __future__ import annotations

import resource
import sys

from rproxy.settings import Settings

LARGEST_RESERVE = 256
"""Descriptors that clients may not take. A limit below four times as many keeps a quarter of it."""

LARGEST_LAST = 64
"""Descriptors of the reserve that connections for single clients (leases) may not take either. A limit below eight times as many keeps an eighth."""


def raise_limit() -> int:
    """Raise the soft limit (RLIMIT_NOFILE) to the hard one, as far as the system lets; the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # macOS says "unlimited" and allows less
            return limit()
    return limit()


def limit() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def for_clients() -> int:
    """The first descriptor that is no client's: the reserve begins here."""
    most = limit()
    return most - min(LARGEST_RESERVE, most // 4)


def for_leases() -> int:
    """The first descriptor that no connection for a single client may have: what is left is for lanes, probes, the freshness clock and administrators."""
    most = limit()
    return most - min(LARGEST_LAST, most // 8)


def warning(settings: Settings) -> str:
    """What is to be said at the start where `limits.clients` does not fit the limit, "" where it does."""
    room = for_clients() * settings.workers
    if settings.limits.clients <= room:
        return ""
    each = " in each worker" if settings.workers > 1 else ""
    return (
        f"limits.clients is {settings.limits.clients}, and with at most {limit()} open files{each} there is room for about {room}:"
        " more are refused. Raise the hard limit (LimitNOFILE= of systemd, ulimit -Hn), or lower limits.clients"
    )
