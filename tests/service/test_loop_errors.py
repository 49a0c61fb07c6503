"""What the event loop reports by itself."""

from __future__ import annotations

import asyncio
import logging

import pytest

from rproxy.service import loop_errors


def reported(problem: Exception) -> None:
    """A future fails, and nobody asks how it ended."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(loop_errors.report)
        future = loop.create_future()
        future.set_exception(problem)
        del future

    asyncio.run(scenario())


@pytest.mark.parametrize("problem", [TimeoutError("timed out"), ConnectionResetError("reset"), OSError(113, "No route to host")])
def test_what_the_network_does_is_no_error_in_the_log(problem: OSError, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reported(problem)
    assert not caplog.messages


def test_a_fault_is_reported_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    reported(ValueError("a fault"))
    assert "never retrieved" in caplog.text
