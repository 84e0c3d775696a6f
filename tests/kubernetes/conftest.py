"""What kustomize makes of each kustomization of deploy/kubernetes."""

from __future__ import annotations

import pytest

from tests.support.manifests import FOLDER, Manifest, built

# From deploy/kubernetes. The example is what docs/kubernetes.md tells users to copy.
OVERLAYS = sorted(f"overlays/{folder.name}" for folder in (FOLDER / "overlays").iterdir())
NAMES = ["base", *OVERLAYS, "../../examples/kubernetes"]


@pytest.fixture(params=NAMES)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """The resources of the base, and of each overlay in turn."""
    return built(request.param)


@pytest.fixture
def base() -> list[Manifest]:
    """The resources of the base."""
    return built("base")
