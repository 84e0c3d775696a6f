"""Whether a version's files are those that were published: the model card has the digest of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from atelier_client._model_card import card_path
from atelier_client.data.table import file_sha256
from atelier_client.doctor.published_files import changed_files
from atelier_client.errors import InputError
from atelier_client.release.replicas import Failed


def check_files(version: Path, say: Callable[[str], None]) -> None:
    """Raises `Failed` that names the first file which is missing or has other bytes; `InputError` without a version."""
    if not version.is_dir():
        raise InputError(
            f"{version} does not exist: that version was never published here, or has been removed."
        )
    if wrong := changed_files(version):
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise Failed(f"{version} is not as it was published: {wrong[0]}{more}. Publish it again.")
    if not card_path(version).is_file():
        say(f"warning: {version} has no model card, so its files cannot be compared with what was published.")


def card_digest(version: Path) -> str | None:
    """The SHA-256 of a version's model card, which holds those of all its files; None without one."""
    try:
        return file_sha256(card_path(version))
    except OSError:
        return None
