"""Logins of servers whose password changes: it stands in a file, or a command prints it.

Asked by the service's dialer and by `probe` before each connection, and by the data plane for the login itself (`Ports.login`). Who holds connections is told
when a login has changed, so that they authenticate anew before the server closes them. It must never show a password, nor what a command has printed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from weakref import WeakSet

from rproxy.dataplane.topology import Server

log = logging.getLogger("rproxy.credentials")

FILE_INTERVAL = 5.0
"""Seconds between two looks at a file, beside those before each connection."""
COMMAND_INTERVAL = 60.0
"""Seconds for which what a command printed is used for new connections, where neither it nor the settings say for how long it holds."""
COMMAND_TIMEOUT = 10.0
"""Seconds after which a command is killed."""
RETRY = 5.0
"""Seconds until a source that has failed is asked again."""
MARGIN = 0.2
"""The part of its life that a password has left when the next one is asked for."""
MOST = 64 * 1024
"""Bytes that a password, or what says it, may have. A token of Entra has some 2,000."""


class CredentialError(OSError):
    """No password can be had from where it should be. The text shows none."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A password, and the user that came with it, if any. `expires`: until when it holds, in seconds since 1970; 0.0 where nobody says."""

    password: str
    user: str = ""
    expires: float = 0.0


def read(text: str) -> Credential:
    """What a file holds, or a command prints: the password alone, or a JSON object with `password`, and `user` and `expires` where it has them. `expires` is in
    seconds since 1970, or as in ISO 8601. Raises CredentialError.
    """
    text = text.strip()
    if not text.startswith("{"):
        if not text or len(text.split("\n")) > 1:
            raise CredentialError("it gives no password, or more than one line")
        return Credential(text)
    try:
        found = json.loads(text)
    except ValueError:
        raise CredentialError("it begins with { and is no JSON") from None
    password, user, expires = found.get("password"), found.get("user", ""), found.get("expires", 0)
    if not isinstance(password, str) or not password or not isinstance(user, str):
        raise CredentialError('its JSON has no text "password", or a "user" that is none')
    return Credential(password, user, _seconds(expires))


def _seconds(expires: object) -> float:
    """A time of a JSON object, in seconds since 1970. Raises CredentialError."""
    if isinstance(expires, str) and not expires.replace(".", "", 1).isdigit():
        with suppress(ValueError):
            return datetime.fromisoformat(expires).timestamp()
    elif isinstance(expires, int | float | str) and not isinstance(expires, bool):
        return float(expires)
    raise CredentialError('"expires" in its JSON is neither seconds since 1970 nor a time as in ISO 8601')


class Source:
    """Where the password of some servers comes from: `file`, or `command`. `life`: for how many seconds it holds, 0.0 where only the source may know.

    `changed()` is called when there is another one than before.
    """

    def __init__(self, file: str, command: str, life: float, changed: Callable[[], None]) -> None:
        self._file = file
        self._command = command
        self._life = life
        self._changed = changed
        self._asking: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._asked = -COMMAND_INTERVAL
        self._failed = -RETRY
        self._told = 0.0
        self._is_refused = False
        self._problem = ""
        self.credential: Credential | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"password_file {self._file}" if self._file else f"password_command {self._command.split()[0]}"

    async def renew(self) -> None:
        """Ask, if what is known may be old. Raises CredentialError where nothing is known; else the last password is tried on."""
        self._keep()
        now = time.monotonic()
        if self._failed + RETRY <= now and (self._file or self._is_due(now)):
            await self._ask()
        if self.credential is None:
            raise CredentialError(f"{self.name}: {self._problem or 'no answer yet'}")

    def refused(self) -> None:
        """A server does not take the password: there may be a newer one."""
        self._is_refused = True

    def _is_due(self, now: float) -> bool:
        """Whether the command is to be run before another connection is made."""
        return now >= self._asked + (RETRY if self._is_refused else self._pause())

    def _pause(self) -> float:
        """Seconds from the last answer to the next question."""
        if self._file:
            return FILE_INTERVAL
        if self.credential is None:
            return RETRY
        if not self.credential.expires:
            return COMMAND_INTERVAL
        return max(1.0, (self.credential.expires - self._told) * (1 - MARGIN))

    async def _ask(self) -> None:
        """Ask once, for all that want to know."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_now(), name=f"credentials of {self.name}")
        await asyncio.shield(self._asking)

    async def _ask_now(self) -> None:
        try:
            found = read(await (self._read_file() if self._file else self._run_command()))
        except (OSError, UnicodeDecodeError) as problem:
            self._fail(problem)
            return
        now = time.time()
        self._asked, self._told = time.monotonic(), now
        if self._life and not found.expires:
            found = Credential(found.password, found.user, now + self._life)
        if self._problem:
            log.info("%s gives a password again", self.name)
        self._problem, self._is_refused = "", False
        before, self.credential = self.credential, found
        if before is not None and (before.user, before.password) != (found.user, found.password):
            log.info("%s gives another password: connections authenticate anew", self.name)
            self._changed()

    def _fail(self, problem: Exception) -> None:
        text = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
        text = "it is not UTF-8" if isinstance(problem, UnicodeDecodeError) else text
        if text != self._problem:
            log.error("%s gives no password: %s; asked again every %g s", self.name, text, RETRY)
        self._problem = text
        self._failed = time.monotonic()

    async def _read_file(self) -> str:
        def contents() -> bytes:
            with Path(self._file).open("rb") as file:
                return file.read(MOST)

        return (await asyncio.to_thread(contents)).decode()

    async def _run_command(self) -> str:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*shlex.split(self._command), stdin=nothing, stdout=pipe, stderr=pipe)
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                output, errors = await process.communicate()
        except TimeoutError:
            raise CredentialError(f"it has not ended after {COMMAND_TIMEOUT:g} s") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            said = errors.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
            raise CredentialError(f"exit code {process.returncode}{': ' if said else ''}{said}")
        return output[:MOST].decode()

    def _keep(self) -> None:
        """From now on ask by itself too, before what is known expires."""
        loop = asyncio.get_running_loop()
        if self._keeping is None or self._keeping.done() or self._keeping.get_loop() is not loop:
            self._keeping = loop.create_task(self._go_on(), name=f"renewal of {self.name}")

    async def _go_on(self) -> None:
        while True:
            now = time.monotonic()
            wait = max(self._asked + self._pause(), self._failed + RETRY) - now
            await asyncio.sleep(max(wait, 0.05))
            if time.monotonic() >= self._asked + self._pause() and (self._file or self._expires()):
                await self._ask()

    def _expires(self) -> bool:
        """Whether a command is to be run by itself: what holds for an unknown time is asked for where a connection is made."""
        return self.credential is None or bool(self.credential.expires)

    def close(self) -> None:
        """Ask no more."""
        for task in (self._keeping, self._asking):
            if task is not None:
                task.cancel()


class Credentials:
    """The logins of servers, and where they come from."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, str, float], Source] = {}
        self._listeners: WeakSet[Listener] = WeakSet()

    def source(self, server: Server) -> Source | None:
        """Where the password of this server comes from; None where it stands in its URL, or nowhere."""
        if not server.password_file and not server.password_command:
            return None
        key = (server.password_file, server.password_command, server.expires)
        if key not in self._sources:
            self._sources[key] = Source(*key, self._changed)
        return self._sources[key]

    def login(self, server: Server) -> tuple[str, str]:
        """The user and password for this server, each empty where there is none. What comes from elsewhere is known after the first `renew`."""
        source = self.source(server)
        if source is None:
            return server.user, server.password
        known = source.credential
        return (server.user, "") if known is None else (known.user or server.user, known.password)

    async def renew(self, server: Server) -> None:
        """Have a password that holds, before a connection is made. Raises CredentialError."""
        source = self.source(server)
        if source is not None:
            await source.renew()

    def refused(self, server: Server) -> None:
        """The server does not take the login."""
        source = self.source(server)
        if source is not None:
            source.refused()

    def listen(self, changed: Callable[[], None]) -> Listener:
        """Call `changed` whenever a login has changed, for as long as the caller keeps what this returns."""
        listener = Listener(changed)
        self._listeners.add(listener)
        return listener

    def _changed(self) -> None:
        for listener in list(self._listeners):
            listener.changed()

    def keep(self, servers: Iterable[Server]) -> None:
        """Ask no source any more but those of these servers."""
        kept = {self.source(server) for server in servers}
        for key, source in list(self._sources.items()):
            if source not in kept:
                source.close()
                del self._sources[key]


@dataclass(frozen=True, eq=False)
class Listener:
    """Who is told that a login has changed."""

    changed: Callable[[], None]


CREDENTIALS = Credentials()
"""Those of this process."""
