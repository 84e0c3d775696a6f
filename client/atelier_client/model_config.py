"""The configuration of a server, TensorFlow Serving's ModelServerConfig, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from atelier_client._arguments import is_text, is_version, is_whole, shown
from atelier_client._files import read_bytes
from atelier_client.errors import DataError, InputError
from atelier_client.protos import serving_pb2 as pb


@dataclass(frozen=True)
class ServedModel:
    """One entry: a model's name, its folder on the server, which versions to serve, and labels for some of them.

    `versions` are served exactly; without them the `latest` highest are.
    """

    name: str
    base_path: str
    versions: Sequence[int] = ()
    latest: int = 1
    labels: Mapping[str, int] = field(default_factory=dict)


def reload_request(models: Sequence[ServedModel] | bytes) -> pb.ReloadConfigRequest:
    """A request that replaces the served models. Raises `InputError` for models that every server refuses."""
    request = pb.ReloadConfigRequest()
    if isinstance(models, bytes):
        try:
            request.config.MergeFromString(models)
        except DecodeError:
            raise InputError(
                "reload takes a list of ServedModel, or a serialized ModelServerConfig, which these bytes are not."
            ) from None
        return request
    if not isinstance(models, (list, tuple)) or not all(isinstance(model, ServedModel) for model in models):
        raise InputError(
            f"reload takes a list of ServedModel, such as [ServedModel('shoes', '/models/shoes')], not {shown(models)}."
        )
    # Set also when empty: an empty list is legal and unloads everything.
    request.config.model_config_list.SetInParent()
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"Model {name!r} is listed more than once; each may be listed once.")
    for model in models:
        _check(model)
        entry = request.config.model_config_list.config.add(
            name=model.name, base_path=model.base_path, model_platform="tensorflow"
        )
        if model.versions:
            entry.model_version_policy.specific.versions.extend(model.versions)
        else:
            entry.model_version_policy.latest.num_versions = model.latest
        for label, version in model.labels.items():
            entry.version_labels[label] = version
    return request


def _check(model: ServedModel) -> None:
    if not is_text(model.name):
        raise InputError(f"A model needs a name, which is a text, not {shown(model.name)}.")
    if not is_text(model.base_path):
        raise InputError(f"Model {model.name!r}: base_path is a text, not {shown(model.base_path)}.")
    if not isinstance(model.versions, (list, tuple, range)) or not all(map(is_version, model.versions)):
        raise InputError(
            f"Model {model.name!r}: versions are whole numbers from 0, not {shown(model.versions)}."
        )
    if not is_whole(model.latest) or model.latest >= 2**32:
        raise InputError(f"Model {model.name!r}: latest is a whole number, not {shown(model.latest)}.")
    labels = model.labels.items() if isinstance(model.labels, Mapping) else [(model.labels, None)]
    if not all(is_text(label) and is_version(version) for label, version in labels):
        raise InputError(
            f"Model {model.name!r}: labels are versions by name, such as {{'stable': 1}}, not {shown(model.labels)}."
        )
    if not model.base_path.startswith("/") and "://" not in model.base_path:
        raise InputError(
            f"Model {model.name!r}: base_path must be absolute on the server, or a URI; got {model.base_path!r}."
        )
    if model.latest < 1:
        raise InputError(f"Model {model.name!r}: latest must be 1 or more; got {model.latest}.")
    missing = sorted(set(model.labels.values()) - set(model.versions))
    if model.versions and missing:
        raise InputError(f"Model {model.name!r}: labels name versions that are not served: {missing}.")


def read_config(models: Path) -> pb.ModelServerConfig | None:
    """The models.config of a model repository, or None when there is none. Raises `DataError`."""
    # Not needed by a program that only sends requests, and it takes 10 ms.
    from google.protobuf import text_format

    path = models / "models.config"
    if not path.exists():
        return None
    config = pb.ModelServerConfig()
    try:
        text_format.Parse(read_bytes(path).decode(), config, allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} is not a ModelServerConfig text proto: {problem}.") from None
    return config
