"""Reads a YAML file of settings as plain data, and refuses what would hide a mistake or exhaust the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from atelier_client._files import read_bytes
from atelier_client.errors import SettingsError

_MOST_BYTES = 1 << 16
_MOST_VALUES = 10_000
_DEEPEST = 20


def read_yaml(path: Path) -> Any:
    """The document of a file in UTF-8; None for an empty one.

    Raises `SettingsError` with the line, and `DataError` when something else than a file has the name.
    """
    try:
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise SettingsError(
                f"{path}: expected at most {_MOST_BYTES:,} bytes, got {path.stat().st_size:,}."
            )
        text = read_bytes(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist.") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: expected UTF-8, but byte {error.start + 1} is none.") from None
    return _parse(path, text)


def _parse(path: Path, text: str) -> Any:
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else _Values(path, loader).of(node, 0)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        reason = " ".join(filter(None, (error.context, error.problem)))
        raise SettingsError(f"{path}: {place}no YAML: {reason}.") from None
    except yaml.reader.ReaderError as error:
        raise SettingsError(f"{path}: no YAML: character {error.position + 1} is not allowed.") from None
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{path}: no YAML: {error}.") from None
    except RecursionError:
        raise SettingsError(f"{path}: its values are nested too deeply.") from None


class _Values:
    """Makes plain data of YAML's nodes: they know lines and repeated keys, of which dictionaries know nothing."""

    def __init__(self, path: Path, loader: Any) -> None:
        self._path = path
        self._loader = loader
        self._count = 0

    def of(self, node: Any, depth: int) -> Any:
        import yaml

        # Aliases are followed here: ten lines of them can stand for millions of values, or for themselves.
        self._count += 1
        if self._count > _MOST_VALUES:
            raise self._wrong(node, f"expected at most {_MOST_VALUES:,} values, aliases unfolded")
        if depth > _DEEPEST:
            raise self._wrong(node, f"expected at most {_DEEPEST} levels")
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.of(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, depth)
        if isinstance(node, yaml.ScalarNode):
            return self._loader.construct_object(node)
        raise self._wrong(node, f"expected a mapping, a list or a value, got the tag {node.tag}")

    def _mapping(self, node: Any, depth: int) -> dict[str, Any]:
        import yaml

        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # A key is the text that is written, whatever it would be as a value: `yes`, 3, 2026-11-30.
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._wrong(key_node, "expected a text as the key")
            key = str(key_node.value)
            if key in values:
                raise self._wrong(key_node, f"the key {key!r} stands there twice")
            values[key] = self.of(value_node, depth + 1)
        return values

    def _wrong(self, node: Any, reason: str) -> SettingsError:
        return SettingsError(f"{self._path}: line {node.start_mark.line + 1}: {reason}.")
