"""The question of a task."""

from __future__ import annotations

from collections.abc import Callable

from atelier_client._layout import Task
from atelier_client.client import Client
from atelier_client.data.table import Reader
from atelier_client.evaluation.classification.question import Classification
from atelier_client.evaluation.multi_label.question import MultiLabel
from atelier_client.evaluation.question import Question
from atelier_client.evaluation.regression.question import Regression
from atelier_client.evaluation.settings import Settings

_KINDS: dict[Task, type[Question]] = {
    "classification": Classification,
    "regression": Regression,
    "multi_label": MultiLabel,
}


def ask(client: Client, reader: Reader, settings: Settings, say: Callable[[str], None]) -> Question:
    """What the settings' version is asked about the examples of `reader`. Raises `ClientError`."""
    return _KINDS[settings.task](client, reader, settings, say)
