"""`make image`: a published version as an OCI image that holds nothing else.

The files lie under /models/NAME/VERSION, where a server takes them by `--model_base_path=/models/NAME`, and where
KServe's modelcars and Kubernetes' image volumes look for a model. Its labels are those of the OCI image specification
(annotations.md), and the model card's digest and metrics under `example.atelier`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack import files, published, service
from stack.console import note, run_logged
from stack.engines import docker, model_files
from stack.errors import UsageError
from stack.published import Published
from stack.settings import Settings

OCI = "org.opencontainers.image"
OWN = "example.atelier"
# A part of a repository's name (distribution's reference grammar).
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")


def image(settings: Settings) -> None:
    """Build the image of MODEL and VERSION; print its name. Raises `StackError`."""
    model = settings.model
    if not model or "/" in model or model.startswith("."):
        raise UsageError(
            f"MODEL={model}: expected the name of a published model, as in `make image MODEL=fashion`."
        )
    docker.find()
    place = model_files.find(settings, service.remembered(settings), model)
    version = _version(settings, place.versions(model))
    files.make_folder(settings.state_dir)
    with tempfile.TemporaryDirectory(dir=settings.state_dir, prefix="image-") as folder:
        work = Path(folder)
        found = published.read(place.fetch(model, version, work), f"{model} version {version}")
        context = work / "context"
        context.mkdir()
        published.copy(found.folder, context / "models" / model / str(version))
        (context / "models" / model).chmod(0o755)
        (context / "models").chmod(0o755)
        (context / "Dockerfile").write_text("FROM scratch\nCOPY models /models\n", encoding="utf-8")
        name = f"atelier-model/{repository(model)}:{version}"
        given = [
            word
            for key, value in labels(model, version, found).items()
            for word in ("--label", f"{key}={value}")
        ]
        log = settings.state_dir / "logs" / "image.log"
        run_logged(["docker", "build", "--tag", name, *given, str(context)], f"Image {name}", log)
    note(
        f"It holds /models/{model}/{version}, and its labels the card's metrics and digest sha256:{found.digest}."
    )
    print(name, flush=True)


def _version(settings: Settings, there: list[int]) -> int:
    """VERSION, one of those that are there. None is guessed: the newest need not be what is released."""
    asked = settings.releases.version
    known = ", ".join(map(str, there))
    if not asked:
        raise UsageError(f"`make image` needs VERSION=n; of {settings.model} there is {known}.")
    if int(asked) not in there:
        raise UsageError(f"VERSION={asked}: of {settings.model} there is {known}.")
    return int(asked)


def repository(model: str) -> str:
    """The model's name as a part of an image's name: itself where it may be, else its letters and a digest."""
    if _REPOSITORY.fullmatch(model):
        return model
    kept = "-".join(re.findall(r"[a-z0-9]+", model.lower()))
    return "-".join(filter(None, (kept, hashlib.sha256(model.encode()).hexdigest()[:8])))


def labels(model: str, version: int, found: Published) -> dict[str, str]:
    """The image's labels: what the card says, as far as it says it."""
    card = found.card
    given: Mapping[str, Any] = {
        f"{OCI}.title": model,
        f"{OCI}.version": version,
        f"{OCI}.created": card.get("created_at"),
        f"{OCI}.revision": card.get("git_revision"),
        f"{OWN}.model.card.sha256": found.digest,
        f"{OWN}.model.task": card.get("task"),
        f"{OWN}.model.run_id": card.get("run_id"),
        **{
            f"{OWN}.metrics.{split}.{name}": value
            for split, metrics in (card.get("metrics") or {}).items()
            for name, value in metrics.items()
        },
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in given.items()
        if value is not None
    }
