"""Whether one configuration may follow another.

Texts: model_servers/server_core.cc at 2.20.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from atelier_serving.models.settings import PLATFORM, ModelSettings
from atelier_serving.status import Code, ServingError, invalid

Models = Mapping[str, ModelSettings]


def check_transition(
    current: Models, wanted: Models, available: Callable[[str, int], bool], labels_for_unavailable: bool
) -> None:
    """Raises `ServingError` as `Manager.configure` does. `available` says whether a version of a model is AVAILABLE.

    With `labels_for_unavailable` a new label may be of any version; an existing one may move only to an AVAILABLE one.
    """
    _check_platform_changes(current, wanted)
    _check_labels(current, wanted, available, labels_for_unavailable)
    for model in wanted.values():
        if model.platform != PLATFORM:
            raise invalid(f"Model {model.name} requests unsupported platform {model.platform}")


def _check_platform_changes(current: Models, wanted: Models) -> None:
    for name, model in wanted.items():
        old = current.get(name)
        if old is not None and old.platform != model.platform:
            raise invalid(
                f"Illegal to change a model's platform. For model {name} platform was {old.platform} "
                f"and new platform requested is {model.platform}"
            )


def _check_labels(
    current: Models, wanted: Models, available: Callable[[str, int], bool], labels_for_unavailable: bool
) -> None:
    for model in wanted.values():
        old = current[model.name].labels if model.name in current else {}
        for label, number in model.labels.items():
            exempt = labels_for_unavailable and old.get(label, number) == number
            if not exempt and not available(model.name, number):
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {model.name}, "
                    "which is not currently available for inference",
                )
