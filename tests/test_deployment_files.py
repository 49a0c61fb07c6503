"""The unit file and the Dockerfile: what an operator relies on, read from the files themselves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from rproxy.settings import Settings

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "rproxy.service"
EXPOSURE_LIMIT = 1.5  # of 10, as `systemd-analyze security` counts

HARDENED = {
    "DynamicUser": "yes", "PrivateUsers": "yes", "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "", "AmbientCapabilities": "", "ProtectSystem": "strict",
    "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes", "ProtectKernelModules": "yes", "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes", "ProtectClock": "yes", "ProtectProc": "invisible",
    "ProcSubset": "pid", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes", "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes", "SystemCallArchitectures": "native", "UMask": "0077",
}  # fmt: skip


def unit() -> dict[str, list[str]]:
    """The unit's keys with all their values."""
    values: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    text = "\n".join(line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def test_the_unit_runs_rproxy_as_a_service_that_notifies() -> None:
    values = unit()
    assert values["Type"] == ["notify", "notify-reload"] and values["KillMode"] == ["mixed"] and values["WatchdogSec"] == ["10"]
    assert values["ExecStart"] == ["/opt/rproxy/bin/rproxy serve -c /etc/rproxy/rproxy.toml"]
    assert values["Restart"] == ["on-failure"] and values["RestartPreventExitStatus"] == ["2"]
    assert int(values["LimitNOFILE"][0]) == 65536 > 2 * Settings().limits.clients


def test_the_unit_leaves_time_for_the_drain() -> None:
    assert int(unit()["TimeoutStopSec"][0]) > Settings().timeouts.drain


def test_the_unit_is_hardened() -> None:
    values = unit()
    assert {key: values.get(key) for key in HARDENED} == {key: [value] for key, value in HARDENED.items()}
    assert values["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]


def test_systemd_finds_little_exposed_where_it_is_there_to_ask() -> None:
    if shutil.which("systemd-analyze") is None:
        return  # the keys themselves are checked above
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.split()[1]) < 250:  # it can't judge a file yet, only what runs
        return
    threshold = f"--threshold={EXPOSURE_LIMIT * 10:.0f}"
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", threshold, str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Overall exposure level for rproxy.service: [0-9.]+", done.stdout)


def test_systemd_understands_every_line_of_the_unit_where_it_is_there_to_ask(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        return
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/rproxy/bin/rproxy", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
    complaints = [
        line for line in done.stderr.splitlines() if UNIT.name in line and "service type, ignoring: notify-reload" not in line
    ]
    assert not complaints and done.returncode == 0, done.stderr


def test_the_image_is_built_in_one_stage_and_runs_in_another() -> None:
    builder, final = stages()
    assert builder[0][1].endswith("AS builder") and " AS " not in final[0][1]
    assert any(word == "RUN" and "BUILD_EXTENSION=yes" in rest and "pip wheel" in rest for word, rest in builder)
    assert ("COPY", "--from=builder /opt/rproxy /opt/rproxy") in final
    assert not any("apt-get" in rest or "pip " in rest for _, rest in final)


def test_the_container_runs_rproxy_itself_and_not_as_root() -> None:
    final = dict(stages()[-1])
    assert final["USER"] == "65532:65532"
    assert json.loads(final["ENTRYPOINT"]) == ["rproxy"] and json.loads(final["CMD"]) == ["serve"]
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(final["HEALTHCHECK"].partition(" CMD ")[2]) == ["rproxy", "healthcheck"]
    words = [word for word, _ in stages()[-1]]
    assert words.index("RUN") < words.index("USER")


def test_the_containers_settings_are_valid_and_drain_before_docker_kills() -> None:
    final = dict(stages()[-1])
    assert "RPROXY_CONFIG=/etc/rproxy/rproxy.toml" in final["ENV"]
    assert not re.search(r"RPROXY_(?!CONFIG)", final["ENV"]), "a variable would win over a mounted file"
    written = re.search(r"printf '([^']*)' > /etc/rproxy/rproxy.toml", final["RUN"])
    assert written
    settings = tomllib.loads(written[1].replace("\\n", "\n"))
    assert settings == {"listen": "tcp://0.0.0.0:6379", "protected": False, "timeouts": {"drain": "8s"}}
    assert final["EXPOSE"] == "6379"


def test_both_stages_begin_with_the_image_that_the_argument_names_by_its_digest() -> None:
    arguments = dict(rest.split("=", 1) for word, rest in instructions() if word == "ARG")
    assert re.fullmatch(r"python:3\.\d+-slim@sha256:[0-9a-f]{64}", arguments["BASE"]), (
        "an image of Docker Hub's own, with a digest"
    )
    assert [stage[0][1].split()[0] for stage in stages()] == ["${BASE}", "${BASE}"]


def test_the_image_holds_only_packages_whose_hashes_are_locked() -> None:
    installs = [part for _, rest in stages()[0] for part in rest.split(" && ") if re.search(r"pip (install|wheel)", part)]
    assert any("--require-hashes --requirement requirements/runtime.txt" in install for install in installs)
    assert all("--require-hashes" in install or "--no-deps" in install for install in installs), installs
    assert all("--no-build-isolation" in install for install in installs if "pip wheel" in install), (
        "what builds it is locked too"
    )


def test_what_the_builder_copies_is_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    for word, rest in stages()[0]:
        if word == "COPY":
            for name in rest.split()[:-1]:
                assert f"!{name.removeprefix('./')}" in ignore, name


def test_the_sockets_that_systemd_holds_are_where_the_settings_listen() -> None:
    lines = (ROOT / "systemd" / "rproxy.socket").read_text().splitlines()
    streams = [line.partition("=")[2] for line in lines if line.startswith("ListenStream=")]
    assert [f"tcp://{stream}" for stream in streams] == list(Settings().listen)
    assert not any(line.startswith("Accept=") for line in lines)
