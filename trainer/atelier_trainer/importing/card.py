"""The model card of an imported version (docs/contracts.md, section 1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from atelier_trainer.importing.examples.given import Given
from atelier_trainer.importing.purpose import Purpose
from atelier_trainer.importing.source import Source
from atelier_trainer.publishing.model_card import git_revision, versions
from atelier_trainer.publishing.model_signature import Signature


def card(
    name: str,
    digest: str,
    source: Source,
    loader: str,
    signature: Signature,
    purpose: Purpose,
    given: Given | None,
    examples: str,
    test_file: Mapping[str, str] | None,
    metrics: Mapping[str, Any],
    parameters: int | None,
    *,
    whole_pixels: bool,
) -> dict[str, Any]:
    """The document, without the seconds per stage. `examples` is the name of the file that they came from.

    `whole_pixels`: its input of floats takes pictures as 0 to 255.
    """
    test: dict[str, Any] = {
        "examples": len(given) if given else 0,
        "labelled": given is not None and given.labels is not None,
        "sha256": given.sha256 if given else None,
    }
    return {
        "model": name,
        "job": None,
        "job_digest": digest,
        "source_digest": source.sha256,
        "run": None,
        "run_id": None,
        "imported": {
            "from": source.path.name,
            "format": source.format,
            "sha256": source.sha256,
            "loader": loader,
        },
        "task": purpose.task,
        "class_names": list(purpose.class_names),
        "signature": signature.name,
        "output": purpose.output,
        "unmeasured": purpose.unmeasured,
        "inputs": {name: tensor.document() for name, tensor in signature.inputs.items()},
        "outputs": {name: tensor.document() for name, tensor in signature.outputs.items()},
        "input": {
            **(given.input if given else {"kind": None, "shape": [], "columns": []}),
            **({"pixels": "0..255"} if whole_pixels else {}),
        },
        "data": {
            "name": examples,
            "train": None,
            "validation": None,
            "test": {**test, "file": dict(test_file) if test_file else None},
        },
        "metrics": {"test": dict(metrics)},
        "warnings": [],
        "parameters": parameters,
        "versions": versions(),
        "git_revision": git_revision(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {},
    }
