"""The models that the console shows: those of models.config, and the one that the command line names."""

from __future__ import annotations

import threading

from atelier_client.model_config import read_config
from atelier_client.request_log import Recorder

from atelier_console.models.served_model import ServedModel
from atelier_console.problems import NotFound
from atelier_console.settings import Settings
from atelier_console.texts import say


class Catalog:
    """Models by name; models.config is read anew each time, a client is kept for each model."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models: dict[str, ServedModel] = {}
        self._lock = threading.Lock()
        # Every request is kept: they are asked by hand.
        self._recorder = Recorder(settings.record, rate=1.0) if settings.record else None

    def names(self) -> list[str]:
        """The models' names, sorted. Raises `DataError` for a damaged models.config."""
        config = read_config(self._settings.models)
        listed = {entry.name for entry in config.model_config_list.config} if config else set()
        return sorted(listed | ({self._settings.model} if self._settings.model else set()))

    def model(self, name: str | None) -> ServedModel:
        """A model, the first one when none is named. Raises `NotFound`."""
        names = self.names()
        if not names:
            raise NotFound(say("no_models", folder=self._settings.models))
        name = name or self._settings.model or names[0]
        if name not in names:
            raise NotFound(say("no_such_model", name=name, names=", ".join(names)))
        with self._lock:
            if name not in self._models:
                self._models[name] = ServedModel(self._settings, name, self._recorder)
            return self._models[name]

    def close(self) -> None:
        """Close the clients, then what records their requests."""
        with self._lock:
            for model in self._models.values():
                model.client.close()
            self._models.clear()
        if self._recorder:
            self._recorder.close()
