"""models.config: the ModelServerConfig the server reads; the trainer lists its model there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from atelier_trainer.errors import PublishError
from atelier_trainer.file_lock import locked
from atelier_trainer.files import read_text, remove_halves, write_durably

# A brace of a comment behind the list is no brace of the list; more of them than this are not looked at.
MOST_BRACES = 20


def read_config(path: Path) -> model_server_config_pb2.ModelServerConfig:
    """The file's content, empty when it is missing. Raises `PublishError` when it is no list of models."""
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(read_text(path), config)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise PublishError(f"{path} cannot be read: {error.strerror or error}. Mend or remove it.") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise PublishError(
            f"{path} is not a ModelServerConfig text proto: {error}. Mend or remove it."
        ) from None
    if config.HasField("custom_model_config"):
        raise PublishError(
            f"{path} has a custom_model_config, and a server takes either that or a list of models. Remove one."
        )
    return config


def ensure_listed(models: Path, name: str, version: int, *, follow_newest: bool = False) -> bool:
    """Add the model to `models/models.config`, or mend its base path; other entries and comments stay as they are.

    A new model is served in this version and no other: which one comes after it, a release decides. With
    `follow_newest` the server takes every new version. Returns False when nothing had to be changed. Raises `OSError`
    and `PublishError`.
    """

    def change(config: model_server_config_pb2.ModelServerConfig) -> model_server_config_pb2.ModelConfig:
        entries = config.model_config_list.config
        entry = next((item for item in entries if item.name == name), None) or entries.add(name=name)
        policy = entry.model_version_policy
        chosen = policy.WhichOneof("policy_choice")
        if follow_newest and (chosen == "specific" or entry.version_labels):
            raise PublishError(
                f"{models / 'models.config'} says which versions of {name} are served, so a release chooses them. To "
                "follow the newest version, take model_version_policy and version_labels out of its entry."
            )
        if chosen is None and follow_newest:
            policy.latest.num_versions = 1
        elif chosen is None:
            policy.specific.versions.append(version)
        return entry

    return _change(models, name, change)


def keep_serving(models: Path, name: str, newest: int | None) -> bool:
    """Let a model that is listed without a policy go on with its newest version, and not take the next one by itself.

    Without a policy a server takes every new version, which has passed no gate. Returns False when nothing had to be
    changed. Raises `OSError` and `PublishError`.
    """
    config = read_config(models / "models.config")
    listed = [entry for entry in config.model_config_list.config if entry.name == name]
    if newest is None or not listed or listed[0].HasField("model_version_policy"):
        return False
    return ensure_listed(models, name, newest)


def _change(
    models: Path,
    name: str,
    change: Callable[[model_server_config_pb2.ModelServerConfig], model_server_config_pb2.ModelConfig],
) -> bool:
    """Replace the file by what `change` makes of it, which returns the model's entry."""
    path = models / "models.config"
    with locked(models / ".models.config.lock"):
        remove_halves(path)
        config = read_config(path)
        before = config.SerializeToString(deterministic=True)
        old = next((item.base_path for item in config.model_config_list.config if item.name == name), "")
        entry = change(config)
        entry.base_path = str((models / name).resolve())
        entry.model_platform = "tensorflow"
        if config.SerializeToString(deterministic=True) == before:
            return False
        text = read_text(path) if before else ""
        write_durably(path, _with_comments(text, old, entry, config) or text_format.MessageToString(config))
        return True


def _one_line(message: Any) -> str:
    return text_format.MessageToString(message, as_one_line=True)


def _with_comments(
    text: str,
    old: str,
    entry: model_server_config_pb2.ModelConfig,
    wanted: model_server_config_pb2.ModelServerConfig,
) -> str | None:
    """The text with the entry in it and its comments kept, None where it has none or they cannot be kept.

    Which brace closes the list, and which string is this entry's path, shows in what the changed text says.
    """
    if "#" not in text:
        return None
    if old:
        place = f'"{old}"'
        pieces = text.split(place)
        candidates = [
            f"{place.join(pieces[:number])}{new}{place.join(pieces[number:])}"
            for number in range(1, len(pieces))
            for platform in ("", f' model_platform: "{entry.model_platform}"')
            for policy in ("", f" model_version_policy {{ {_one_line(entry.model_version_policy)} }}")
            for new in (f'"{entry.base_path}"{platform}{policy}',)
        ]
    else:
        added = "".join(f"    {line}\n" for line in text_format.MessageToString(entry).splitlines())
        braces = [place for place, sign in enumerate(text) if sign == "}"][: -MOST_BRACES - 1 : -1]
        candidates = [f"{text[:place]}\n  config {{\n{added}  }}\n{text[place:]}" for place in braces]
    for candidate in candidates:
        try:
            if text_format.Parse(candidate, model_server_config_pb2.ModelServerConfig()) == wanted:
                return candidate
        except text_format.ParseError:
            continue
    return None
