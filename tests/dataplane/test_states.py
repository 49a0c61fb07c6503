"""States, transitions, and reasons to wait."""

from __future__ import annotations

from rproxy.dataplane import states
from rproxy.dataplane.states import TRANSITIONS, State


def test_every_state_has_its_transitions_and_all_but_the_last_lead_to_closing() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(State.CLOSING in TRANSITIONS[state] for state in State if state is not State.CLOSING)


def test_the_reasons_to_wait_are_distinct_bits() -> None:
    reasons = [states.QUIET, states.ASKED, states.OUTPUT, states.FLIGHT, states.LEASE, states.OVER]
    assert sum(reasons) == 2 ** len(reasons) - 1
