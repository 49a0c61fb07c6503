"""The program as its users run it: words in, exit code, stdout and stderr out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rproxy import __version__
from rproxy.cli_words import SHOWN
from rproxy.config import OPTIONS
from rproxy.embedded import free_port
from tests.integration.servers import Cluster, cluster

REPOSITORY = Path(__file__).resolve().parents[1]
SCREEN = (24, 80)  # lines and columns of the smallest usual terminal

FRESH = "a replica that is fresh for its keys, picked at random, or the leader where none is"


def rproxy(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, in an environment without settings but those of `env`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RPROXY_")}
    command = [sys.executable, "-m", "rproxy", *words]
    return subprocess.run(command, env=clean | (env or {}), capture_output=True, text=True, cwd=REPOSITORY, timeout=60)


def refused(*words: str, env: dict[str, str] | None = None) -> str:
    """The one line on stderr of a program that must end with exit code 2 and without a traceback."""
    done = rproxy(*words, env=env)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("rproxy: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def json_of(*words: str, code: int = 0) -> Any:
    done = rproxy(*words)
    assert done.returncode == code, done
    return json.loads(done.stdout)


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_it_says_its_version(flag: str) -> None:
    done = rproxy(flag)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"rproxy {__version__}\n", "")


def test_saying_the_version_imports_nothing_that_takes_time() -> None:
    """It must answer in less than 100 ms of CPU: measured 38 ms, 15 of them Python's own."""
    program = "import sys; sys.argv[1:] = ['--version']; import rproxy.cli\ntry: rproxy.cli.main()\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    version, modules = done.stdout.splitlines()
    assert version == f"rproxy {__version__}"
    assert not {"asyncio", "click", "msgspec", "redis", "uvloop", "tomllib"} & set(modules.split())


@pytest.mark.parametrize("command", ["", "serve", "check", "explain", "status", "demo"])
def test_help_fits_a_screen(command: str) -> None:
    done = rproxy(*command.split(), "--help", env={"COLUMNS": str(SCREEN[1])})
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].startswith("Usage: rproxy")
    assert len(lines) <= SCREEN[0] and max(map(len, lines)) < SCREEN[1]
    assert "..." not in "".join(line for line in lines[1:] if "COMMAND" not in line), "a line is cut"


def test_the_help_of_serve_lists_the_main_flags_and_says_where_the_others_stand() -> None:
    text = " ".join(rproxy("serve", "--help").stdout.split())
    for key in SHOWN:
        assert f"--{key} " in text
    assert "Every key of config/rproxy.toml is a flag" in text
    assert "-s, --servers" in text and "-l, --listen" in text and "-c, --config" in text and "--commands.NAME" in text


@pytest.mark.parametrize("words", [(), ("serve",), ("check",)])
def test_without_servers_it_says_how_to_give_them(words: tuple[str, ...]) -> None:
    message = refused(*words)
    assert "-s redis://" in message and "RPROXY_SERVERS=" in message and "servers = [" in message


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-s", "redis://a", "--timeouts.connect", "2"), ["timeouts.connect", '"2"', "flag --timeouts.connect", '"2s"']),
        (("-s", "redis://a", "--timeout.connect=2s"), ["unknown flag --timeout.connect", "--timeouts.connect"]),
        (("-s", "redis://a", "--conect", "2s"), ["unknown flag --conect"]),
        (("-s", "redis://u:hunter2@a:99999"), ["servers", "redis://u:***@a:99999", "flag --servers", "bad port 99999"]),
        (("-s", "redis://a", "-s", "redis://a:6379"), ["twice"]),
        (("-s", "redis://a", "--consistency", "leadr"), ["consistency", '"leadr"', "did you mean leader?"]),
        (("-s", "redis://a", "--commands.KEYS", "refuse"), ["commands.KEYS", "refuse", "flag --commands.KEYS", "deny"]),
        (("-s", "redis://a", "-l", "7379"), ["listen", '"7379"', "tcp://127.0.0.1:7379"]),
        (("-s", "redis://a", "-c", "/absent.toml"), ["/absent.toml", "No such file"]),
        (("-s", "redis://a", "-s"), ["-s"]),
        (("redis://a",), ["redis://a"]),
    ],
)
def test_a_wrong_word_is_one_message_and_exit_code_2(command: str, words: tuple[str, ...], expected: list[str]) -> None:
    message = refused(command, *words)
    assert "hunter2" not in message
    for word in expected:
        assert word in message


def test_a_wrong_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "rproxy.toml"
    file.write_text('servers = "redis://a"\n\n[timeouts]\nconect = "1s"\n')
    message = refused("serve", "-c", str(file))
    assert f'timeouts.conect = "1s" ({file}:4)' in message and "nearest valid key is timeouts.connect" in message
    assert message == refused("check", env={"RPROXY_CONFIG": str(file)})


def test_a_wrong_variable_is_named_with_the_nearest() -> None:
    message = refused("serve", env={"RPROXY_SERVERS": "redis://a", "RPROXY_LOG__LEVL": "info"})
    assert "RPROXY_LOG__LEVL" in message and "RPROXY_LOG__LEVEL" in message


def test_a_command_that_does_not_exist_is_refused_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "rproxy.toml"
    file.write_text('servers = "redis://a"\n[commands]\nKEYZ = "deny"\n')
    message = refused("check", "-c", str(file))
    assert "KEYZ" in message and f"{file}:3" in message
    assert "flag --commands.keyz" in refused("serve", "-s", "redis://a", "--commands.keyz", "deny")


def test_a_wrong_subcommand_is_answered_with_the_nearest() -> None:
    assert "serve" in refused("sevre")


def test_without_a_subcommand_flags_are_those_of_serve() -> None:
    assert "--timeouts.connect" in refused("-s", "redis://a", "--timeouts.connect", "2")


def test_nothing_is_bound_before_the_settings_are_valid() -> None:
    """Both errors are there: a port that is taken, and a setting. The setting is what is said."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "limits.clients" in refused("-s", "redis://a", "-l", f"tcp://127.0.0.1:{port}", "--limits.clients", "none")


def test_check_says_that_settings_are_valid_and_what_they_come_to() -> None:
    done = rproxy("check", "-s", "redis://u:hunter2@a , redis://b", "--timeouts.drain", "8s", env={"RPROXY_LOG__LEVEL": "error"})
    assert done.returncode == 0 and done.stderr == "" and "hunter2" not in done.stdout
    first, *rows = done.stdout.splitlines()
    assert first == "settings are valid"
    found = {cells[0]: cells[1:] for cells in (line.split() for line in rows)}
    assert list(found) == list(OPTIONS)
    assert found["servers"] == ["redis://u:***@a:6379,", "redis://b:6379", "flag", "--servers"]
    assert found["timeouts.drain"] == ["8s", "flag", "--timeouts.drain"]
    assert found["log.level"] == ["error", "variable", "RPROXY_LOG__LEVEL"]
    assert found["limits.session_output"] == ["64mb", "default"]


def test_check_says_which_variables_are_ignored() -> None:
    done = rproxy("check", "--servers", "redis://a:1", env={"RPROXY_VERSION": "1.2"})
    assert (done.returncode, done.stderr) == (0, "rproxy check: no setting has the variable RPROXY_VERSION: it is ignored\n")


def test_a_service_says_in_its_log_which_variables_are_ignored() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        done = rproxy("--servers", "redis://127.0.0.1:1", "--listen", listen, env={"RPROXY_IMAGE": "x"})
    assert done.returncode == 1
    assert "no setting has the variable RPROXY_IMAGE: it is ignored" in done.stderr


def test_check_says_it_as_json() -> None:
    facts = json_of("check", "--json", "-s", "redis://:hunter2@a", "--commands.keys", "deny", "--commands.CONFIG|GET=leader")
    assert facts["valid"] is True and list(facts["settings"])[:-2] == list(OPTIONS)
    assert facts["settings"]["servers"] == {"value": "redis://:***@a:6379", "from": "flag --servers"}
    assert facts["settings"]["commands.CONFIG|GET"]["value"] == "leader"


def test_explain_says_kind_keys_rule_and_servers() -> None:
    facts = json_of("explain", "--json", "-s", "redis://a,redis://b,redis://c", "GET", "user:1")
    rule = facts.pop("rule")
    assert rule
    assert facts == {
        "command": "GET", "kind": "read", "keys": ["user:1"], "served_by": FRESH,
        "servers": ["b:6379", "c:6379"], "arity_error": "",
    }  # fmt: skip
    done = rproxy("explain", "-s", "redis://a,redis://b,redis://c", "get", "user:1")
    assert done.returncode == 0
    for word in ("GET", "read", "user:1", rule, FRESH, "b:6379, c:6379"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("flags", "command", "served_by", "servers"),
    [
        ([], ["GET", "k"], "a replica", []),
        ([], ["SET", "k", "v"], "the leader", []),
        (["--consistency", "leader"], ["GET", "k"], "the leader", []),
        (["-s", "redis://a"], ["GET", "k"], "the leader", ["a:6379"]),
        (["-s", "redis://a,redis://b"], ["GET", "k"], FRESH, ["b:6379"]),
        (["-s", "redis://a,redis://b", "--consistency", "leader"], ["GET", "k"], "the leader", ["a:6379"]),
        (["-s", "redis://a,redis://b"], ["SET", "k", "v"], "the leader", ["a:6379"]),
        (["-s", "redis://a,redis://b"], ["no-such-command", "x"], "the leader, on a connection of its own", ["a:6379"]),
        (["-s", "redis://a,redis://b", "--commands.GET", "leader"], ["GET", "k"], "the leader", ["a:6379"]),
        (["-s", "redis://a,redis://b", "--commands.GET", "deny"], ["GET", "k"], "nobody, rproxy refuses it", []),
        (["-s", "redis://a,redis://b"], ["MULTI"], "the leader, on a connection of its own", ["a:6379"]),
        (["-s", "redis://a,redis://b"], ["BLPOP", "k", "0"], "the leader, on a connection of its own", ["a:6379"]),
        (
            ["-s", "redis://a,redis://b"],
            ["XREAD", "block", "0", "STREAMS", "s", "$"],
            "the leader, on a connection of its own",
            ["a:6379"],
        ),
        (["-s", "redis://a,redis://b"], ["XREAD", "STREAMS", "s", "0"], FRESH, ["b:6379"]),
        (["-s", "redis://a,redis://b"], ["QUIT"], "rproxy itself", []),
    ],
)
def test_explain_says_who_serves(flags: list[str], command: list[str], served_by: str, servers: list[str]) -> None:
    facts = json_of("explain", "--json", *flags, *command)
    assert (facts["served_by"], facts["servers"]) == (served_by, servers)


def test_explain_takes_every_word_after_the_command_for_the_command() -> None:
    facts = json_of("explain", "--json", "MSET", "--json", "-s", "--commands.SET", "--help")
    assert facts["keys"] == ["--json", "--commands.SET"]


def test_explain_knows_subcommands_and_keys_that_are_no_text() -> None:
    facts = json_of("explain", "--json", "xinfo", "groups", "k\udcff")
    assert (facts["command"], facts["kind"], facts["keys"]) == ("XINFO GROUPS", "read", ["k\\xff"])


def test_explain_says_when_the_number_of_arguments_is_wrong() -> None:
    assert "GET takes 2 words" in json_of("explain", "--json", "GET")["arity_error"]
    assert "SET takes at least 3 words" in rproxy("explain", "SET", "k").stdout


def test_explain_needs_a_command_and_valid_settings() -> None:
    assert "COMMAND" in refused("explain")
    assert "log.level" in refused("explain", "--log.level", "loud", "GET", "k")


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with cluster() as started:
        yield started


def with_servers(*urls: str) -> list[str]:
    return [word for url in urls for word in ("-s", url)]


def test_check_connect_shows_each_server_and_finds_all_as_set(servers: Cluster) -> None:
    facts = json_of("check", "--connect", "--json", "--timeouts.probe", "5s", *with_servers(*servers.urls))
    assert facts["ok"] is True and facts["problems"] == []
    assert [server["role"] for server in facts["servers"]] == ["leader", "replica", "replica"]
    assert [server["link"] for server in facts["servers"]] == ["", "up", "up"]
    assert facts["servers"][0]["lag_bytes"] is None
    for server, node in zip(facts["servers"], servers.nodes, strict=True):
        assert server["server"] == f"127.0.0.1:{node.port}" and "valkey" in server["version"]
        assert 0 < server["latency_ms"] < 5000
        assert server["role"] == "leader" or server["lag_bytes"] >= 0

    done = rproxy("check", "--connect", "--timeouts.probe", "5s", *with_servers(*servers.urls))
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines()[0].split() == ["server", "role", "version", "link", "lag", "latency"]
    assert done.stdout.splitlines()[-1] == "servers are what the settings say"


def test_check_connect_says_which_server_is_not_what_it_should_be(servers: Cluster) -> None:
    leader, replica, other = servers.urls
    gone = f"redis://127.0.0.1:{free_port()}"
    for urls, sentences in (
        ([replica, other], [f"{replica[8:]} stands first in servers, so it should be the leader, but its role is replica."]),
        ([leader, gone], [f"{gone[8:]} can't be reached: connection refused."]),
        (
            [gone, leader, replica],
            [f"{gone[8:]} can't be reached", f"{leader[8:]} should be a replica of {gone[8:]}, but its role is leader."],
        ),
    ):
        done = rproxy("check", "--connect", "--timeouts.probe", "5s", *with_servers(*urls))
        assert done.returncode == 3 and done.stderr == "" and "Traceback" not in done.stdout
        for sentence in sentences:
            assert sentence in done.stdout
        facts = json_of("check", "--connect", "--json", "--timeouts.probe", "5s", *with_servers(*urls), code=3)
        assert facts["ok"] is False and len(facts["problems"]) == len(sentences)


def test_check_connect_knows_a_replica_of_somebody_else(servers: Cluster, tmp_path: Path) -> None:
    with cluster(replicas=1) as others:
        done = rproxy("check", "--connect", "--timeouts.probe", "5s", *with_servers(servers.urls[0], others.urls[1]))
    assert done.returncode == 3
    assert f"{others.urls[1][8:]} is a replica of another server than {servers.urls[0][8:]}." in done.stdout


def test_check_connect_does_not_show_passwords(servers: Cluster) -> None:
    done = rproxy("check", "--connect", "-s", servers.urls[0].replace("redis://", "redis://nobody:hunter2@"))
    assert done.returncode == 3 and "invalid username-password pair" in done.stdout and "hunter2" not in done.stdout + done.stderr
