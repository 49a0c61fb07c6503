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

from rproxy.service.logs import instant, set_up
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


def test_a_text_line_has_time_level_logger_message_and_fields() -> None:
    out = io.StringIO()
    set_up(Log(format="text"), out)
    log.warning("lost %s", "a:6379", extra={"server": "a:6379", "pending": 3})
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning  rproxy\.test: lost a:6379 server=a:6379 pending=3\n"
    assert re.fullmatch(line, out.getvalue())


def test_a_json_line_has_the_same_as_an_object() -> None:
    out = io.StringIO()
    set_up(Log(format="json"), out)
    log.warning("lost %s\n", "a:6379", extra={"server": "a:6379", "pending": 3})
    (line,) = out.getvalue().splitlines()
    fields = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert fields == {"level": "warning", "logger": "rproxy.test", "message": "lost a:6379\n", "server": "a:6379", "pending": 3}


def test_auto_is_json_where_stderr_is_no_terminal_and_text_where_it_is() -> None:
    out = io.StringIO()
    set_up(Log(), out)
    log.info("x")
    assert json.loads(out.getvalue())["message"] == "x"

    manager, terminal = pty.openpty()
    with open(terminal, "w") as stream:
        set_up(Log(), stream)
        log.info("on a terminal")
        shown = os.read(manager, 4096).decode()
    os.close(manager)
    assert "info     rproxy.test: on a terminal" in shown


@pytest.mark.parametrize(("level", "seen"), [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")])
def test_only_the_level_and_above_is_written(level: str, seen: str) -> None:
    out = io.StringIO()
    set_up(Log(level=level, format="json"), out)  # type: ignore[arg-type]
    for number, letter in ((10, "d"), (20, "i"), (30, "w"), (40, "e")):
        log.log(number, letter)
    assert "".join(json.loads(line)["message"] for line in out.getvalue().splitlines()) == seen


def test_a_line_break_in_a_message_makes_no_second_line_of_text() -> None:
    out = io.StringIO()
    set_up(Log(format="text"), out)
    log.info("one\r\n2026-01-01T00:00:00.000Z info rproxy: forged")
    assert out.getvalue().count("\n") == 1 and "one\\r\\n2026" in out.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exception_comes_with_its_traceback(format: str) -> None:
    out = io.StringIO()
    set_up(Log(format=format), out)  # type: ignore[arg-type]
    try:
        raise OSError("no such thing")
    except OSError:
        log.exception("failed")
    assert "OSError: no such thing" in out.getvalue() and "Traceback" in out.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_closed_stderr_or_a_wrong_call_raises_nothing(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    set_up(Log(format=format), out)  # type: ignore[arg-type]
    log.info("%d", "no number")
    out.close()
    log.info("nobody reads this")
    assert capsys.readouterr().err == ""


def test_setting_up_again_replaces_what_was_set_up() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up(Log(), first)
    set_up(Log(), second)
    log.info("x")
    assert first.getvalue() == "" and second.getvalue().count("\n") == 1


def test_an_instant_is_utc_with_milliseconds() -> None:
    assert instant(0) == "1970-01-01T00:00:00.000Z"
    assert instant(1767225599.9999) == "2025-12-31T23:59:59.999Z"
