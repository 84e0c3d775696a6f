"""ModelServerConfig: what is to be served, read from flags, a file or a reload request, and validated.

Texts: model_servers/server_core.cc and util/proto_util.h at 2.20.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from atelier_serving.flags import Flags
from atelier_serving.status import Code, ServingError, invalid


@dataclass(frozen=True)
class ModelSettings:
    """One model: where its versions are, which of them to serve, and the labels of versions."""

    name: str
    base_path: Path
    latest: int = 1
    all: bool = False
    specific: tuple[int, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)

    def wanted(self, found: list[int]) -> set[int]:
        """Which of the versions on disk the policy wants."""
        if self.all:
            return set(found)
        if self.specific:
            return set(found) & set(self.specific)
        return set(sorted(found)[-self.latest :])


def from_flags(flags: Flags) -> list[ModelSettings]:
    """The models that the flags ask for. Raises `ServingError`."""
    if not flags.model_config_file:
        return [ModelSettings(flags.model_name, Path(flags.model_base_path).absolute())]
    return read_file(Path(flags.model_config_file))


def read_file(path: Path) -> list[ModelSettings]:
    """Read a text proto. Raises `ServingError`."""
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except OSError as error:
        raise ServingError(Code.NOT_FOUND, f"{path}; {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise invalid(f"Invalid protobuf file: '{path}' ({error})") from None
    return from_proto(config)


def from_proto(config: model_server_config_pb2.ModelServerConfig) -> list[ModelSettings]:
    """Validate a ModelServerConfig. Raises `ServingError`."""
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("custom_model_config is not supported; use model_config_list.")
    models: dict[str, ModelSettings] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise invalid(f"Illegal to list model {entry.name} multiple times in config list")
        models[entry.name] = _model(entry)
    return list(models.values())


def _model(entry: model_server_config_pb2.ModelConfig) -> ModelSettings:
    if not entry.base_path.startswith("/"):
        text = (
            f"Expected model {entry.name} to have an absolute path or URI; got base_path()={entry.base_path}"
        )
        raise invalid(text)
    if not entry.model_platform and not entry.model_type:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {entry.name}"
        )
    if entry.model_platform and entry.model_platform != "tensorflow":
        raise invalid(f"Model {entry.name} requests unsupported platform {entry.model_platform}")
    if entry.HasField("logging_config"):
        raise invalid("No request-logger-creator provided.")
    policy = entry.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "specific" and not policy.specific.versions:
        raise invalid(f"Model {entry.name}: a specific version policy must name at least one version.")
    return ModelSettings(
        entry.name,
        Path(entry.base_path),
        latest=policy.latest.num_versions or 1,
        all=kind == "all",
        specific=tuple(policy.specific.versions),
        labels=dict(entry.version_labels),
    )
