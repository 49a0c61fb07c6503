"""The checker finds what it must, and nothing else."""

from __future__ import annotations

import random

import pytest

from tests.chaos.checker import COUNTERS, LISTS, STRINGS, Data, check, longest_gap, register, searched, stale
from tests.chaos.history import History, Kind, Operation, Outcome, Token, Version


def random_history(dice: random.Random) -> list[Operation]:
    """A few operations on one register, by chance, so that about half of the histories are linearizable."""
    operations: list[Operation] = []
    for number in range(dice.randrange(3, 9)):
        begun = dice.random() * 10
        written = [one.value for one in operations if one.write]
        if dice.random() < 0.5 or not written:
            outcome = dice.choice([Outcome.OK, Outcome.OK, Outcome.OK, Outcome.MAYBE])
            operations.append(Operation(True, f"x{number}", begun, begun + dice.random() * 4, outcome))
        else:
            operations.append(Operation(False, dice.choice([*written, None]), begun, begun + dice.random() * 4, Outcome.OK))
    return operations


@pytest.mark.parametrize("seed", range(10))
def test_zones_agree_with_a_search_of_all_orders(seed: int) -> None:
    dice = random.Random(seed)
    verdicts = set()
    for _ in range(200):
        operations = random_history(dice)
        verdicts.add(searched(operations))
        assert (not register(operations)) is searched(operations), operations
    assert verdicts == {True, False}


def test_a_read_of_what_was_said_not_to_be_executed_is_found() -> None:
    assert register([Operation(True, "a", 0, 1, Outcome.NO), Operation(False, "a", 2, 3, Outcome.OK)])


def version(number: int, begun: float, ended: float) -> Version:
    return Version(number, begun, ended, Outcome.OK)


def test_a_read_older_than_an_acknowledged_write_is_stale() -> None:
    written = [version(1, 0, 1), version(2, 2, 3)]
    assert stale(written, [version(1, 2.5, 4)]) == ([], [])
    assert len(stale(written, [version(1, 3.5, 4)])[0]) == 1


def test_a_read_older_than_an_earlier_read_goes_back() -> None:
    written = [version(1, 0, 1), Version(2, 2, 3, Outcome.MAYBE)]
    assert len(stale(written, [version(2, 4, 5), version(1, 6, 7)])[1]) == 1


def test_the_longest_gap_begins_or_ends_with_the_run() -> None:
    assert longest_gap([3.0, 4.0], 0.0, 10.0) == 6.0
    assert longest_gap([], 0.0, 10.0) == 10.0


def data(**lists: list[str]) -> Data:
    named = {name.replace("_", ":"): elements for name, elements in lists.items()}
    return Data({key: named.get(key, []) for key in LISTS}, {key: [] for key in STRINGS}, dict.fromkeys(COUNTERS, 0))


def findings(tokens: dict[str, Token], held: Data) -> set[Kind]:
    history = History()
    history.tokens.update(tokens)
    check(history, held)
    return set(history.findings)


def token(outcome: Outcome, where: str = "list:0") -> Token:
    return Token(where, 0, 1, outcome, "")


@pytest.mark.parametrize(
    ("outcome", "held", "found"),
    [
        (Outcome.OK, ["t"], set()),
        (Outcome.OK, [], {Kind.LOST}),
        (Outcome.OK, ["t", "t"], {Kind.DOUBLED}),
        (Outcome.NO, ["t"], {Kind.LIED}),
        (Outcome.NO, [], set()),
        (Outcome.MAYBE, ["t"], set()),
        (Outcome.MAYBE, [], set()),
        (Outcome.MAYBE, ["t", "t"], {Kind.DOUBLED}),
    ],
)
def test_a_token_is_there_as_often_as_it_was_said(outcome: Outcome, held: list[str], found: set[Kind]) -> None:
    assert findings({"t": token(outcome)}, data(list_0=held)) == found


def test_lists_that_are_written_together_are_equal() -> None:
    assert findings({}, data(ta=["t"], tb=[])) == {Kind.TORN}
    assert findings({}, data(caslog=["a:1", "b:3"])) == {Kind.TORN}


def test_an_element_that_was_popped_is_not_there() -> None:
    history = History()
    history.tokens["t"] = token(Outcome.OK, "q")
    history.popped["t"] = 1
    check(history, data(q_0=["t"]))
    assert set(history.findings) == {Kind.POPPED_AGAIN}


def test_a_counter_tells_lost_and_doubled_increments() -> None:
    for value, kind in ((1, Kind.LOST), (4, Kind.DOUBLED)):
        history = History()
        history.increments["cnt:0"].update({Outcome.OK: 2, Outcome.MAYBE: 1})
        held = data()
        check(history, Data(held.lists, held.strings, {**held.counters, "cnt:0": value}))
        assert set(history.findings) == {kind}


def test_a_message_is_received_once() -> None:
    history = History()
    history.messages += [(1, 1), (1, 2), (2, 2), (1, 2)]
    check(history, data())
    assert set(history.findings) == {Kind.PUBSUB}
