"""A served model: its client, the versions that are asked, and what the model repository knows of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from atelier_client import Client, Retry, Signature
from atelier_client._layout import UNKNOWN, Layout
from atelier_client._model_card import ModelCard, read_card, read_golden
from atelier_client.errors import InputError, InvalidRequest, ModelNotFound, ServerError
from atelier_client.release.repository import Repository
from atelier_client.request_log import Recorder
from atelier_client.signature import choose

from atelier_console.inputs.examples import Example, read_examples
from atelier_console.inputs.reference import Reference
from atelier_console.settings import Settings

# Somebody waits at the page: what does not answer soon is said to be away.
_TIMEOUT = 10.0
_RETRY = Retry(attempts=2)
DEFAULT_SIGNATURE = "serving_default"
STABLE, CANARY = "stable", "canary"

Kind = Literal["image", "text", "table", "json"]


@dataclass(frozen=True)
class Asked:
    """A version that answers a try. `label` is None for the newest version of a model without labels."""

    label: str | None
    version: int


class ServedModel:
    """One model. Thread-safe: the client is, and what is kept of a version never changes."""

    def __init__(self, settings: Settings, name: str, recorder: Recorder | None) -> None:
        self.name = name
        self.folder = settings.models / name
        self.client = Client(
            settings.target,
            name,
            timeout=_TIMEOUT,
            retry=_RETRY,
            token=settings.server_token,
            recorder=recorder,
        )
        self._data = settings.data
        self._references: dict[int, Reference] = {}
        self._examples: dict[int, list[Example]] = {}

    def asked(self) -> list[Asked]:
        """`stable`, or the newest version where no version is called so, then `canary`. Raises `ServerError`."""
        try:
            first = Asked(STABLE, self.client.version_of(STABLE))
        except InvalidRequest:
            first = Asked(None, self.client.newest_available())
        try:
            return [first, Asked(CANARY, self.client.version_of(CANARY))]
        except (InvalidRequest, ModelNotFound):
            # There is none, or it is not loaded yet.
            return [first]

    def on_disk(self) -> int:
        """What `asked` would say first, by the model repository alone. Raises `InputError` without any version."""
        repository = Repository(self.folder.parent, self.name)
        return repository.served().labels.get(STABLE) or max(repository.versions())

    def signatures(self, version: int) -> Mapping[str, Signature]:
        """The signatures of a version by name. Raises `ServerError`."""
        return self.client.metadata(version=version)

    def signature(self, version: int) -> Signature:
        """The signature that pictures, texts and rows are given to. Raises `ServerError` and `InputError`."""
        return choose(self.signatures(version), DEFAULT_SIGNATURE)

    def version_folder(self, version: int) -> Path:
        """Where the model repository has a version."""
        return self.folder / str(version)

    def card(self, version: int) -> ModelCard | None:
        """The card of a version; None when there is none to read. Raises `DataError` for a damaged one."""
        return read_card(self.version_folder(version))

    def layout(self, version: int) -> Layout:
        """What the card says of the user's files."""
        card = self.card(version)
        return card.layout if card else UNKNOWN

    def reference(self, version: int) -> Reference:
        """What pictures the version knows, by its golden examples. Raises `DataError` for a damaged file."""
        if version not in self._references:
            golden = read_golden(self.version_folder(version))
            self._references[version] = Reference.of(golden.inputs if golden else {})
        return self._references[version]

    def examples(self, version: int) -> list[Example]:
        """Ten test examples; none without a card. Raises `DataError` when the card's file cannot be read."""
        card = self.card(version)
        if card is None:
            return []
        if version not in self._examples:
            self._examples[version] = read_examples(self._data, card, self.signature(version))
        return self._examples[version]

    def kind(self, version: int) -> Kind:
        """What the version takes: as its card says, or as its signature looks; `json` for anything else."""
        card = self.card(version)
        if card is not None and card.layout.kind is not None:
            return card.layout.kind
        try:
            signature = self.signature(version)
        except (ServerError, InputError):
            return "json"
        return kind_of(signature)


def kind_of(signature: Signature) -> Kind:
    """What a model without a card takes: pixels, one text a row, or something that only JSON can write."""
    if len(signature.required) != 1:
        return "json"
    info = signature.required[0]
    shape = info.shape or ()
    if info.dtype == "uint8" and len(shape) in (3, 4) and shape[0] == -1 and min(shape[1:3]) > 1:
        return "image"
    if info.dtype == "string" and shape == (-1,) and not signature.method.endswith(("classify", "regress")):
        return "text"
    return "json"
