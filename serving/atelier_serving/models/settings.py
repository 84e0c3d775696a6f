"""ModelServerConfig, the models to serve: read from flags, a file or a reload request, and validated.

Texts: model_servers/server_core.cc and util/proto_util.h at 2.20.0.
"""

from __future__ import annotations

import logging
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from atelier_serving.flags import Flags
from atelier_serving.status import Code, ServingError, invalid

_log = logging.getLogger(__name__)
# The only supported platform (model_servers/model_platform_types.h).
PLATFORM = "tensorflow"


@dataclass(frozen=True)
class ModelSettings:
    """The settings of one model: where its versions are, which of them to serve, and their labels."""

    name: str
    base_path: Path
    latest: int = 1
    all: bool = False
    specific: tuple[int, ...] | None = None
    labels: dict[str, int] = field(default_factory=dict)
    platform: str = PLATFORM

    def wanted(self, found: list[int]) -> set[int]:
        """The versions that the policy selects from those on disk."""
        if self.all:
            return set(found)
        if self.specific is not None:
            return set(found) & set(self.specific)
        return set(sorted(found)[-self.latest :])


def from_flags(flags: Flags) -> list[ModelSettings] | None:
    """The models that the flags ask for. None when the configuration file is empty. Raises `ServingError`."""
    if not flags.model_config_file:
        return [ModelSettings(flags.model_name, Path(flags.model_base_path).absolute())]
    return read_file(Path(flags.model_config_file))


def read_file(path: Path) -> list[ModelSettings] | None:
    """Read a configuration file, a text proto. None when it is empty. Raises `ServingError`."""
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except OSError as error:
        raise ServingError(Code.NOT_FOUND, f"{path}; {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        _log.warning(f"Error parsing text-format tensorflow.serving.ModelServerConfig: {error}")
        raise invalid(f"Invalid protobuf file: '{path}'") from None
    return from_proto(config) if config.WhichOneof("config") else None


def from_proto(config: model_server_config_pb2.ModelServerConfig) -> list[ModelSettings]:
    """Validate a ModelServerConfig. Raises `ServingError`."""
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("custom_model_config is not supported; use model_config_list.")
    names: set[str] = set()
    for entry in config.model_config_list.config:
        if entry.name in names:
            raise invalid(f"Illegal to list model {entry.name} multiple times in config list")
        names.add(entry.name)
    for entry in config.model_config_list.config:
        if not re.match(r"/|[a-zA-Z][0-9a-zA-Z.]*://", entry.base_path):
            raise invalid(
                f"Expected model {entry.name} to have an absolute path or URI; got base_path()={entry.base_path}"
            )
    return [_model(entry) for entry in config.model_config_list.config]


def to_json(models: list[ModelSettings]) -> list[dict[str, Any]]:
    """The models as plain data for JSON."""
    return [{**asdict(model), "base_path": str(model.base_path)} for model in models]


def from_json(documents: list[dict[str, Any]]) -> list[ModelSettings]:
    """The models from the result of `to_json`."""
    return [
        ModelSettings(**{**one, "base_path": Path(one["base_path"]), "specific": _numbers(one["specific"])})
        for one in documents
    ]


def _numbers(versions: list[int] | None) -> tuple[int, ...] | None:
    return None if versions is None else tuple(versions)


def _model(entry: model_server_config_pb2.ModelConfig) -> ModelSettings:
    path = entry.base_path.removeprefix("file://")
    if not path.startswith("/"):
        raise invalid(f"Model {entry.name} is at {path}; atelier-serving reads local folders only.")
    if entry.HasField("logging_config"):
        raise invalid("No request-logger-creator provided.")
    policy = entry.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    return ModelSettings(
        entry.name,
        Path(path),
        latest=policy.latest.num_versions or 1,
        all=kind == "all",
        specific=tuple(policy.specific.versions) if kind == "specific" else None,
        labels=dict(entry.version_labels),
        platform=_platform(entry),
    )


def _platform(entry: model_server_config_pb2.ModelConfig) -> str:
    if not entry.model_type:
        if not entry.model_platform:
            raise invalid(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {entry.name}"
            )
        return str(entry.model_platform)
    if entry.model_platform:
        raise invalid(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
        )
    if entry.model_type != model_server_config_pb2.TENSORFLOW:
        raise invalid(f"ModelServerConfig::model_type choice {entry.model_type} not supported.")
    return PLATFORM
