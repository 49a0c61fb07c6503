"""The test suites of other people's software that are run direct and through rproxy, and how each of them is.

Every suite comes from a source distribution of a Python package; its pinned packages, with hashes, are `requirements/software/NAME.txt`, which `make
lock` writes from `NAME.in`. What is left out of a suite never asks the server that it is given: it needs a cluster, a Sentinel, TLS certificates or a
server on a path of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Edit:
    """A change to the suite's own files, which name a fixed address: `old` becomes `new`, in which `{port}` is the server's port.

    `files` is a pattern for paths in the suite's folder. The runner fails where no file holds `old`.
    """

    files: str
    old: str
    new: str


@dataclass(frozen=True)
class Suite:
    """One suite, as pytest runs it in the unpacked source distribution of `package`.

    `lock` names the file with its packages. `{port}` in `arguments` and in the values of `environment` is the server's port. `timeout` is for the
    whole run, in seconds. `quick` suites together take under five minutes, both ways.
    """

    name: str
    package: str
    lock: str
    arguments: tuple[str, ...]
    edits: tuple[Edit, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 300.0
    quick: bool = False


def _without(*paths: str) -> tuple[str, ...]:
    """The arguments by which pytest leaves out files, folders, or tests of a file."""
    return tuple(f"--deselect={path}" if "::" in path else f"--ignore={path}" for path in paths)


def _django_redis() -> Suite:
    """django-redis with each of its clients, compressors and serializers. Some of its tests look for compressed members of sets, also of gzip."""
    return Suite(
        name="django-redis",
        package="django-redis",
        lock="django-redis",
        arguments=(
            "tests",
            "-o",
            "addopts=",
            "-p",
            "timeless_gzip",
            "--numprocesses=12",
            "-k",
            "not sqlite_sentinel and not sqlite_usock",
        ),
        edits=(Edit("tests/settings/*.py", ":6379", ":{port}"), Edit("tests/*.py", "6379", "{port}")),
        environment={"DJANGO_SETTINGS_MODULE": "settings.sqlite"},
        quick=True,
    )


def _rq() -> Suite:
    """RQ: queues, registries, schedulers, and workers as processes."""
    return Suite(
        name="rq",
        package="rq",
        lock="rq",
        arguments=("tests", "-p", "default_port"),
        edits=(
            Edit("tests/test_*.py", "127.0.0.1:6379", "127.0.0.1:{port}"),
            Edit("tests/test_cli.py", "connection_kwargs['port'], 6379", "connection_kwargs['port'], {port}"),
        ),
        timeout=600.0,
    )


def _channels_redis() -> Suite:
    """channels_redis with both of its layers; without a test that it marks as one that may fail, and that now and then does."""
    return Suite(
        name="channels-redis",
        package="channels-redis",
        lock="channels-redis",
        arguments=(
            "tests",
            "-p",
            "default_port",
            *_without("tests/test_sentinel.py", "tests/test_pubsub_sentinel.py", "tests/test_core.py::test_receive_cancel"),
        ),
        edits=(Edit("tests/test_*.py", ":6379", ":{port}"), Edit("channels_redis/utils.py", ":6379", ":{port}")),
        quick=True,
    )


def _django_cacheops() -> Suite:
    """django-cacheops: a cache of queries, by scripts that write keys which they don't declare."""
    return Suite(
        name="django-cacheops",
        package="django-cacheops",
        lock="django-cacheops",
        arguments=("tests",),
        edits=(Edit("tests/settings.py", "'port': 6379", "'port': {port}"),),
        quick=True,
    )


def _huey() -> Suite:
    """huey's storages in Redis."""
    return Suite(
        name="huey",
        package="huey",
        lock="huey",
        arguments=("huey/tests/test_storage.py", "-p", "default_port", "-k", "Redis"),
        quick=True,
    )


def _walrus() -> Suite:
    """walrus: containers, models, locks, rate limits and streams."""
    return Suite(
        name="walrus",
        package="walrus",
        lock="walrus",
        arguments=("walrus/tests/__init__.py",),
        environment={"WALRUS_REDIS_PORT": "{port}"},
        quick=True,
    )


_REDIS_PY_FILES = (
    *(
        "commands",
        "pipeline",
        "pubsub",
        "scripting",
        "lock",
        "monitor",
        "encoding",
        "hash",
        "keyspace_notifications",
        "client",
        "connection",
    ),
    "connection_pool",
)
_REDIS_PY_MARKS = ("onlycluster", "redismod", "ssl", "replica", "cp_integration", "multidb_integration")


def _redis_py(protocol: int) -> Suite:
    """redis-py, synchronous and asynchronous, in one version of RESP: its tests that ask a server, and those beside them."""
    return Suite(
        name=f"redis-py-resp{protocol}",
        package="redis",
        lock="redis-py",
        arguments=(
            *(f"tests/test_{name}.py" for name in (*_REDIS_PY_FILES, "function", "multiprocessing", "cache")),
            *(f"tests/test_asyncio/test_{name}.py" for name in _REDIS_PY_FILES),
            "-o",
            "addopts=",
            "--redis-url=redis://localhost:{port}/0",
            f"--protocol={protocol}",
            "--timeout=10",
            "-m",
            " and ".join(f"not {mark}" for mark in _REDIS_PY_MARKS),
        ),
        timeout=1200.0,
    )


SUITES: tuple[Suite, ...] = (
    _redis_py(2),
    _redis_py(3),
    _django_redis(),
    _rq(),
    _channels_redis(),
    _django_cacheops(),
    _huey(),
    _walrus(),
)
