"""The log: lines on stderr, text for people on a terminal, JSON for machines everywhere else.

Called once, before the service starts. Modules log with the standard library's `logging`; a record's `extra`
becomes fields of the line. It must never raise into the code that logs, nor keep it waiting (`log_writer`), and nothing calls it per command.
"""

from __future__ import annotations

import logging
import sys
import time
from functools import partial
from typing import TextIO

from rproxy.service.log_writer import Writer
from rproxy.settings import Log

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def set_up(log: Log, stream: TextIO | None = None, worker: int | None = None) -> None:
    """Send everything that is logged from now on to `stream` (stderr by default), as `log` says, with the number of the `worker` that logs, where there
    are several. Replaces what was set up before.
    """
    stream = sys.stderr if stream is None else stream
    as_text = log.format == "text" or (log.format == "auto" and stream.isatty())
    handler = Handler(stream)
    handler.setFormatter(TextFormatter() if as_text else json_formatter())
    if worker is not None:
        handler.addFilter(partial(_with_worker, worker))
    root = logging.getLogger()
    before, root.handlers[:] = root.handlers[:], [handler]
    for replaced in before:
        if isinstance(replaced, Handler):
            replaced.hand_over(handler)
    root.setLevel(log.level.upper())
    logging.raiseExceptions = False  # a closed stderr must not print tracebacks, least of all to stderr


def lost() -> int:
    """How many lines could not be written so far."""
    return sum(handler.lost for handler in logging.getLogger().handlers if isinstance(handler, Handler))


def flush() -> None:
    """Return when all that was logged is written, or after a while."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class Handler(logging.Handler):
    """Formats records, and has a `Writer` write them to `stream`."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._writer = Writer(stream, self._told)

    @property
    def lost(self) -> int:
        """How many lines could not be written."""
        return self._writer.lost

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record soon."""
        try:
            self._writer.put(self.format(record) + "\n")
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Return when all is written, or after a while. The interpreter calls this at its end."""
        self._writer.flush()

    def hand_over(self, successor: Handler) -> None:
        """Another one is used from now on; with the same stream it goes on with what waits here."""
        if successor._stream is self._stream:
            successor._writer.close()
            successor._writer = self._writer
            successor._writer.told = successor._told
        else:
            self._writer.close()

    def _told(self, count: int) -> str:
        text = f"{count} lines of the log could not be written: whoever reads it stood still, or its disk was full"
        record = logging.makeLogRecord({"name": "rproxy", "levelno": logging.WARNING, "levelname": "WARNING", "msg": text})
        self.filter(record)
        return self.format(record) + "\n"


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
