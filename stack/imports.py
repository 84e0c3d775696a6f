"""A model that `make up MODEL=path` imports, with its examples and classes, found before anything is set up."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.errors import UsageError

_KEY = "MODEL="
# What may be told of the model beside its files: the setting, and the option of `atelier-trainer import`.
_OPTIONS = {"LABEL_COLUMN": "--label-column", "OUTPUT": "--output", "TASK": "--task"}
_FILES = {"EXAMPLES": "--examples", "LABELS": "--labels"}
NAMES = ("MODEL", "NAME", *_FILES, *_OPTIONS)
# What models are called: a folder and a part of URLs.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SUFFIX = re.compile(r"(?i)\.(keras|h5|hdf5)$")


@dataclass(frozen=True)
class Import:
    """`given` is MODEL as it was written, `path` and `files` (by the trainer's option) are whole paths on the host.

    `options` are those of the trainer, `settings` all that was given."""

    given: str
    path: Path
    model: str
    files: Mapping[str, Path]
    options: Mapping[str, str]
    settings: Mapping[str, str]

    @property
    def key(self) -> str:
        """The same for every way to write the path."""
        return f"{_KEY}{self.path}"

    @property
    def setting(self) -> str:
        """How it was asked for, for messages."""
        return f"{_KEY}{self.given}"

    @property
    def words(self) -> list[str]:
        """All settings of the import, as they were given."""
        return [f"{name}={value}" for name, value in self.settings.items()]

    @property
    def step(self) -> str:
        """What `make up` does with it first."""
        return f"Import {self.given}"

    @property
    def text(self) -> str:
        """What was said of it beside its files."""
        return json.dumps([self.model, list(self.files), dict(self.options)])

    def seen(self) -> list[Path]:
        """Its files, and what lies in those that are folders, whatever the depth."""
        found = [self.path, *self.files.values()]
        inside = (path for folder in found if folder.is_dir() for path in sorted(folder.rglob("*")))
        return [*found, *inside]


def find_import(root: Path, settings: Mapping[str, str]) -> Import | None:
    """What MODEL and the settings beside it name; None without MODEL. Raises `UsageError`."""
    given = settings.get("MODEL", "")
    if not given:
        lonely = [name for name in (*_FILES, *_OPTIONS) if settings.get(name)]
        if lonely:
            raise UsageError(f"{lonely[0]}={settings[lonely[0]]} belongs to a model: MODEL=path names it.")
        return None
    path = _found(root, "MODEL", given)
    name = settings.get("NAME") or _SUFFIX.sub("", path.name)
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"NAME={name}: expected a letter or digit, then letters, digits, _ . or -; it is what "
            "the model is served as (NAME=name)."
        )
    files = {
        option: _found(root, setting, settings[setting])
        for setting, option in _FILES.items()
        if settings.get(setting)
    }
    options = {option: settings[setting] for setting, option in _OPTIONS.items() if settings.get(setting)}
    return Import(given, path, name, files, options, settings)


def setting_of(key: str) -> str:
    """The setting by which `make up` made a model, from the key of its job or import."""
    return key if key.startswith(_KEY) else f"JOB={key}"


def _found(root: Path, setting: str, given: str) -> Path:
    """The whole path of a setting's value, which starts from the checkout. Raises `UsageError` with a near name."""
    path = root / Path(given).expanduser()
    if path.exists():
        return path.resolve()
    beside = os.listdir(path.parent) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    raise UsageError(
        f"{setting}={given}: {path} does not exist."
        + (f" Did you mean {path.parent / near[0]}?" if near else "")
    )
