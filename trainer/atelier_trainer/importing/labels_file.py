"""The classes of an imported model, in the order of its output's values: a text file, one a line, or a JSON list."""

from __future__ import annotations

import json
from pathlib import Path

from atelier_trainer.errors import ImportRefused
from atelier_trainer.files import read_text
from atelier_trainer.label_key import same_label


def read_names(path: Path) -> tuple[str, ...]:
    """Raises `ImportRefused` for a file that holds none, an empty one, or one twice."""
    try:
        text = read_text(path).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{path} is no UTF-8 text: {error}.") from None
    except FileNotFoundError:
        raise ImportRefused(
            f"{path} does not exist; expected a text file with a class a line, or a JSON list."
        ) from None
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error.strerror or error}.") from None
    lines = text.splitlines()
    if text.lstrip().startswith(("[", "{")):
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ImportRefused(f"{path} is no JSON: {error}; expected a list of names.") from None
        if not isinstance(given, list) or not all(type(name) in (str, int) for name in given):
            raise ImportRefused(f"{path}: expected a JSON list of names, in the order of the model's output.")
        lines = [str(name) for name in given]
    while lines and not lines[-1].strip():
        lines.pop()
    names = tuple(line.strip() for line in lines)
    if len(names) < 2:
        raise ImportRefused(
            f"{path} names {len(names)} class{'es' * (not names)}; expected two or more, one a line."
        )
    if "" in names:
        raise ImportRefused(f"{path}, line {names.index('') + 1}: the line is empty, and each is a class.")
    if twice := same_label(names):
        raise ImportRefused(
            f"{path}: {' and '.join(dict.fromkeys(twice))} is there twice, and each line is a class of its own."
        )
    return names
