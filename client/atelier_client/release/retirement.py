"""Old versions are deleted: never one that is listed, labelled or still loaded, and each in one step."""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from atelier_client.errors import ServerError
from atelier_client.release.durable_files import locked, sync
from atelier_client.release.journal import Journal
from atelier_client.release.replicas import Replicas
from atelier_client.release.repository import Interfered, Repository
from atelier_client.release.served_versions import ServedVersions
from atelier_client.release.signature import signature_path

_RETIRED = ".retired-"
# A version that was dropped just now is unloaded when its requests are answered.
_UNLOAD_SECONDS = 15.0
_PAUSE = 0.05


def retire(repository: Repository, replicas: Replicas, keep: int, say: Callable[[str], None]) -> list[int]:
    """Delete all versions but the `keep` newest and those in use; return the deleted. Raises `OSError`.

    A version is renamed away first, so no reader ever sees a part of it. The caller holds the release lock.
    """
    with locked(repository.folder / ".publish.lock"):
        for left in repository.folder.glob(f"{_RETIRED}*"):
            # Its command was killed while it deleted.
            shutil.rmtree(left, ignore_errors=True)
    old = repository.versions()[:-keep]
    idle = set(old) - _listed(repository.served(), old)
    try:
        loaded = _still_loaded(idle, replicas) if idle else set()
    except ServerError as error:
        say(f"warning: no version was deleted, because not every server says what it has loaded: {error}")
        return []
    if loaded:
        say(f"warning: a server still has version {', '.join(map(str, sorted(loaded)))}; it is not deleted.")
    retired = []
    for version in sorted(idle - loaded):
        gone = repository.folder / f"{_RETIRED}{version}-{uuid.uuid4().hex}"
        with contextlib.suppress(Interfered):
            repository.update(_require_idle(version), _move_away(repository, version, gone, keep))
            shutil.rmtree(gone)
            retired.append(version)
    return retired


def _listed(served: ServedVersions, old: Iterable[int]) -> set[int]:
    """The versions that models.config lists; all of them where it says "the newest"."""
    return set(old) if served.versions is None else set(served.versions) | set(served.labels.values())


def _still_loaded(versions: set[int], replicas: Replicas) -> set[int]:
    """Those that some server has not unloaded, after a while in which it could. Raises `ServerError`."""
    deadline = time.monotonic() + _UNLOAD_SECONDS
    while (loaded := versions & replicas.loaded()) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    return loaded


def _require_idle(version: int) -> Callable[[ServedVersions], ServedVersions]:
    """Change nothing. Raises `Interfered` when somebody has listed the version, as a rollback does."""

    def decide(found: ServedVersions) -> ServedVersions:
        if version in _listed(found, [version]):
            raise Interfered(f"version {version} is in use again.")
        return found

    return decide


def _move_away(repository: Repository, version: int, gone: Path, keep: int) -> Callable[[], None]:
    """Rename the version, so that nobody can list it; called with the lock of models.config held."""

    def move() -> None:
        reason = f"Older than the {keep} newest versions."
        Journal(repository).write("retired", repository.served().stable, version, reason=reason)
        with locked(repository.folder / ".publish.lock"):
            repository.version_folder(version).rename(gone)
            signature_path(repository.version_folder(version)).unlink(missing_ok=True)
            sync(repository.folder)

    return move
