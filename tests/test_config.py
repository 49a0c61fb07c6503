"""The settings: defaults, units, sources and their order, and errors that say where to look."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rproxy.config import OPTIONS, ROUTE, effective, load, load_with_places
from rproxy.config_sources import flag_of, variable_of
from rproxy.config_values import read_duration, read_size, write_duration, write_size
from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.settings import Admin, Limits, Settings, Timeouts
from tests.integration.certificates import papers

CONFIG = Path(__file__).parent.parent / "config"
SERVERS = {"RPROXY_SERVERS": "redis://a,redis://b"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rproxy.toml"


def error_of(path: Path | None, env: dict[str, str] | None = None, flags: dict[str, Any] | None = None) -> str:
    """The message of the error that loading these raises."""
    with pytest.raises(SettingsError) as caught:
        load(str(path) if path else None, env or {}, flags or {})
    return str(caught.value)


def test_servers_alone_are_enough_and_the_rest_is_default() -> None:
    settings = load(None, {}, {"servers": ["redis://a", "redis://b:1"]})
    assert settings == Settings(servers=(Server(0, "a", 6379), Server(1, "b", 1)))
    assert settings.timeouts == Timeouts(
        connect=0.5, budget=1.5, command=0.0, drain=25.0, idle_lane=60.0, probe=0.5, probe_interval=1.0
    )
    assert (settings.listen, settings.limits) == (("tcp://127.0.0.1:7379",), Limits(clients=10000, session_output=64 * 2**20))
    words = (settings.consistency, settings.leaderless_reads, settings.log.level, settings.log.format)
    assert words == ("fresh", "serve", "info", "auto")


def test_every_option_can_come_from_every_source(file: Path) -> None:
    given = {
        "listen": "tcp://127.0.0.1:0, unix:///tmp/x.sock", "servers": "unix:///tmp/y.sock", "consistency": "leader",
        "lost_writes": "close", "leaderless_reads": "error", "timeouts.connect": "1ms",
        "timeouts.budget": "2m", "timeouts.drain": "0s", "timeouts.drain_delay": "4s",
        "timeouts.idle_lane": "1h", "timeouts.probe": "1.5s", "timeouts.probe_interval": "3s", "limits.clients": "7",
        "limits.session_output": "1kb", "limits.memory": "1mb", "limits.clients_per_address": "5",
        "limits.clients_per_user": "6", "log.level": "debug", "log.format": "json", "commands.KEYS": "deny",
        "timeouts.command": "9s", "scripts_declare_keys": "yes", "read_policy": "nearest", "zone": "a", "leader_reads": "70%",
        "discovery": "sentinel", "sentinels": "redis://s, redis://t:1", "service": "cache", "max_lag": "1s", "max_lag_bytes": "1kb",
        "max_clock_skew": "0s", "workers": "3", "protected": "false", "takeover": "/tmp/t.sock",
        "admin.listen": "tcp://[::1]:0, unix:///tmp/z.sock", "admin.token": "t", "admin.token_file": "", "admin.probes": "tcp://127.0.0.1:9381",
        "tls.cert": "", "tls.key": "k", "tls.client_ca": "c", "tls.min_version": "1.3", "tls.ciphers": "A:B", "tls.server_ca": "d",
        "tls.server_cert": "e", "tls.server_key": "f",
        "slow.threshold": "70ms", "timeouts.keepalive": "1m", "timeouts.idle": "5m", "timeouts.login": "7s", "timeouts.transaction": "8s",
            "timeouts.resolve": "9s",
    }  # fmt: skip
    assert set(given) == {*OPTIONS, "commands.KEYS"}
    file.write_text("".join(f'{key} = "{value}"\n' for key, value in given.items()))
    settings = load(None, {}, dict(given))
    assert settings == load(None, {variable_of(key): value for key, value in given.items()}, {})
    assert settings == load(str(file), {}, {})
    assert settings.timeouts == Timeouts(
        connect=0.001,
        budget=120,
        drain=0,
        drain_delay=4,
        idle_lane=3600,
        probe=1.5,
        probe_interval=3,
        command=9,
        keepalive=60,
        idle=300,
        login=7,
        transaction=8,
        resolve=9,
    )
    assert settings.sentinels == (Server(0, "s", 26379), Server(1, "t", 1))
    assert (settings.scripts_declare_keys, settings.leader_reads, settings.max_lag_bytes) == (True, 70, 1024)
    assert settings.listen == ("tcp://127.0.0.1:0", "unix:///tmp/x.sock")
    assert settings.commands == {"KEYS": "deny"}
    assert settings.admin == Admin(listen=("tcp://[::1]:0", "unix:///tmp/z.sock"), probes=("tcp://127.0.0.1:9381",), token="t")
    assert settings.limits.session_output == 1024


def test_certificates_for_servers_are_those_of_the_url_or_of_the_section(tmp_path: Path) -> None:
    made = papers(tmp_path)
    cert, key = made.sign("c")
    files = {"tls.server_ca": made.ca, "tls.server_cert": cert, "tls.server_key": key}
    urls = ["rediss://a", f"rediss://b?ssl_certfile={cert}&ssl_keyfile={key}", "redis://c"]
    one, other, plain = load(None, {}, {"servers": urls, **files}).servers
    assert (one.ca, one.cert, one.key) == (other.ca, other.cert, other.key) == (made.ca, cert, key)
    assert (plain.ca, plain.cert) == ("", "")


def test_what_is_wrong_with_certificates_is_said_before_anything_is_bound(tmp_path: Path) -> None:
    made = papers(tmp_path)
    (cert, key), (_, another) = made.sign("c"), made.sign("d")
    tls: dict[str, str | list[str]] = {"servers": "redis://a", "listen": ["tls://127.0.0.1:0"]}
    assert "set tls.cert" in error_of(None, {}, tls)
    assert f"tls.cert = {tmp_path}/none: the file can't be read" in error_of(None, {}, {**tls, "tls.cert": f"{tmp_path}/none"})
    assert "no certificate and key in PEM" in error_of(None, {}, {**tls, "tls.cert": cert})
    assert "not that of the certificate" in error_of(None, {}, {**tls, "tls.cert": cert, "tls.key": another})
    right: dict[str, str | list[str]] = {**tls, "tls.cert": cert, "tls.key": key}
    assert "no certificates in PEM" in error_of(None, {}, {**right, "tls.client_ca": key})
    assert "knows none of them" in error_of(None, {}, {**right, "tls.ciphers": "ROT13"})
    assert load(None, {}, right).listen == ("tls://127.0.0.1:0",)
    assert "without TLS" in error_of(None, SERVERS, {"admin.listen": ["tls://127.0.0.1:0"]})


def test_the_token_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("t\n")
    flags = {"servers": "redis://a", "admin.token_file": str(secret)}
    loaded = load_with_places(None, {}, flags)
    assert loaded.settings.admin.token == "t" and dict(effective(loaded.settings))["admin.token"] == "***"
    assert "there is admin.token too (variable RPROXY_ADMIN__TOKEN)" in error_of(None, {"RPROXY_ADMIN__TOKEN": "u"}, flags)
    secret.write_text("")
    assert error_of(None, {}, flags).endswith("the file is empty")
    secret.unlink()
    assert error_of(None, {}, flags).endswith("the file can't be read: No such file or directory")


def test_there_may_be_no_admin_listener_but_one_for_clients_there_must() -> None:
    settings = load(None, {"RPROXY_ADMIN__LISTEN": ""}, {"servers": "redis://a"})
    assert settings.admin.listen == ()
    assert "no listeners" in error_of(None, {"RPROXY_LISTEN": ""}, {"servers": "redis://a"})
    assert "nothing is set for clients" in error_of(
        None, {}, {"servers": "redis://a", "admin.listen": "tcp://[::1]:1?consistency=fresh"}
    )


def test_a_key_has_its_flag_and_its_variable_by_rule() -> None:
    assert flag_of("timeouts.probe_interval") == "--timeouts.probe_interval"
    assert variable_of("timeouts.probe_interval") == "RPROXY_TIMEOUTS__PROBE_INTERVAL"
    assert variable_of("consistency") == "RPROXY_CONSISTENCY"
    assert variable_of("commands.KEYS") == "RPROXY_COMMANDS__KEYS"


def test_flags_win_over_variables_over_the_file_key_by_key(file: Path) -> None:
    file.write_text('[timeouts]\nconnect = "1s"\nbudget = "2s"\ndrain = "3s"\n[commands]\nKEYS = "deny"\nDEL = "deny"\n')
    env = SERVERS | {"RPROXY_TIMEOUTS__BUDGET": "20s", "RPROXY_TIMEOUTS__DRAIN": "30s", "RPROXY_COMMANDS__KEYS": "leader"}
    loaded = load_with_places(str(file), env, {"timeouts.drain": "300s"})
    timeouts = loaded.settings.timeouts
    assert (timeouts.connect, timeouts.budget, timeouts.drain, timeouts.probe) == (1, 20, 300, 0.5)
    assert loaded.settings.commands == {"KEYS": "leader", "DEL": "deny"}
    assert loaded.places == {
        "timeouts.connect": f"{file}:2",
        "timeouts.budget": "variable RPROXY_TIMEOUTS__BUDGET",
        "timeouts.drain": "flag --timeouts.drain",
        "commands.DEL": f"{file}:7",
        "commands.KEYS": "variable RPROXY_COMMANDS__KEYS",
        "servers": "variable RPROXY_SERVERS",
    }


def test_a_variable_names_the_file_and_a_flag_names_another(file: Path, tmp_path: Path) -> None:
    file.write_text('servers = "redis://fromvariable"')
    other = tmp_path / "other.toml"
    other.write_text('servers = "redis://fromflag"')
    assert load(None, {"RPROXY_CONFIG": str(file)}, {}).servers[0].host == "fromvariable"
    assert load(str(other), {"RPROXY_CONFIG": str(file)}, {}).servers[0].host == "fromflag"


@pytest.mark.parametrize(
    "value", ["redis://a,redis://b", "redis://a ; redis://b ;", ["redis://a", "redis://b"], ["redis://a,redis://b"]]
)
def test_servers_are_a_list_or_one_string_from_every_source(file: Path, value: Any) -> None:
    file.write_text(f"servers = {msgspec.json.encode(value).decode()}")
    for settings in (load(str(file), {}, {}), load(None, {}, {"servers": value})):
        assert [server.name for server in settings.servers] == ["a:6379", "b:6379"]
    if isinstance(value, str):
        assert len(load(None, {"RPROXY_SERVERS": value}, {}).servers) == 2


def test_no_servers_is_an_error_that_says_how_to_give_them() -> None:
    for message in (error_of(None), error_of(None, {}, {"servers": []}), error_of(None, {"RPROXY_SERVERS": " ; "})):
        assert "-s redis://" in message and "RPROXY_SERVERS=" in message and "servers = [" in message


def test_command_names_have_no_case_and_may_hold_dots_and_bars(file: Path) -> None:
    file.write_text('commands.keys = "deny"\n[commands.json]\nget = "replica"\n')
    flags = {"commands.config|get": "leader"}
    assert load(str(file), SERVERS, flags).commands == {"KEYS": "deny", "JSON.GET": "replica", "CONFIG|GET": "leader"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('\n[timeouts]\nconect = "1s"', 3, ['timeouts.conect = "1s"', "unknown key", "timeouts.connect"]),
        ('timeouts.connekt = "1s"', 1, ["timeouts.connekt", "timeouts.connect"]),
        ('[timeout]\nconnect = "1s"', 1, ["unknown key", "[timeouts]"]),
        ('connect = "1s"', 1, ["unknown key", "timeouts.connect"]),
        ('"timeouts.connect" = "1s"', 1, ["unknown key"]),
        ('[log]\nlvl = "info"', 2, ["log.lvl", "log.level"]),
        ("zzz = 1", 1, ["unknown key", "the valid keys are listen, protected, takeover, servers,"]),
        ("[timeouts]\n\nconnect = 2", 3, ["timeouts.connect = 2", "wrong unit", '"2s"', '"2ms"']),
        ("timeouts = { probe = 0.5 }", 1, ["timeouts.probe = 0.5", "wrong unit", '"0.5s"']),
        ('[timeouts]\nconnect = "2 seconds"', 2, ['"2 seconds"', "wrong unit"]),
        ('[timeouts]\nconnect = "0s"', 2, ["too short", "1ms"]),
        ("[timeouts]\nconnect = true", 2, ["timeouts.connect = true", "wrong unit"]),
        ("timeouts = 5", 1, ["timeouts = 5", "section", "[timeouts]"]),
        ('[consistency]\nx = "y"', 1, ["consistency", "must be fresh, eventual or leader"]),
        ('consistency = "leadr"', 1, ['consistency = "leadr"', "did you mean leader?"]),
        ("[limits]\nclients = 0", 2, ["limits.clients = 0", "least is 1"]),
        ("[limits]\nclients = 1.5", 2, ["not a whole number"]),
        ('[limits]\nsession_output = "64 mega"', 2, ["wrong unit", '"64mb"']),
        ('[commands]\nKEYS = "denied"', 2, ['commands.KEYS = "denied"', "leader, replica or deny", "did you mean deny?"]),
        ('[commands]\nKEYS = "deny"\nkeys = "leader"', 3, ["given twice", ":2"]),
        ('servers = [\n  "redis://a",\n  "redis://b:99999",\n]', 3, ['servers = "redis://b:99999"', "bad port 99999"]),
        ('servers = [\n  "redis://a",\n  "redis://a:6379",\n]', 3, ["twice"]),
        ('servers = ["redis://a/1",\n"redis://b/2"]', 2, ["database"]),
        ("servers = [\n1]", 2, ["servers = 1", "must be a URL"]),
        ("servers = []", 1, ["no servers"]),
        ('listen = ["tcp://a:1", "tcp://a:1"]', 1, ["listener", "twice"]),
        ("listen = []", 1, ["no listeners"]),
        ('a = "x"\nb = ', 2, ["not TOML"]),
        ('a = "x"\na = "y"', 2, ["not TOML"]),
        ("[timeouts", 1, ["not TOML"]),
    ],
)
def test_an_error_in_the_file_names_key_value_line_and_remedy(file: Path, text: str, line: int, words: list[str]) -> None:
    file.write_text(text)
    message = error_of(file, {})
    assert f"{file}:{line}" in message and "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("RPROXY_TIMEOUTS__CONECT", "1s", ["unknown key", "RPROXY_TIMEOUTS__CONNECT"]),
        ("RPROXY_TIMEOUTS_CONNECT", "1s", ["unknown key", "RPROXY_TIMEOUTS__CONNECT"]),
        ("RPROXY_Consistency", "leader", ["unknown key", "RPROXY_CONSISTENCY"]),
        ("RPROXY_TIMEOUTS__CONNECT", "1", ['timeouts.connect = "1"', "wrong unit"]),
        ("RPROXY_CONSISTENCY", "", ['consistency = ""', "must be fresh, eventual or leader"]),
        ("RPROXY_LISTEN", "7379", ["not a URL", "tcp://127.0.0.1:7379"]),
        ("RPROXY_ADMIN__PORT", "7380", ["unknown key"]),
        ("RPROXY_SERVER", "hunter2", ['server = "***"', "unknown key", "RPROXY_SERVERS"]),
    ],
)
def test_an_error_in_a_variable_names_the_variable_and_the_nearest(variable: str, value: str, words: list[str]) -> None:
    message = error_of(None, {variable: value, "HOME": "/"})
    assert f"variable {variable}" in message
    for word in words:
        assert word in message


def test_an_error_in_a_flag_names_the_flag() -> None:
    assert "flag --timeouts.connect" in error_of(None, {}, {"timeouts.connect": "5"})
    message = error_of(None, {}, {"timeout.connect": "5s"})
    assert "flag --timeout.connect" in message and "nearest valid key is --timeouts.connect" in message


def test_variables_with_another_job_are_no_settings() -> None:
    env = SERVERS | {"RPROXY_NO_EXTENSIONS": "1", "RPROXY_INTERPRETED": "1", "RPROXY_CONFIG": "", "OTHER": "x"}
    assert len(load(None, env, {}).servers) == 2


@pytest.mark.parametrize("variable", ["RPROXY_VERSION", "RPROXY_IMAGE", "RPROXY_PORT", "RPROXY_ADMIN_PORT", "RPROXY_PASSWORD"])
def test_a_variable_that_looks_like_no_settings_is_ignored_with_a_warning(variable: str) -> None:
    loaded = load_with_places(None, SERVERS | {variable: "hunter2", "HOME": "/"}, {})
    assert loaded.warnings == (f"no setting has the variable {variable}: it is ignored",)
    assert loaded.settings == load(None, SERVERS, {})


def test_variables_that_kubernetes_makes_for_a_service_called_rproxy_admin_are_no_settings() -> None:
    links = {
        "RPROXY_ADMIN_SERVICE_HOST": "10.0.0.9", "RPROXY_ADMIN_SERVICE_PORT": "7380", "RPROXY_ADMIN_SERVICE_PORT_HTTP": "7380",
        "RPROXY_ADMIN_PORT": "tcp://10.0.0.9:7380", "RPROXY_ADMIN_PORT_7380_TCP_ADDR": "10.0.0.9",
    }  # fmt: skip
    assert load_with_places(None, SERVERS | links, {}).warnings == ()


def test_variables_that_kubernetes_makes_for_a_service_called_rproxy_are_no_settings() -> None:
    links = {
        "RPROXY_SERVICE_HOST": "10.0.0.9", "RPROXY_SERVICE_PORT": "6379", "RPROXY_SERVICE_PORT_REDIS": "6379",
        "RPROXY_PORT": "tcp://10.0.0.9:6379", "RPROXY_PORT_6379_TCP": "tcp://10.0.0.9:6379",
        "RPROXY_PORT_6379_TCP_PROTO": "tcp", "RPROXY_PORT_6379_TCP_PORT": "6379", "RPROXY_PORT_6379_TCP_ADDR": "10.0.0.9",
    }  # fmt: skip
    assert len(load(None, SERVERS | links, {}).servers) == 2
    (warning,) = load_with_places(None, SERVERS | links | {"RPROXY_PORTS": "1"}, {}).warnings
    assert "RPROXY_PORTS" in warning


@pytest.mark.parametrize(
    "value",
    [
        "redis://u:hunter2@a:99999", "redis://u:hun,ter2@a", "redis://:hun;ter2@a,redis://b", "redis://u:hunter2@a/x",
        "redis://u:hun/ter2@a", "redis://u:hun#ter2@a", "redis://u:hun?ter2@a", "redis://u:hun ter2@a", "u:hunter2@a",
        "redis://a,redis://u:hunter2@a", "redis://a/1,redis://:hunter2@b", "redis://a?password=hunter2", "redis://:hunter2",
    ],
)  # fmt: skip
def test_no_message_shows_a_password(file: Path, value: str) -> None:
    file.write_text(f'servers = "{value}"')
    unknown = file.with_name("unknown.toml")
    unknown.write_text(f'server = ["{value}"]')
    for message in (
        error_of(file),
        error_of(unknown),
        error_of(None, {"RPROXY_SERVERS": value}),
        error_of(None, {}, {"servers": [value]}),
    ):
        assert "hun" not in message and "ter2" not in message


def test_a_separator_in_a_password_is_answered_with_percent_encoding() -> None:
    for value in ("redis://u:p,w@a", "redis://u:p;w@a", "redis://a,redis://:p,w@b", "redis://u:1,2@a"):
        message = error_of(None, {"RPROXY_SERVERS": value})
        assert "%2C for a comma" in message and "%3B for a semicolon" in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert error_of(tmp_path / "absent.toml").startswith(f"{tmp_path}/absent.toml: ")
    assert "directory" in error_of(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'\n# caf\xe9\nservers = ""')
    assert error_of(tmp_path / "latin.toml").startswith(f"{tmp_path}/latin.toml:2: ")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    assert error_of(tmp_path / "deep.toml").startswith(f"{tmp_path}/deep.toml")


def test_lines_are_counted_alike_with_windows_line_ends(file: Path) -> None:
    file.write_bytes(b"# x\r\n\r\n[timeouts]\r\nconnect = 1\r\n")
    assert f"{file}:4" in error_of(file)


@pytest.mark.parametrize(
    ("text", "seconds"), [("1ms", 0.001), ("250ms", 0.25), ("2s", 2), ("1.5s", 1.5), ("1m", 60), ("2 h", 7200), ("0s", 0)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert read_duration(text, 0) == seconds
    assert read_duration(write_duration(seconds), 0) == seconds


@pytest.mark.parametrize(
    ("given", "size"),
    [(5, 5), ("5", 5), ("1k", 1000), ("1kb", 1024), ("2MB", 2**21), ("1m", 10**6), ("1gb", 2**30), ("1.5mb", 1572864)],
)
def test_sizes_have_the_words_of_redis(given: object, size: int) -> None:
    assert read_size(given, 1) == size
    assert read_size(write_size(size), 1) == size


@pytest.mark.parametrize(
    "value", ["", "s", "1", "-1s", "1d", "1e3s", "nan", "infs", "1s2", "٣s", [], {}, None, 1, 1.5, "9" * 400 + "s"]
)
def test_what_is_no_duration_is_a_wrong_unit(value: object) -> None:
    with pytest.raises(SettingsError, match="wrong unit"):
        read_duration(value, 0)


@pytest.mark.parametrize("value", ["", "mb", "-1", "1tb", "1 mib", 1.5, True, [], None])
def test_what_is_no_size_is_a_wrong_unit(value: object) -> None:
    with pytest.raises(SettingsError, match="wrong unit"):
        read_size(value, 1)


def test_the_effective_settings_read_back_as_the_same_settings() -> None:
    settings = load(None, {}, {"servers": "redis://a:1/2,redis://u@b/2", "timeouts.drain": "90s", "commands.KEYS": "deny"})
    assert load(None, {}, dict(effective(settings))) == settings


def test_every_option_has_a_title_a_reason_and_a_unit() -> None:
    for option in (*OPTIONS.values(), ROUTE):
        assert option.title and option.why.endswith(".") and option.unit
        assert option.unit != "word" or option.default in option.choices


def flattened(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    """A TOML table as one dict by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flattened(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat


def test_the_file_of_all_options_holds_exactly_them_with_their_defaults() -> None:
    path = CONFIG / "rproxy.toml"
    table = tomllib.loads(path.read_text())
    assert list(flattened(table)) == list(OPTIONS)
    assert table["commands"] == {}  # its names are free; the section stands there, with an example
    settings = load(str(path), {}, {})
    assert settings == Settings(servers=settings.servers) and len(settings.servers) == 3


def test_the_file_of_all_options_says_of_each_what_it_is_why_and_its_unit() -> None:
    text = (CONFIG / "rproxy.toml").read_text()
    for key, option in OPTIONS.items():
        section, _, name = key.rpartition(".")
        part = text.partition(f"\n[{section}]\n")[2] if section else text
        comment = re.search(rf"((?:^#.*\n)+){name} = ", part, re.MULTILINE)
        assert comment, key
        assert option.title.lower() in comment[1].lower() and option.why in comment[1]
        for word in (f"({option.unit})",) if option.unit in ("time", "size", "number") else option.choices:
            assert word in comment[1], f"{key} lacks {word}"
    assert ROUTE.why in text


def test_the_minimal_file_has_six_lines_and_is_enough() -> None:
    path = CONFIG / "rproxy-minimal.toml"
    assert len(path.read_text().splitlines()) == 6
    assert [server.name for server in load(str(path), {}, {}).servers] == ["127.0.0.1:6379", "127.0.0.1:6380"]


def test_a_name_of_several_servers_needs_somebody_who_tells_which_of_them_leads() -> None:
    assert "so it is one server" in error_of(None, {}, {"servers": ["redis://a?resolve=all", "redis://b"], "discovery": "static"})
    assert load(None, {}, {"servers": ["redis://a", "redis://b?resolve=all"], "discovery": "static"}).servers[1].resolve_all
    assert load(None, {}, {"servers": ["redis://a?resolve=all"]}).servers[0].resolve_all
    named = {"servers": ["redis://a?resolve=all"], "discovery": "sentinel", "sentinels": ["redis://s?resolve=all"]}
    assert "leave out ?resolve=all" in error_of(None, {}, named)


def test_sentinels_and_their_discovery_go_together() -> None:
    assert "no sentinels" in error_of(None, {}, {"discovery": "sentinel"})
    assert "only with discovery" in error_of(None, SERVERS, {"sentinels": ["redis://s"]})
    settings = load(None, {}, {"discovery": "sentinel", "sentinels": ["redis://s", "redis://t"], "service": "cache"})
    assert (settings.servers, len(settings.sentinels), settings.service) == ((), 2, "cache")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("leader_reads", "101", "not a percentage"),
        ("scripts_declare_keys", "maybe", "true or false"),
        ("zone", "a b", "a name has"),
        ("read_policy", "rundom", "did you mean random"),
        ("max_lag", "10", "wrong unit"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_what_to_write(key: str, value: str, words: str) -> None:
    assert words in error_of(None, SERVERS, {key: value})
