"""One value of the settings: durations and sizes with their units, words from a fixed choice, and how values
are shown in messages.

Called by `rproxy.config` alone. It must never know where a value stands: a SettingsError from here is the
bare reason, and the caller adds the key, the value and the place.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rproxy.errors import SettingsError
from rproxy.urls import masked, split_list

TIMES = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}  # seconds
SIZES = {  # bytes; the words of redis.conf (memtoull in util.c)
    "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3,
}  # fmt: skip
SWITCHES = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
MOST_WORKERS = 64
SHOWN_LIMIT = 120  # characters of a value in a message

_NUMBER = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)")
_SECRET = re.compile(r"pass|secret|token|auth|credential", re.IGNORECASE)

_URLS = ("listen", "servers", "sentinels", "admin.listen", "admin.probes")
"""Whose values are URLs, or ought to be."""


def shown(value: object, key: str = "", piece: bool = False) -> str:
    """A value as a message shows it: as TOML writes it, of URLs what is known to be no secret, cut where it gets long. A key that sounds secret hides all,
    but for the path of a file. `piece` as for `masked`.
    """
    if _SECRET.search(key) and not (key.endswith("_file") and str(value).startswith(("/", "./", "../"))):
        return '"***"'
    if isinstance(value, str):
        pieces = split_list(value)
        if key in _URLS or "://" in value or "@" in value:
            value = ", ".join(masked(text, piece or len(pieces) > 1) for text in pieces)
    elif isinstance(value, (list, tuple)):
        return "[" + ", ".join(shown(item, key) for item in value) + "]"
    elif isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {shown(item, str(name))}" for name, item in value.items()) + "}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_LIMIT else text[:SHOWN_LIMIT] + '..."'


def nearest(word: str, candidates: Iterable[str], least: float = 0.6) -> str:
    """The candidate that looks most like a word, or like it in the part after its last dot; "" when none
    looks like it.
    """

    def likeness(candidate: str) -> float:
        pairs = ((word, candidate), (word.rpartition(".")[2], candidate.rpartition(".")[2]))
        whole, last = (difflib.SequenceMatcher(None, left.lower(), right.lower()).ratio() for left, right in pairs)
        return max(whole, last - 0.01)  # of two that fit equally, the one whose section fits too

    best = max(candidates, key=likeness, default="")
    return best if best and likeness(best) >= least else ""


def read_duration(value: object, least: float) -> float:
    """Seconds of "250ms", "2s", "1m" or "1h"."""
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value.strip())) and found[2] in TIMES:
        seconds = float(found[1]) * TIMES[found[2]]
        if seconds < least:
            raise SettingsError(f"too short; the least is {write_duration(least)}")
        return round(seconds, 9)
    number = str(value).strip()
    if not isinstance(value, bool) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", number):
        raise SettingsError(f'wrong unit: a time needs one; write "{number}s" for seconds or "{number}ms" for milliseconds')
    raise SettingsError('wrong unit: not a time; write a number with ms, s, m or h, such as "250ms", "2s" or "1m"')


def read_size(value: object, least: int) -> int:
    """Bytes of "64mb", "512kb" or a plain number."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (found := _NUMBER.fullmatch(value.strip())) and found[2].lower() in (*SIZES, ""):
        size = int(float(found[1]) * SIZES[found[2].lower() or "b"])
    else:
        raise SettingsError('wrong unit: not a size; write bytes, or a number with kb, mb or gb, such as "64mb"')
    if size < least:
        raise SettingsError(f"too small; the least is {write_size(least)}")
    return size


def read_number(value: object, least: int) -> int:
    """A whole number; flags and variables give it as text."""
    text = str(value).strip()
    if isinstance(value, (bool, float)) or not re.fullmatch(r"-?[0-9]{1,15}", text):
        raise SettingsError("not a whole number")
    if int(text) < least:
        raise SettingsError(f"too small; the least is {least}")
    return int(text)


def read_workers(value: object) -> int:
    """A number of processes; `auto` stands for as many as there are cores that this one may use."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return cores()
    try:
        workers = read_number(value, 1)
    except SettingsError as error:
        raise SettingsError(f'{error}; write a number of processes, or "auto" for one per core') from None
    if workers > MOST_WORKERS:
        raise SettingsError(f"too many; at most {MOST_WORKERS}")
    return workers


def cores(limits: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """How many cores this process may use: those that it may run on, or what a container's quota allows (cgroup v2, cpu.max: quota and period in
    microseconds), whichever is less.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = limits.read_text().split()
        usable = min(usable, max(1, int(quota) // int(period)))
    return max(1, min(usable, MOST_WORKERS))


def read_percent(value: object) -> int:
    """A whole number from 0 to 100, with or without `%`."""
    text = str(value).strip().removesuffix("%").strip()
    if isinstance(value, (bool, float)) or not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > 100:
        raise SettingsError('not a percentage; write a whole number from 0 to 100, such as 70 or "70%"')
    return int(text)


def read_switch(value: object) -> bool:
    """True or false; flags and variables give it as text."""
    word = str(value).strip().lower()
    if word not in SWITCHES:
        raise SettingsError("must be true or false")
    return SWITCHES[word]


def read_name(value: object) -> str:
    """A name of letters, digits and `. _ - :`; empty for none."""
    if not isinstance(value, str) or not re.fullmatch(r"[\w.:-]{0,64}", value.strip(), re.ASCII):
        raise SettingsError("a name has letters, digits, dots, colons, - and _ and at most 64 of them")
    return value.strip()


def read_text(value: object) -> str:
    """Any text of one line."""
    if not isinstance(value, str) or not value.isprintable():
        raise SettingsError("must be text in quotes, on one line")
    return value.strip()


def read_choice(value: object, choices: Sequence[str]) -> str:
    """One word of a fixed choice."""
    if isinstance(value, str) and value in choices:
        return value
    near = nearest(value, choices) if isinstance(value, str) else ""
    raise SettingsError(f"must be {', '.join(choices[:-1])} or {choices[-1]}" + (f"; did you mean {near}?" if near else ""))


def write_duration(seconds: float) -> str:
    """The shortest spelling of a duration that `read_duration` reads back as the same."""
    if not seconds:
        return "0s"
    for unit, worth in reversed(TIMES.items()):
        if seconds >= worth and round(seconds / worth, 9) == round(seconds / worth):
            return f"{round(seconds / worth)}{unit}"
    return f"{seconds * 1000:g}ms"


def write_size(size: int) -> str:
    """The shortest spelling of a size that `read_size` reads back as the same."""
    for unit in ("gb", "mb", "kb"):
        if size and size % SIZES[unit] == 0:
            return f"{size // SIZES[unit]}{unit}"
    return str(size)
