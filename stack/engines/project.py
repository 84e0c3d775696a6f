"""One checkout as a compose project: its name, the variables that the compose files ask for, and its images."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from stack.engines import build
from stack.engines.images import Images
from stack.settings import PROMETHEUS, Settings, container_user
from stack.state import State
from stack.versions import TENSORFLOW

LAYERS = ("compose.yaml", "compose.embedded.yaml", "compose.gpu.yaml", "compose.observe.yaml")


class Project:
    """What compose and the engine are told of this checkout."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.root
        self.name = project_name(settings.root)
        self.reports = settings.root / "reports"
        self.runs = settings.root / "runs"
        self.feedback = settings.root / "feedback"

    def environment(self, images: Images, gpu: bool) -> dict[str, str]:
        """The environment of a compose tool: the files to read, and the variables in them."""
        uid, gid = container_user()
        wanted = (True, images.embedded, gpu, True)
        layers = [str(self._root / layer) for layer, used in zip(LAYERS, wanted, strict=True) if used]
        return {
            **os.environ,
            "COMPOSE_FILE": os.pathsep.join(layers),
            "COMPOSE_PROJECT_NAME": self.name,
            "ATELIER_UID": str(uid),
            "ATELIER_GID": str(gid),
            "ATELIER_REPORTS": str(self.reports),
            "ATELIER_RUNS": str(self.runs),
            "ATELIER_FEEDBACK": str(self.feedback),
            "ATELIER_OBSERVE": str(self._settings.state_dir / "observe"),
            "BASE_IMAGE": images.base,
            "TENSORFLOW_VERSION": TENSORFLOW,
        }

    def state_environment(self, state: State, number: int = 0) -> dict[str, str]:
        """The same, for the service as it was started; `number` is that of the server whose ports are published."""
        ports = {f"{name.upper()}_PORT": str(known["port"]) for name, known in state.companions.items()}
        if PROMETHEUS in state.companions:
            ports["PROMETHEUS_IMAGE"] = state.companions[PROMETHEUS]["image"]
        return {
            **self.environment(Images(state.base_image, state.embedded), state.gpu),
            **ports,
            "GRPC_PORT": str(state.grpc_ports[number]),
            "REST_PORT": str(state.rest_ports[number]),
            "ATELIER_MODEL": state.model,
        }

    def image(self, service: str) -> str:
        """The name of a component's image."""
        return f"atelier-{service}" + (":gpu" if service == "trainer" and self._settings.gpu else "")

    def recipe(self, images: Images) -> str:
        """What an image depends on besides its component's folder."""
        texts = [(self._root / layer).read_text(encoding="utf-8") for layer in LAYERS]
        return "\0".join([*texts, str(self._settings.gpu), images.base, build.image_id(images.base)])

    def host_names(self) -> dict[str, str]:
        """The host's names for the folders that containers name in their messages."""
        return {
            "/models": f"volume {self.name}_models",
            "/data": f"volume {self.name}_data",
            "/requests": f"volume {self.name}_requests",
            "/reports": str(self.reports),
            "/runs": str(self.runs),
        }


def project_name(root: Path) -> str:
    """Each checkout has a compose project of its own: with shared volumes, `make clean` in one would empty the other.

    COMPOSE_PROJECT_NAME sets another name. Compose tools keep only its letters (as small ones), digits, - and _.
    """
    asked = re.sub(r"[^-_a-z0-9]", "", os.environ.get("COMPOSE_PROJECT_NAME", "").lower())
    return asked or f"atelier-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}"
