"""The Indexed Job gives each worker its TF_CONFIG."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.support.manifests import built, containers, one


@pytest.fixture
def job() -> dict[str, Any]:
    spec: dict[str, Any] = one(built("overlays/multi-worker"), "Job", "train")["spec"]
    return spec


def test_each_worker_is_told_all_and_itself(job: dict[str, Any]) -> None:
    assert job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"]
    trainer = job["template"]["spec"]["initContainers"][0]
    names = [item["name"] for item in trainer["env"]]
    # A variable is put in place only of those that stand before.
    assert names.index("WORKER_INDEX") < names.index("TF_CONFIG")
    index = trainer["env"][names.index("WORKER_INDEX")]["valueFrom"]["fieldRef"]["fieldPath"]
    assert index == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    text = trainer["env"][names.index("TF_CONFIG")]["value"]
    seen = set()
    for number in range(job["completions"]):
        config = json.loads(re.sub(r"\$\(WORKER_INDEX\)", str(number), text))
        workers = config["cluster"]["worker"]
        assert config["task"] == {"type": "worker", "index": number}
        assert len(workers) == job["completions"]
        seen.add(workers[number])
    assert len(seen) == job["completions"]


def test_a_workers_name_is_one_that_the_cluster_gives(job: dict[str, Any]) -> None:
    manifests = built("overlays/multi-worker")
    service = one(manifests, "Service", job["template"]["spec"]["subdomain"])["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    trainer = job["template"]["spec"]["initContainers"][0]
    (port,) = trainer["ports"]
    text = trainer["env"][-1]["value"]
    # <job>-<index>.<subdomain>:<port>
    assert f'"train-0.{job["template"]["spec"]["subdomain"]}:{port["containerPort"]}"' in text
    assert service["ports"] == [
        {"name": "workers", "port": port["containerPort"], "targetPort": port["name"]}
    ]


def test_the_workers_reach_each_other(job: dict[str, Any]) -> None:
    policy = one(built("overlays/multi-worker"), "NetworkPolicy", "workers")["spec"]
    assert (
        policy["ingress"][0]["from"] == policy["egress"][0]["to"] == [{"podSelector": policy["podSelector"]}]
    )
    assert policy["ingress"][0]["ports"] == policy["egress"][0]["ports"] == [{"port": "workers"}]


@pytest.mark.parametrize(("index", "said"), [("0", "release --if-needed --wait=900\n"), ("1", "")])
def test_the_chief_alone_releases(job: dict[str, Any], index: str, said: str) -> None:
    (release,) = (item for item in containers(job["template"]) if item["name"] == "release")
    command = [word.replace("exec atelier-client", "exec echo") for word in release["command"]]
    done = subprocess.run(
        [*command, *release["args"]],
        env={"JOB_COMPLETION_INDEX": index, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout == said
    assert job["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
