"""models.config: the ModelServerConfig the server reads; the trainer lists its model there."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from atelier_trainer.errors import PublishError
from atelier_trainer.file_lock import locked
from atelier_trainer.files import remove_halves, write_durably


def read_config(path: Path) -> model_server_config_pb2.ModelServerConfig:
    """The file's content, empty when it is missing. Raises `PublishError` when it is no ModelServerConfig."""
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except FileNotFoundError:
        pass
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise PublishError(
            f"{path} is not a ModelServerConfig text proto: {error}. Mend or remove it."
        ) from None
    return config


def ensure_listed(models: Path, name: str) -> None:
    """Add the model to `models/models.config`, or correct its base path; other entries stay as they are."""
    path = models / "models.config"
    with locked(models / ".models.config.lock"):
        remove_halves(path)
        config = read_config(path)
        before = config.SerializeToString(deterministic=True)
        entries = config.model_config_list.config
        entry = next((item for item in entries if item.name == name), None) or entries.add(name=name)
        entry.base_path = str((models / name).resolve())
        entry.model_platform = "tensorflow"
        if config.SerializeToString(deterministic=True) != before:
            write_durably(path, text_format.MessageToString(config))
