"""The log: lines on stderr, text for people on a terminal, JSON for machines everywhere else.

Called once, before the service starts. Modules log with the standard library's `logging`; a record's `extra`
becomes fields of the line. It must never raise into the code that logs, and nothing calls it per command.
"""

from __future__ import annotations

import logging
import sys
import time
from functools import partial
from typing import TextIO

from rproxy.settings import Log

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def set_up(log: Log, stream: TextIO | None = None, worker: int | None = None) -> None:
    """Send everything that is logged from now on to `stream` (stderr by default), as `log` says, with the number of the `worker` that logs, where there
    are several. Replaces what was set up before.
    """
    stream = sys.stderr if stream is None else stream
    as_text = log.format == "text" or (log.format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if as_text else json_formatter())
    if worker is not None:
        handler.addFilter(partial(_with_worker, worker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log.level.upper())
    logging.raiseExceptions = False  # a closed stderr must not print tracebacks, least of all to stderr


def _with_worker(worker: int, record: logging.LogRecord) -> bool:
    record.worker = worker
    return True


def instant(seconds: float) -> str:
    """A Unix time as ISO 8601 in UTC with milliseconds."""
    milliseconds = int(seconds * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(milliseconds // 1000))}.{milliseconds % 1000:03d}Z"


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z info     rproxy.service: listening address=tcp://127.0.0.1:7379`: one line, a
    traceback below it.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in vars(record).items() if name not in _OWN_FIELDS)
        message = (record.getMessage() + fields).replace("\r", "\\r").replace("\n", "\\n")
        line = f"{instant(record.created)} {record.levelname.lower():<8} {record.name}: {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def json_formatter() -> logging.Formatter:
    """One JSON object per line: time, level, logger, message, the fields of `extra`, and `exc_info` with a
    traceback.
    """
    from pythonjsonlogger.json import JsonFormatter  # only where JSON is wanted

    class Formatter(JsonFormatter):
        def process_log_record(self, log_data: dict[str, object]) -> dict[str, object]:
            log_data["level"] = str(log_data["level"]).lower()
            return log_data

        def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
            return instant(record.created)

    return Formatter(
        "{asctime}{levelname}{name}{message}", style="{",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    )  # fmt: skip
