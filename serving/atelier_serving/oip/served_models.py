"""The models by the protocol's names: a version is a number or a label, and an empty one is the newest that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import atelier_serving
from atelier_serving.inference.predict import DEFAULT_SIGNATURE
from atelier_serving.models.cluster_view import ClusterView
from atelier_serving.models.manager import Manager
from atelier_serving.models.servable import Servable
from atelier_serving.models.version import VersionState
from atelier_serving.oip.signature import TensorForm, listed, signature_of
from atelier_serving.status import Code, ServingError, invalid

SERVER = "atelier-serving"
VERSION = atelier_serving.__version__
EXTENSIONS = ("binary_tensor_data",)
# The protocol's name for TensorFlow's SavedModels ("Platforms").
PLATFORM = "tensorflow_savedmodel"
_DIGITS = 19


@dataclass(frozen=True)
class ModelMetadata:
    """What is told of a model: versions that answer, highest first, and the tensors of `serving_default`."""

    name: str
    versions: list[str]
    inputs: list[TensorForm]
    outputs: list[TensorForm]


class ServedModels:
    """What the protocol asks of the models. Thread-safe."""

    def __init__(self, manager: Manager, cluster: ClusterView, ready: Callable[[], bool]) -> None:
        """`ready` says whether every configured model has a version that answers.

        `cluster` gives the states of versions in all processes; it is the manager itself when there is only one.
        """
        self._manager = manager
        self._cluster = cluster
        self.ready = ready

    @contextmanager
    def use(self, name: str, version: str) -> Iterator[tuple[Servable, int]]:
        """The servable of a model, kept loaded in the `with` block, and the number of its version.

        Raises `ServingError`: NOT_FOUND for a name, version or label that is not known, UNAVAILABLE for a version that
        is being loaded, and for a model that has none.
        """
        if not name:
            raise invalid("The request names no model.")
        number, label = _choice(version)
        with ExitStack() as held:
            try:
                chosen = held.enter_context(self._manager.use(name, number, label))
            except ServingError:
                raise self._why_not(name, number, label) from None
            yield chosen

    def metadata(self, name: str, version: str) -> ModelMetadata:
        """What is told of one version, which alone is listed then, or of the newest, with all that answer.

        Raises `ServingError` as `use`.
        """
        with self.use(name, version) as (servable, number):
            if DEFAULT_SIGNATURE not in servable.signatures:
                inputs, outputs = [], []
            else:
                form = signature_of(servable, DEFAULT_SIGNATURE)
                inputs, outputs = list(form.inputs.values()), list(form.outputs.values())
        # While a swap is under way, there may be no version that answers everywhere.
        versions = [] if version else self._available(name)
        return ModelMetadata(name, list(map(str, versions or [number])), inputs, outputs)

    def check_ready(self, name: str, version: str) -> None:
        """Raises `ServingError` as `use`; also for a version that other processes do not answer with yet.

        A client that has waited for a version may get its next connection from any of them.
        """
        with self.use(name, version) as (_, number):
            pass
        if version and number not in self._available(name):
            raise _loading(name, number)

    def _available(self, name: str) -> list[int]:
        """The versions that answer in every process, highest first."""
        return [item.number for item in self._cluster.versions(name) if item.state == VersionState.AVAILABLE]

    def _why_not(self, name: str, number: int | None, label: str | None) -> ServingError:
        """Why there is no such servable."""
        models = {model.name: model for model in self._manager.settings() or ()}
        if name not in models:
            return ServingError(Code.NOT_FOUND, f'There is no model "{name}".')
        if label is not None:
            labels = models[name].labels
            if label not in labels:
                text = (
                    f'The model "{name}" has no version or label "{label}": its labels are {listed(labels)}.'
                )
                return ServingError(Code.NOT_FOUND, text)
            number = labels[label]
        states = {version.number: version.state for version in self._manager.versions(name)}
        if number is None:
            return ServingError(Code.UNAVAILABLE, f'The model "{name}" has no version that answers.')
        if states.get(number, VersionState.END) < VersionState.AVAILABLE:
            return _loading(name, number)
        return ServingError(Code.NOT_FOUND, f'The model "{name}" has no version {number} that answers.')


def _loading(name: str, number: int) -> ServingError:
    return ServingError(Code.UNAVAILABLE, f'Version {number} of the model "{name}" is being loaded.')


def _choice(version: str) -> tuple[int | None, str | None]:
    """The number or the label of a version."""
    if not version:
        return None, None
    if version.isascii() and version.isdigit() and len(version) <= _DIGITS:
        return int(version), None
    return None, version
