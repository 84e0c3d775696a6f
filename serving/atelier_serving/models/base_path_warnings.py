"""What is wrong with the base paths of the models, logged once and not at every poll."""

from __future__ import annotations

import logging
from collections.abc import Collection

from atelier_serving.models.settings import ModelSettings

_log = logging.getLogger(__name__)


class BasePathWarnings:
    """The warnings that have been logged and are still true."""

    def __init__(self) -> None:
        self._logged: dict[str, list[str]] = {}

    def keep(self, names: Collection[str]) -> None:
        """Forget the warnings of all other models."""
        self._logged = {name: self._logged.get(name, []) for name in names}

    def report(self, model: ModelSettings, found: Collection[int] | None, warnings: list[str]) -> None:
        """Log what is newly wrong: `found` are the versions on disk, `warnings` what `scan` has noticed."""
        if found is None:
            warnings.append(f"Could not find base path {model.base_path} for servable {model.name}")
        elif not found:
            warnings.append(
                f"No versions of servable {model.name} found under base path {model.base_path}. "
                "Did you forget to name your leaf directory as a number (eg. '/1/')?"
            )
        else:
            warnings += [
                f"Version {number} of servable {model.name}, which was requested to be served as a 'specific' version "
                "in the servable's version policy, was not found in the file system"
                for number in model.specific or ()
                if number not in found
            ]
        logged = self._logged.get(model.name, [])
        for text in warnings:
            if text not in logged:
                _log.warning(text)
        self._logged[model.name] = warnings
