"""What a plan is made of: each step says what to send on which connection, and makes sense wherever the steps before it are left out.

Words are text in which each letter is one byte (Latin-1); a word `x*70001` stands for that many letters, and `{id:2}` for what the side itself calls the
connection 2. Plans are written to JSON and read from it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Command = tuple[str, ...]


@dataclass(frozen=True)
class Send:
    """Send these commands in one go, cut into packets at these bytes (modulo the length)."""

    connection: int
    commands: tuple[Command, ...]
    cuts: tuple[int, ...] = ()
    gap_ms: float = 0.0
    """How long to wait between two packets."""
    dress: int = 0
    """A seed for how commands are written: other than 0, some are inline or have empty lines before them."""


@dataclass(frozen=True)
class Together:
    """Several connections send at the same time. Their commands touch different keys, so that the order between them shows nowhere."""

    sends: tuple[Send, ...]
    busy_ms: int = 0
    """How long a script of yet another client keeps the server busy meanwhile."""


@dataclass(frozen=True)
class Expire:
    """Send commands that give keys some milliseconds to live, and wait until that is over."""

    connection: int
    commands: tuple[Command, ...]
    wait_ms: int


@dataclass(frozen=True)
class Iterate:
    """Iterate to the end with SCAN or its kin, where another connection sends commands after each reply. Those touch only what begins with `moving`, which
    an iteration may or may not show.
    """

    connection: int
    command: Command
    """The words before the cursor: `("SCAN",)` or `("HSCAN", "h0")`."""
    options: Command = ()
    other: int = 0
    between: tuple[Command, ...] = ()


@dataclass(frozen=True)
class Restore:
    """DUMP one key and RESTORE it as another; each side its own bytes."""

    connection: int
    source: str
    target: str


@dataclass(frozen=True)
class Reopen:
    """Close the connection, with a reset or in order, and open it anew."""

    connection: int
    reset: bool = False


@dataclass(frozen=True)
class Pause:
    """Let time go by, so that replicas catch up or rproxy's timers end."""

    ms: int


Some = TypeVar("Some", Send, Expire)
Step = Send | Together | Expire | Iterate | Restore | Reopen | Pause
KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Send, Together, Expire, Iterate, Restore, Reopen, Pause)}


@dataclass(frozen=True)
class Plan:
    """Steps for a number of connections that all begin in this version of RESP."""

    seed: int
    protocol: int
    connections: int
    steps: tuple[Step, ...]


def without(plan: Plan, pattern: str) -> Plan:
    """The plan without the commands in which this regular expression is found, whatever their case; all of it for an empty one."""
    if not pattern:
        return plan
    found = re.compile(pattern, re.IGNORECASE)
    return dataclasses.replace(plan, steps=tuple(_without(step, found) for step in plan.steps))


def _without(step: Step, found: re.Pattern[str]) -> Step:
    if isinstance(step, Together):
        return dataclasses.replace(step, sends=tuple(_fewer(send, found) for send in step.sends))
    if isinstance(step, Send):
        return _fewer(step, found)
    return _fewer(step, found) if isinstance(step, Expire) else step


def _fewer(step: Some, found: re.Pattern[str]) -> Some:
    return dataclasses.replace(step, commands=tuple(command for command in step.commands if not found.search(" ".join(command))))


def shown(step: Step) -> str:
    """The step in one line, for people."""
    if isinstance(step, Together):
        return f"together (busy {step.busy_ms} ms): " + " | ".join(shown(send) for send in step.sends)
    if isinstance(step, Send | Expire):
        end = f", then {step.wait_ms} ms" if isinstance(step, Expire) else f" [{len(step.cuts) + 1} packets]" if step.cuts else ""
        return f"{step.connection}: " + "; ".join(" ".join(map(quoted, command)) for command in step.commands) + end
    return repr(step)


def quoted(word: str) -> str:
    return repr(word) if not word or not word.isprintable() or " " in word else word


def to_json(plan: Plan, why: str = "") -> str:
    """The plan as text that `from_json` reads."""
    lines = ",\n".join("    " + json.dumps(_as_facts(step)) for step in plan.steps)
    head = json.dumps({"why": why, "seed": plan.seed, "protocol": plan.protocol, "connections": plan.connections})
    return f'{head[:-1]}, "steps": [\n{lines}\n]}}\n'


def from_json(text: str) -> Plan:
    """The plan that `to_json` wrote."""
    facts = json.loads(text)
    steps = tuple(_from_facts(step) for step in facts["steps"])
    return Plan(facts["seed"], facts["protocol"], facts["connections"], steps)


def _as_facts(step: Step) -> dict[str, Any]:
    facts: dict[str, Any] = {"step": type(step).__name__}
    for field in dataclasses.fields(step):
        value = getattr(step, field.name)
        if value != field.default:
            facts[field.name] = [_as_facts(send) for send in value] if field.name == "sends" else value
    return facts


def _from_facts(facts: Mapping[str, Any]) -> Step:
    values = {name: _tuples(value) for name, value in facts.items() if name not in ("step", "sends")}
    if "sends" in facts:
        values["sends"] = tuple(_from_facts(send) for send in facts["sends"])
    step: Step = KINDS[facts["step"]](**values)
    return step


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value
