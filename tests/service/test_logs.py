"""The log's lines: text and JSON, levels, fields, and that logging never raises."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
from collections.abc import Iterator

import pytest

from rproxy.service.log_writer import MOST
from rproxy.service.logs import flush, instant, lost, set_up
from rproxy.settings import Log

log = logging.getLogger("rproxy.test")


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Logging as the other tests expect it, afterwards."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raises
    root.setLevel(level)


def written(out: io.StringIO) -> str:
    """What has come out when all is written."""
    flush()
    return out.getvalue()


def test_a_text_line_has_time_level_logger_message_and_fields() -> None:
    out = io.StringIO()
    set_up(Log(format="text"), out)
    log.warning("lost %s", "a:6379", extra={"server": "a:6379", "pending": 3})
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning  rproxy\.test: lost a:6379 server=a:6379 pending=3\n"
    assert re.fullmatch(line, written(out))


def test_a_json_line_has_the_same_as_an_object() -> None:
    out = io.StringIO()
    set_up(Log(format="json"), out)
    log.warning("lost %s\n", "a:6379", extra={"server": "a:6379", "pending": 3})
    (line,) = written(out).splitlines()
    fields = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert fields == {"level": "warning", "logger": "rproxy.test", "message": "lost a:6379\n", "server": "a:6379", "pending": 3}


def test_auto_is_json_where_stderr_is_no_terminal_and_text_where_it_is() -> None:
    out = io.StringIO()
    set_up(Log(), out)
    log.info("x")
    assert json.loads(written(out))["message"] == "x"

    manager, terminal = pty.openpty()
    with open(terminal, "w") as stream:
        set_up(Log(), stream)
        log.info("on a terminal")
        flush()
        shown = os.read(manager, 4096).decode()
    os.close(manager)
    assert "info     rproxy.test: on a terminal" in shown


@pytest.mark.parametrize(("level", "seen"), [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")])
def test_only_the_level_and_above_is_written(level: str, seen: str) -> None:
    out = io.StringIO()
    set_up(Log(level=level, format="json"), out)  # type: ignore[arg-type]
    for number, letter in ((10, "d"), (20, "i"), (30, "w"), (40, "e")):
        log.log(number, letter)
    assert "".join(json.loads(line)["message"] for line in written(out).splitlines()) == seen


def test_a_line_break_in_a_message_makes_no_second_line_of_text() -> None:
    out = io.StringIO()
    set_up(Log(format="text"), out)
    log.info("one\r\n2026-01-01T00:00:00.000Z info rproxy: forged")
    assert written(out).count("\n") == 1 and "one\\r\\n2026" in written(out)


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exception_comes_with_its_traceback(format: str) -> None:
    out = io.StringIO()
    set_up(Log(format=format), out)  # type: ignore[arg-type]
    try:
        raise OSError("no such thing")
    except OSError:
        log.exception("failed")
    assert "OSError: no such thing" in written(out) and "Traceback" in written(out)


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_closed_stderr_or_a_wrong_call_raises_nothing(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    set_up(Log(format=format), out)  # type: ignore[arg-type]
    log.info("%d", "no number")
    out.close()
    log.info("nobody reads this")
    flush()
    assert capsys.readouterr().err == ""


def test_setting_up_again_replaces_what_was_set_up() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up(Log(), first)
    set_up(Log(), second)
    log.info("x")
    assert written(first) == "" and written(second).count("\n") == 1


def test_an_instant_is_utc_with_milliseconds() -> None:
    assert instant(0) == "1970-01-01T00:00:00.000Z"
    assert instant(1767225599.9999) == "2025-12-31T23:59:59.999Z"


def test_who_logs_waits_for_nobody_and_what_is_lost_is_said_when_it_goes_on() -> None:
    reader, writer = os.pipe()
    before = lost()
    with open(writer, "w") as stream, open(reader, "rb", buffering=0) as pipe:
        set_up(Log(format="text"), stream)
        for number in range(MOST + 1000):
            log.info("%d %s", number, "x" * 200)
        missing = lost() - before
        assert missing > 0, "nobody reads, and who logs goes on"
        heard = b""
        while b"could not be written" not in heard:
            heard += pipe.read(65536)
        assert heard.count(b"xxx ") + heard.count(b"x\n") == MOST + 1000 - missing
        assert b" %d lines of the log could not be written" % missing in heard
        log.info("goes on")
        assert b"goes on" in pipe.read(65536)
        set_up(Log(), io.StringIO())


def test_a_changed_level_loses_nothing_that_waits() -> None:
    out = io.StringIO()
    set_up(Log(format="text"), out)
    log.info("before")
    set_up(Log(format="text", level="error"), out)
    log.info("too little")
    log.error("after")
    assert [line.rpartition(" ")[2] for line in written(out).splitlines()] == ["before", "after"]
