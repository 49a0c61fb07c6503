"""Where settings come from: the file, the environment and the flags, gathered into one value per key, each
with its place.

Called by `rproxy.config` alone. A later source wins key by key: flags over environment over file. It must
never read a value's meaning; it knows which keys exist, finds those that don't, and can say where each value
stands.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rproxy.config_values import nearest, shown
from rproxy.errors import SettingsError
from rproxy.toml_lines import lines_of

PREFIX = "RPROXY_"
NOT_SETTINGS = ("RPROXY_CONFIG", "RPROXY_NO_EXTENSIONS", "RPROXY_INTERPRETED")  # variables with another job

IN_A_FILE = "_FILE"
"""RPROXY_SERVERS_FILE names a file that holds what RPROXY_SERVERS would."""

# Kubernetes gives every pod variables for every Service; for those called "rproxy" or "rproxy-admin" they begin as ours do.
# Recognised by RPROXY_SERVICE_HOST, RPROXY_ADMIN_SERVICE_HOST.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile(
    r"(RPROXY(?:_\w+?)??)_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)

_CLOSE = 0.8
"""How alike (from 0 to 1) a variable and that of a setting are, for it to be a slip of the pen and not another program's."""

_HARMLESS = re.compile(r"[0-9]{1,5}[a-z%]{0,2}", re.ASCII)
"""A number, a time or a size: it shows what was meant, and is no secret."""


@dataclass(frozen=True, slots=True)
class Given:
    """One key's value as a source gave it. `place` says where it stands; `items` says it for each item of an
    array in a file.
    """

    key: str
    value: Any
    place: str
    items: tuple[str, ...] = ()
    piece: bool = False

    def wrong(self, reason: str, hidden: bool = False) -> SettingsError:
        """The error for this value: one message with key, value, place and reason. `hidden`: nobody knows what the value is, and it may be a secret."""
        value = '"***"' if hidden and not _HARMLESS.fullmatch(str(self.value)) else shown(self.value, self.key, self.piece)
        return SettingsError(f"{self.key} = {value} ({self.place}): {reason}")


@dataclass(frozen=True, slots=True)
class Keys:
    """Which keys exist: `plain` ones with their sections, and one `open_section` whose names are free
    (`commands`).
    """

    plain: tuple[str, ...]
    open_section: str
    sections: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", frozenset(key.rpartition(".")[0] for key in self.plain) - {""})

    def normal(self, key: str) -> str:
        """A key as it is kept: names in the open section are command names, which have no case."""
        section, _, name = key.partition(".")
        return f"{section}.{name.upper()}" if section == self.open_section else key

    def known(self, key: str) -> bool:
        section, _, name = key.partition(".")
        return key in self.plain or (section == self.open_section and bool(name))


def flag_of(key: str) -> str:
    """The flag of a key, by rule."""
    return f"--{key}"


def variable_of(key: str) -> str:
    """The environment variable of a key, by rule."""
    return PREFIX + key.upper().replace(".", "__", 1)


def gather(path: str | None, env: Mapping[str, str], flags: Mapping[str, str | list[str]], keys: Keys) -> dict[str, Given]:
    """Every key that some source gives, with its last value. Raises SettingsError for unknown keys and for a file that can't be read. A variable that looks
    like no setting's is none (`ignored`).
    """
    gathered: dict[str, Given] = {}
    for source in (
        _from_file(path, keys) if path else (),
        _from_environment(env, keys),
        _from_flags(flags, keys),
    ):
        gathered.update((given.key, given) for given in source)
    return gathered


def _from_flags(flags: Mapping[str, str | list[str]], keys: Keys) -> Iterator[Given]:
    for key, value in flags.items():
        given = Given(keys.normal(key), value, f"flag {flag_of(key)}")
        if not keys.known(given.key):
            raise _unknown(given, keys, flag_of)
        yield given


def _from_environment(env: Mapping[str, str], keys: Keys) -> Iterator[Given]:
    for name, value, key in _named_as_ours(env):
        given = Given(keys.normal(key), value, f"variable {name}")
        if _is_setting(name, given.key, keys):
            yield given
        elif _names_a_file(name, keys):
            yield _in_a_file(given, name.removesuffix(IN_A_FILE), env)
        elif _is_close(given.key, keys):
            raise _unknown(given, keys, variable_of)


def ignored(env: Mapping[str, str], keys: Keys) -> Iterator[str]:
    """A sentence for each variable that is named as ours are and that no setting has."""
    for name, _, key in _named_as_ours(env):
        key = keys.normal(key)
        if not (_is_setting(name, key, keys) or _names_a_file(name, keys) or _is_close(key, keys)):
            yield f"no setting has the variable {name}: it is ignored"


def _named_as_ours(env: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, value and key of each variable that begins as those of settings do, without what Kubernetes gives for Services."""
    for name, value in sorted(env.items()):
        link = _SERVICE_LINK.fullmatch(name)
        if name.startswith(PREFIX) and name not in NOT_SETTINGS and not (link and f"{link[1]}_SERVICE_HOST" in env):
            yield name, value, name.removeprefix(PREFIX).replace("__", ".", 1).lower()


def _is_setting(name: str, key: str, keys: Keys) -> bool:
    return keys.known(key) and name == variable_of(key)


def _names_a_file(name: str, keys: Keys) -> bool:
    """Whether the variable names a file in which a setting's value stands."""
    return name.endswith(IN_A_FILE) and name.removesuffix(IN_A_FILE) in map(variable_of, keys.plain)


def _is_close(key: str, keys: Keys) -> bool:
    """Whether a variable is so like a setting's that it was meant for it."""
    name = key.removesuffix(IN_A_FILE.lower())
    return "." in key or keys.known(key) or bool(nearest(name, [*keys.plain, *keys.sections, keys.open_section], _CLOSE))


def _in_a_file(given: Given, variable: str, env: Mapping[str, str]) -> Given:
    """The value that stands in the file which a variable names, as secrets are handed over."""
    if variable in env:
        raise given.wrong(f"{variable} is there too; give one of them")
    try:
        lines = Path(given.value).read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise given.wrong(f"the file can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    value = ", ".join(filter(None, map(str.strip, lines)))
    return Given(given.key.removesuffix(IN_A_FILE.lower()), value, f"{given.value}, by {given.place}")


def _from_file(path: str, keys: Keys) -> Iterator[Given]:
    text = _read(path)
    lines = lines_of(text)

    def place(where: tuple[str | int, ...]) -> str:
        return f"{path}:{lines[where]}" if where in lines else path

    seen: dict[str, str] = {}
    for where, value in _flat(tomllib.loads(text), (), keys):
        items = tuple(place((*where, index)) for index in range(len(value))) if isinstance(value, list) else ()
        given = Given(keys.normal(".".join(where)), value, place(where), items)
        if given.key in keys.sections or given.key == keys.open_section:
            raise given.wrong(f"this is a section; write [{given.key}] on a line of its own and its keys below", hidden=True)
        if not keys.known(given.key) or (where[0] != keys.open_section and len(where) != given.key.count(".") + 1):
            raise _unknown(given, keys, str)
        if given.key in seen:
            raise given.wrong(f"given twice; it stands at {seen[given.key]} too")
        seen[given.key] = given.place
        yield given


def _flat(table: dict[str, Any], above: tuple[str, ...], keys: Keys) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and values of a file's tables. A table that is no section is itself a value, a wrong one."""
    for name, value in table.items():
        path = (*above, name)
        if isinstance(value, dict) and (path[0] == keys.open_section or path in {(section,) for section in keys.sections}):
            yield from _flat(value, path, keys)
        else:
            yield path, value


def _read(path: str) -> str:
    """The file's text, after tomllib has accepted it."""
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise SettingsError(f"{path}: the settings file can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path}:{line}: not TOML: the file is not UTF-8") from None
    text = text.replace("\r\n", "\n")  # as tomllib does, so that lines are counted alike
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, at = str(error).rpartition(" (at ")
        found = re.search(r"line (\d+)", at)
        line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
        raise SettingsError(f"{path}:{line}: not TOML: {reason[:1].lower()}{reason[1:]}") from None
    except RecursionError:
        raise SettingsError(f"{path}: not TOML that rproxy reads: it is nested too deep") from None
    return text


def _unknown(given: Given, keys: Keys, spell: Any) -> SettingsError:
    """The error for a key that doesn't exist, with the nearest one, spelled as its source spells keys."""
    candidates: Iterable[str] = [*keys.plain, *keys.sections, keys.open_section]
    near = nearest(given.key, candidates)
    if near and near in (*keys.sections, keys.open_section):
        return given.wrong(f"unknown key; the nearest valid one is the section [{near}]", hidden=True)
    if near:
        return given.wrong(f"unknown key; the nearest valid key is {spell(near)}", hidden=True)
    return given.wrong(f"unknown key; the valid keys are {', '.join(map(spell, keys.plain))}", hidden=True)
