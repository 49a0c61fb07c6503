"""The manifests in config/kubernetes: what the kubelet and an operator rely on, read from the files themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rproxy.config import load
from rproxy.urls import parse_listener

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "config" / "kubernetes").glob("*.yaml"))
pytestmark = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def documents(path: Path) -> dict[str, Any]:
    """What the file declares, by kind."""
    return {document["kind"]: document for document in yaml.safe_load_all(path.read_text())}


def pod(path: Path) -> dict[str, Any]:
    declared: dict[str, Any] = documents(path)["Deployment"]["spec"]["template"]["spec"]
    return declared


def proxy(path: Path) -> dict[str, Any]:
    """The container that rproxy is."""
    (found,) = [one for one in (*pod(path).get("initContainers", []), *pod(path)["containers"]) if one["name"] == "rproxy"]
    return dict(found)


def variables(path: Path) -> dict[str, str]:
    secret: dict[str, str] = documents(path)["Secret"]["stringData"]
    return {entry["name"]: entry["value"] for entry in proxy(path)["env"]} | secret


def test_each_document_has_what_every_object_needs(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        assert document["apiVersion"] and document["kind"] and document["metadata"]["name"]
    deployment = documents(path)["Deployment"]["spec"]
    assert deployment["selector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()


def test_it_runs_as_the_images_user_without_rights_and_writes_nothing(path: Path) -> None:
    secured = proxy(path)["securityContext"]
    user = dict(line.split(None, 1) for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("USER"))["USER"]
    assert user == f"{secured['runAsUser']}:{secured['runAsGroup']}" and secured["runAsNonRoot"]
    assert secured["readOnlyRootFilesystem"] and not secured["allowPrivilegeEscalation"]
    assert secured["capabilities"] == {"drop": ["ALL"]} and secured["seccompProfile"] == {"type": "RuntimeDefault"}


def test_its_variables_are_valid_settings_and_its_probes_ask_where_nothing_else_is_told(path: Path) -> None:
    settings = load(None, variables(path), {})
    (probes,), (admin,) = settings.admin.probes, settings.admin.listen
    named = {port["name"]: port["containerPort"] for port in proxy(path)["ports"]}
    for probe, target in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert proxy(path)[probe]["httpGet"] == {"path": target, "port": "probes"}
    assert probes == f"tcp://0.0.0.0:{named['probes']}"
    assert parse_listener(admin).local, "what else rproxy tells is for the pod alone"
    ends_within = pod(path).get("terminationGracePeriodSeconds", 30)
    assert settings.timeouts.drain_delay + settings.timeouts.drain < ends_within


def test_the_socket_of_a_sidecar_lies_in_a_folder_that_both_have(path: Path) -> None:
    if "initContainers" not in pod(path):
        return
    assert proxy(path)["restartPolicy"] == "Always"
    (folder,) = [volume["name"] for volume in pod(path)["volumes"] if "emptyDir" in volume]
    for container in (proxy(path), *pod(path)["containers"]):
        assert {"name": folder, "mountPath": "/run/rproxy"} in container["volumeMounts"]
    found = re.findall(r"unix://(\S+/)rproxy.sock", path.read_text())
    assert set(found) == {"/run/rproxy/"} and len(found) == 2
    for key in ("runAsUser", "runAsGroup"):
        assert pod(path)["securityContext"][key] == proxy(path)["securityContext"][key]
