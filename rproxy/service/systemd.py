"""What systemd is told: that rproxy is ready, alive, stopping, and what it is doing (the sd_notify protocol).

Called by the lifecycle. Without systemd every call is a no-op. It must never fail or wait: the service
matters more than the messages about it. The protocol stands in sd_notify(3) and sd_watchdog_enabled(3): one
datagram of `KEY=value` lines to the socket that $NOTIFY_SOCKET names.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping


def notify(*messages: str, env: Mapping[str, str] = os.environ) -> None:
    """Send messages such as "READY=1", "STOPPING=1", "STATUS=3 clients" to the service manager, if one
    listens.
    """
    name = env.get("NOTIFY_SOCKET", "")
    if len(name) < 2 or name[0] not in "/@":  # nothing, or a kind of socket that only virtual machines have
        return
    address = "\0" + name[1:] if name[0] == "@" else name
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)  # a full queue loses this message rather than hold the loop
        sender.sendto("\n".join(" ".join(message.split()) for message in messages).encode(), address)


def watchdog_interval(env: Mapping[str, str] = os.environ) -> float | None:
    """Seconds between two signs of life, half of what systemd allows; None where it doesn't watch this
    process.
    """
    allowed, watched = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not allowed.isdecimal() or int(allowed) == 0 or watched not in ("", str(os.getpid())):
        return None
    return int(allowed) / 1e6 / 2


def start_watchdog(env: Mapping[str, str] = os.environ) -> asyncio.Task[None] | None:
    """Give signs of life from the running loop for as long as it turns, until the task is cancelled.

    Where the loop hangs for longer than WatchdogSec, systemd kills the service and starts it again. None
    where systemd doesn't watch.
    """
    interval = watchdog_interval(env)
    if interval is None:
        return None

    async def beat(seconds: float) -> None:
        while True:
            notify("WATCHDOG=1", env=env)
            await asyncio.sleep(seconds)

    return asyncio.get_running_loop().create_task(beat(interval), name="watchdog")
