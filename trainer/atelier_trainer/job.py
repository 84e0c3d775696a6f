"""A job: the YAML file that says what to train, on what, how, and under which name to publish it."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from atelier_trainer.errors import JobError

Positive = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(_Section):
    """Dense layers between the input and the softmax: units of each."""

    hidden: list[Positive]


class Optimizer(_Section):
    """The optimizer; `cosine` takes the learning rate to zero over the whole run."""

    name: Literal["adam"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 0.001
    schedule: Literal["constant", "cosine"] = "constant"


class Fit(_Section):
    """How long and in which portions; `seed` fixes initial weights and the order of the examples."""

    batch_size: Positive
    epochs: Positive
    seed: int = 0


class Job(_Section):
    """One trained model: `model` is the name it is published and served under."""

    name: str
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    data: Literal["fashion-mnist"]
    network: Network
    optimizer: Optimizer = Optimizer()
    fit: Fit

    def digest(self) -> str:
        """SHA-256 over the job's canonical JSON: equal jobs, equal digests, however the file is written."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def shipped_jobs() -> Path:
    """The folder of shipped jobs: `jobs` here (the image), `trainer/jobs` (a checkout), or beside the package."""
    beside = Path(__file__).resolve().parent.parent / "jobs"
    return next((path for path in (Path("jobs"), Path("trainer/jobs")) if path.is_dir()), beside)


def load_job(name: str) -> Job:
    """Read the job at a path, or the shipped job of that name. Raises `JobError`."""
    path = _find(name)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise JobError(f"{path}: not readable as YAML: {error}") from None
    if not isinstance(document, dict):
        raise JobError(f"{path}: expected a mapping with the keys {', '.join(Job.model_fields)}.")
    try:
        return Job.model_validate(document)
    except ValidationError as error:
        raise JobError(f"{path}: " + "; ".join(_explain(item) for item in error.errors())) from None


def _find(name: str) -> Path:
    folder = shipped_jobs()
    candidates = [Path(name), folder.parent / name, folder / f"{name}.yaml"]
    for path in candidates:
        if path.is_file():
            return path
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    near = difflib.get_close_matches(Path(name).stem, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise JobError(
        f"No job {name!r}: expected a YAML file or one of: {', '.join(known) or 'none shipped'}.{hint}"
    )


def _explain(item: object) -> str:
    """One of pydantic's findings as a sentence with the key and the nearest valid one."""
    assert isinstance(item, dict)
    where, key = [str(part) for part in item["loc"]], ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _keys_at(where[:-1])
        near = difflib.get_close_matches(where[-1], known, n=1)
        return f"unknown key {key!r}; " + (
            f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        )
    if item["type"] == "missing":
        return f"the key {key!r} is missing"
    near_value = ""
    if item["type"] == "literal_error":
        allowed = str(item["ctx"]["expected"]).replace("'", "").split(" or ")
        near = difflib.get_close_matches(str(item["input"]), allowed, n=1)
        near_value = f" (did you mean {near[0]}?)" if near else ""
    return f"{key}: {item['msg']}, got {item['input']!r}{near_value}"


def _keys_at(where: list[str]) -> list[str]:
    section: type[BaseModel] = Job
    for part in where:
        annotation = section.model_fields[part].annotation
        section = next(
            (kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)), section
        )
    return list(section.model_fields)
