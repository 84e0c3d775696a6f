"""The serving Deployment really run: podman makes its pod, with its volume, from what kustomize writes.

docs/kubernetes.md says what this cannot prove.
"""

from __future__ import annotations

import json
import os
import secrets
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from atelier_client import Client
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.embedded_image import IMAGE, build_image
from tests.support.manifests import FOLDER, Manifest, build, templates, waiting_series
from tests.support.models import publish_untrained
from tests.support.podman import Podman, podman
from tests.support.ports import free_port

# The image is built and copied where it is not there yet.
pytestmark = pytest.mark.timeout(1700)


@dataclass
class Pod:
    """The pod that was made, and where it answers."""

    podman: Podman
    container: str
    template: Manifest
    grpc: str
    rest: str
    version: Path


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """A pod of the Deployment with the embedded server, on a volume with a published version."""
    folder = tmp_path_factory.mktemp("pod")
    runner = podman(folder)
    build_image(folder)
    runner.take_image(f"{IMAGE}:latest")
    prefix = f"atelier-{secrets.token_hex(4)}-"
    ports = {"grpc": free_port(), "rest": free_port()}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization(folder, prefix, ports)))
    manifests = build(folder)
    # The claim is the volume that is filled here.
    played = [item for item in manifests if item["kind"] in ("Deployment", "ConfigMap")]
    (folder / "pod.yaml").write_text(yaml.safe_dump_all(played))
    version = fill_volume(runner, f"{prefix}models", folder)
    try:
        runner.ask("kube", "play", folder / "pod.yaml", timeout=100)
        template = dict(templates(manifests))[f"{prefix}serving"]
        container = f"{prefix}serving-pod-0-serving"
        yield Pod(
            runner,
            container,
            template,
            f"127.0.0.1:{ports['grpc']}",
            f"http://127.0.0.1:{ports['rest']}",
            version,
        )
    finally:
        runner.ask("kube", "down", folder / "pod.yaml", timeout=100)
        named = runner.ask("volume", "ls", "--quiet", "--filter", f"name={prefix}").split()
        runner.ask("volume", "rm", "--force", *named)


def kustomization(folder: Path, prefix: str, ports: dict[str, int]) -> Manifest:
    """The overlay `embedded` for the model `fashion`, as a user would write it, with what podman needs."""

    def place(name: str) -> str:
        return os.path.relpath(FOLDER / name, folder.resolve())

    patches = [
        {
            "op": "replace",
            "path": "/spec/template/spec/containers/0/ports",
            "value": [
                {"name": name, "containerPort": number, "hostIP": "127.0.0.1", "hostPort": ports[name]}
                for name, number in (("grpc", 8500), ("rest", 8501))
            ],
        },
        # podman 4 waits 20 s for an init container that has ended.
        {"op": "remove", "path": "/spec/template/spec/initContainers"},
    ]
    return {
        "resources": [place("overlays/embedded")],
        "components": [place("components/settings")],
        "namePrefix": prefix,
        "configMapGenerator": [
            {"name": "settings", "behavior": "merge", "literals": ["ATELIER_MODEL=fashion"]}
        ],
        "images": [{"name": "atelier-serving", "newName": "localhost/atelier-serving", "newTag": "latest"}],
        "patches": [{"target": {"kind": "Deployment", "name": "serving"}, "patch": yaml.safe_dump(patches)}],
    }


def fill_volume(runner: Podman, name: str, folder: Path) -> Path:
    """Publish a version into a new volume, as the trainer's job would; return its folder."""
    published = publish_untrained(folder / "models")
    config = folder / "models" / "models.config"
    # In the pod the volume lies elsewhere.
    config.write_text(config.read_text().replace(str(folder), ""))
    runner.ask("volume", "create", name)
    archive = folder / "models.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(folder / "models", ".")
    runner.ask("volume", "import", name, archive)
    return published


def test_it_answers_its_golden_examples(pod: Pod) -> None:
    with (
        Client(pod.grpc, "fashion") as client,
        np.load(pod.version / "assets.extra" / "golden.npz") as golden,
    ):
        client.wait_ready(100)
        answer = client.predict(golden["inputs/images"])
        np.testing.assert_allclose(answer["probabilities"], golden["outputs/probabilities"], atol=1e-5)


def test_its_probes_succeed(pod: Pod) -> None:
    (server,) = pod.template["spec"]["containers"]
    path = server["readinessProbe"]["httpGet"]["path"]
    assert path == "/v1/models/fashion/metadata"
    urllib.request.urlopen(pod.rest + path, timeout=20).close()
    for probe in ("startupProbe", "livenessProbe"):
        service = server[probe]["grpc"].get("service", "")
        with grpc.insecure_channel(pod.grpc) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=20
            )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_its_metrics_have_what_the_autoscaler_asks_for(pod: Pod) -> None:
    with urllib.request.urlopen(f"{pod.rest}/monitoring/prometheus/metrics", timeout=20) as answer:
        assert f"{waiting_series()}{{" in answer.read().decode()


def test_it_is_as_locked_as_the_manifest_says(pod: Pod) -> None:
    (seen,) = json.loads(pod.podman.ask("inspect", pod.container))
    assert seen["EffectiveCaps"] in (None, [])
    assert seen["HostConfig"]["ReadonlyRootfs"] is True
    assert seen["Config"]["User"] == "10001:10001"
    assert "no-new-privileges" in seen["HostConfig"]["SecurityOpt"]
    assert {mount["Destination"]: mount["RW"] for mount in seen["Mounts"]} == {
        "/models": False,
        "/etc/atelier": False,
        "/tmp": True,
    }
    for place in ("/", "/models/fashion/1/"):
        with pytest.raises(AssertionError, match="Read-only file system"):
            pod.podman.ask("exec", pod.container, "touch", f"{place}new")


def test_it_ends_in_good_order(pod: Pod) -> None:
    pod.podman.ask("stop", "--time", "25", pod.container)
    (seen,) = json.loads(pod.podman.ask("inspect", pod.container))
    assert seen["State"]["ExitCode"] == 0
