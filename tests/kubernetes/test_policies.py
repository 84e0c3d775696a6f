"""What holds for every pod, whatever overlay it comes from; and that the resources fit each other."""

from __future__ import annotations

from typing import Any

import pytest
from atelier_client import __version__

from tests.support.manifests import Manifest, built, containers, fits, one, templates


def named_ports(template: Manifest) -> set[str]:
    return {port["name"] for container in containers(template) for port in container.get("ports", [])}


def test_no_pod_is_root_or_has_more_than_it_needs(manifests: list[Manifest]) -> None:
    found = dict(templates(manifests))
    assert {"serving", "evaluate"} <= set(found)
    for name, template in found.items():
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for container in containers(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (name, container["name"])


def test_the_namespace_refuses_other_pods(manifests: list[Manifest]) -> None:
    labels = one(manifests, "Namespace", "atelier")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {item["metadata"].get("namespace") for item in manifests if item["kind"] != "Namespace"} == {
        "atelier"
    }


def test_every_container_says_what_it_needs(manifests: list[Manifest]) -> None:
    for name, template in templates(manifests):
        for container in containers(template):
            asked = container["resources"]
            assert {"cpu", "memory"} <= set(asked["requests"]), (name, container["name"])
            assert "memory" in asked["limits"]


def test_every_image_is_pinned_and_ours_are_of_this_version(manifests: list[Manifest]) -> None:
    for _, template in templates(manifests):
        for container in containers(template):
            image, _, tag = container["image"].partition(":")
            if image.startswith("atelier-"):
                assert tag.removesuffix("-gpu") == __version__, image
            else:
                assert (image, tag.removesuffix("-gpu")) == ("tensorflow/serving", "2.20.0")


def test_only_the_jobs_that_publish_can_write_models(manifests: list[Manifest]) -> None:
    for name, template in templates(manifests):
        for container in containers(template):
            mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
            assert mounts["models"]["mountPath"] == "/models"
            assert mounts["models"].get("readOnly", False) is (name != "train"), (name, container["name"])


def test_every_mount_has_its_volume_and_every_volume_its_claim(manifests: list[Manifest]) -> None:
    claims = {item["metadata"]["name"] for item in manifests if item["kind"] == "PersistentVolumeClaim"}
    used = set()
    for _, template in templates(manifests):
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        mounted = {mount["name"] for item in containers(template) for mount in item["volumeMounts"]}
        assert mounted == set(volumes)
        for volume in volumes.values():
            # One kind beside its name: a patch that leaves the old kind in place would make two.
            assert len(volume) == 2, volume
            if claim := volume.get("persistentVolumeClaim"):
                used.add(claim["claimName"])
    assert used == claims


def test_every_selector_finds_its_pods(manifests: list[Manifest]) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in templates(manifests)}
    for item in manifests:
        spec = item.get("spec", {})
        if item["kind"] == "Service":
            selector: Any = {"matchLabels": spec["selector"]}
        elif item["kind"] in ("Deployment", "PodDisruptionBudget"):
            selector = spec["selector"]
        elif item["kind"] == "NetworkPolicy":
            selector = spec["podSelector"]
        else:
            continue
        wanted = {
            "serving-replicas": {"serving"},
            "jobs": {"train", "evaluate"} & set(labels),
            "workers": {"train"},
            "train": {"train"} & set(labels),
        }.get(item["metadata"]["name"], {"serving"})
        assert {name for name in labels if fits(selector, labels[name])} == wanted, item["metadata"]["name"]
    monitor = one(manifests, "ServiceMonitor", "serving")["spec"]
    services = [item for item in manifests if item["kind"] == "Service"]
    (scraped,) = (item for item in services if fits(monitor["selector"], item["metadata"]["labels"]))
    # The alarms ask for job="serving".
    assert scraped["metadata"]["labels"][monitor["jobLabel"]] == "serving"
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in scraped["spec"]["ports"]}


def test_every_port_has_a_name_that_its_pods_know(manifests: list[Manifest]) -> None:
    found = dict(templates(manifests))
    assert named_ports(found["serving"]) == {"grpc", "rest"}
    for item in manifests:
        if item["kind"] != "Service":
            continue
        names = named_ports(found[item["spec"]["selector"]["app.kubernetes.io/name"]])
        for port in item["spec"]["ports"]:
            assert port["targetPort"] in names
    (server,) = found["serving"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert {f"--port={ports['grpc']}", f"--rest_api_port={ports['rest']}"} <= set(server["args"])


def test_the_probes_ask_what_they_are_for(manifests: list[Manifest]) -> None:
    (server,) = dict(templates(manifests))["serving"]["spec"]["containers"]
    model = one_settings(manifests)["ATELIER_MODEL"]
    # A version answers: the signatures come from a loaded version. The status page would be 200 for a failed one too.
    assert server["readinessProbe"]["httpGet"] == {"path": f"/v1/models/{model}/metadata", "port": "rest"}
    # Neither depends on a model, so that a broken one restarts nothing.
    for probe in ("startupProbe", "livenessProbe"):
        assert server[probe]["grpc"]["port"] == 8500
        assert "--enable_grpc_healthcheck_service=true" in server["args"]
    assert server["startupProbe"]["failureThreshold"] * server["startupProbe"]["periodSeconds"] >= 600


def test_a_pod_drains_before_it_ends(manifests: list[Manifest]) -> None:
    pod = dict(templates(manifests))["serving"]["spec"]
    asleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    ready = pod["containers"][0]["readinessProbe"]
    assert asleep > ready["periodSeconds"] * ready["failureThreshold"]
    # The embedded server gives requests in flight 8 seconds.
    assert pod["terminationGracePeriodSeconds"] >= asleep + 8


def test_some_pod_answers_whatever_is_updated_or_emptied(manifests: list[Manifest]) -> None:
    scaling = one(manifests, "HorizontalPodAutoscaler", "serving")["spec"]
    budget = one(manifests, "PodDisruptionBudget", "serving")["spec"]
    update = one(manifests, "Deployment", "serving")["spec"]["strategy"]["rollingUpdate"]
    least = scaling["minReplicas"]
    assert least < scaling["maxReplicas"]
    assert 1 <= budget["maxUnavailable"] < least
    assert update["maxUnavailable"] < least
    assert update["maxSurge"] + update["maxUnavailable"] == 1
    # Applying the manifests must not undo what the autoscaler decided.
    assert "replicas" not in one(manifests, "Deployment", "serving")["spec"]
    target = scaling["scaleTargetRef"]
    assert one(manifests, target["kind"], target["name"])["apiVersion"] == target["apiVersion"]


def reaches(manifests: list[Manifest], caller: dict[str, str], port: str) -> bool:
    """Whether a pod of the namespace with these labels gets through to a server's port."""
    server = dict(templates(manifests))["serving"]["metadata"]["labels"]
    policies = [item["spec"] for item in manifests if item["kind"] == "NetworkPolicy"]
    applied = [policy for policy in policies if fits(policy["podSelector"], server)]
    assert applied, "without a policy everybody gets through"
    return any(
        any("podSelector" in peer and fits(peer["podSelector"], caller) for peer in rule["from"])
        and port in {item["port"] for item in rule["ports"]}
        for policy in applied
        for rule in policy["ingress"]
    )


@pytest.mark.parametrize("port", ["grpc", "rest"])
def test_the_network_lets_the_services_ports_through_to_whom_it_names(
    manifests: list[Manifest], port: str
) -> None:
    for name, template in templates(manifests):
        assert name == "serving" or reaches(manifests, template["metadata"]["labels"], port)
    assert reaches(manifests, {"atelier.example/caller": "true"}, port)
    assert not reaches(manifests, {"app": "somebody"}, port)
    for service in ("serving", "serving-replicas"):
        ports = one(manifests, "Service", service)["spec"]["ports"]
        assert port in {item["targetPort"] for item in ports}


def test_the_network_lets_the_jobs_ask_names_and_servers_and_the_servers_nobody(
    manifests: list[Manifest],
) -> None:
    server = dict(templates(manifests))["serving"]["metadata"]["labels"]
    for name, template in templates(manifests):
        rules = [
            rule
            for item in manifests
            if item["kind"] == "NetworkPolicy"
            and fits(item["spec"]["podSelector"], template["metadata"]["labels"])
            for rule in item["spec"].get("egress", [])
        ]
        if name == "serving":
            assert rules == []
            continue
        anywhere = {port["port"] for rule in rules if "to" not in rule for port in rule["ports"]}
        assert anywhere == ({53, 443} if name == "train" else {53})
        assert any(
            fits(peer["podSelector"], server) and {port["port"] for port in rule["ports"]} == {"grpc", "rest"}
            for rule in rules
            for peer in rule.get("to", [])
        )


def test_a_gpu_for_the_server_and_one_for_the_trainer() -> None:
    manifests = built("overlays/gpu")
    found = dict(templates(manifests))
    for name, container in (("serving", "serving"), ("train", "trainer")):
        (item,) = (item for item in containers(found[name]) if item["name"] == container)
        assert item["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert item["image"].endswith("-gpu")
        assert found[name]["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert {"name": "TF_FORCE_GPU_ALLOW_GROWTH", "value": "true"} in item["env"]


def test_an_image_takes_the_place_of_the_volume() -> None:
    manifests = built("overlays/oci-model")
    settings = one_settings(manifests)
    reference = settings["ATELIER_MODEL_IMAGE"]
    assert settings["ATELIER_MODELS"] == "/models/models"
    assert {item["metadata"]["name"] for item in manifests if item["kind"] == "PersistentVolumeClaim"} == {
        "work"
    }
    assert set(dict(templates(manifests))) == {"serving", "evaluate"}
    for _, template in templates(manifests):
        (volume,) = (item for item in template["spec"]["volumes"] if item["name"] == "models")
        assert volume["image"] == {"reference": reference, "pullPolicy": "IfNotPresent"}
    pod = dict(templates(manifests))["serving"]["spec"]
    assert "initContainers" not in pod
    args = pod["containers"][0]["args"]
    assert "--model_base_path=/models/models/$(ATELIER_MODEL)" in args
    assert not [argument for argument in args if "model_config_file" in argument]


def one_settings(manifests: list[Manifest]) -> dict[str, str]:
    """The data of the ConfigMap `settings`, whose name ends with a digest of it."""
    (found,) = (
        item
        for item in manifests
        if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith("settings-")
    )
    data: dict[str, str] = found["data"]
    return data
