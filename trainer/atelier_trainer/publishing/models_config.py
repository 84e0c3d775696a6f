"""models.config: the ModelServerConfig the server reads; the trainer lists its model there."""

from __future__ import annotations

import fcntl
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from atelier_trainer.errors import PublishError
from atelier_trainer.publishing.staging import write_durably


def ensure_listed(models: Path, name: str) -> None:
    """Add the model to `models/models.config`, or mend its base path; other entries stay as they are."""
    path = models / "models.config"
    with open(models / ".models.config.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        config = model_server_config_pb2.ModelServerConfig()
        if path.exists():
            try:
                text_format.Parse(path.read_text(encoding="utf-8"), config)
            except (text_format.ParseError, UnicodeDecodeError) as error:
                raise PublishError(
                    f"{path} is not a ModelServerConfig text proto: {error}. Mend or remove it."
                ) from None
        before = config.SerializeToString(deterministic=True)
        entries = config.model_config_list.config
        entry = next((item for item in entries if item.name == name), None) or entries.add(name=name)
        entry.base_path = str((models / name).resolve())
        entry.model_platform = "tensorflow"
        if config.SerializeToString(deterministic=True) != before:
            write_durably(path, text_format.MessageToString(config))
