"""Every resource is what its kind's schema says, strictly: an unknown field is an error."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
from cloudcoil.models.prometheus_operator import v1

from tests.support.manifests import Manifest

# The operator's resources are in no schema of Kubernetes.
OPERATOR: dict[str, Any] = {"ServiceMonitor": v1.ServiceMonitor, "PrometheusRule": v1.PrometheusRule}
# The oldest release with all that the manifests use, and the newest known one. An image volume needs 1.36.
OLDEST = "1.34"


def test_each_resource_fits_its_schema(manifests: list[Manifest]) -> None:
    mounts_images = any("reference:" in str(item).replace("'", "") for item in manifests)
    versions = [kubernetes_validate.latest_version(), *([] if mounts_images else [OLDEST])]
    own = [item for item in manifests if item["kind"] not in OPERATOR]
    for item in own:
        for version in versions:
            kubernetes_validate.validate(item, version, strict=True)
    assert len(own) > 8


def test_a_field_that_does_not_exist_is_found(base: list[Manifest]) -> None:
    for item in base:
        if item["kind"] not in OPERATOR:
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(
                    item | {"replica": 2}, kubernetes_validate.latest_version(), strict=True
                )


def test_the_operators_resources_fit_its_types(manifests: list[Manifest]) -> None:
    found = [item for item in manifests if item["kind"] in OPERATOR]
    assert {item["kind"] for item in found} == set(OPERATOR)
    for item in found:
        # The types pass over fields that they do not know; what comes out again is what they know.
        typed = OPERATOR[item["kind"]].model_validate(item)
        assert typed.model_dump(by_alias=True, exclude_unset=True, mode="json") == item
