"""The Kubernetes manifests as kustomize writes them."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
KUBECTL = Path(sys.executable).parent / "kubectl"
Manifest = dict[str, Any]


@functools.cache
def built(name: str) -> list[Manifest]:
    """The resources of a kustomization of deploy/kubernetes, made once: tests change none."""
    return build(FOLDER / name)


def build(folder: Path) -> list[Manifest]:
    """The resources of a kustomization. Raises `AssertionError` with kustomize's words, warnings among them."""
    done = subprocess.run(
        [KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return list(yaml.safe_load_all(done.stdout))


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The only resource of a kind and a name."""
    (found,) = (item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name))
    return found


def templates(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The pod templates, each with the name of its resource."""
    for item in manifests:
        spec = item.get("spec", {})
        if item["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield item["metadata"]["name"], spec["template"]


def containers(template: Manifest) -> list[Manifest]:
    """All containers of a pod template, those that run first included."""
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def fits(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels; an empty one takes all."""
    selector = selector or {}
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    expressions = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in expressions)
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


def waiting_series() -> str:
    """The name of the series that prometheus-adapter makes the autoscaler's metric of."""
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text(encoding="utf-8"))["rules"][
        "custom"
    ]
    name: str = rule["seriesQuery"].split('"')[1]
    return name
