"""Old versions are deleted: never one that is listed, labelled or still loaded, and each in one step."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable

from atelier_client.errors import ServerError
from atelier_client.release.durable_files import locked, sync
from atelier_client.release.journal import Journal
from atelier_client.release.replicas import Replicas
from atelier_client.release.repository import Repository
from atelier_client.release.signature import signature_path

_RETIRED = ".retired-"


def retire(repository: Repository, replicas: Replicas, keep: int, say: Callable[[str], None]) -> list[int]:
    """Delete all versions but the `keep` newest and those in use; return the deleted. Raises `OSError`.

    A version is renamed away first, so no reader ever sees a part of it. The caller holds the release lock.
    """
    journal = Journal(repository)
    with locked(repository.folder / ".publish.lock"):
        for left in repository.folder.glob(f"{_RETIRED}*"):
            # Its command was killed while it deleted.
            shutil.rmtree(left, ignore_errors=True)
    old = repository.versions()[:-keep]
    served = repository.served()
    if served.versions is None or not old:
        return []
    try:
        in_use = served.versions | set(served.labels.values()) | replicas.loaded()
    except ServerError as error:
        say(f"warning: no version was deleted, because not every server says what it has loaded: {error}")
        return []
    retired = []
    for version in old:
        if version in in_use:
            continue
        gone = repository.folder / f"{_RETIRED}{version}-{uuid.uuid4().hex}"
        journal.write("retired", served.stable, version, reason=f"Older than the {keep} newest versions.")
        with locked(repository.folder / ".publish.lock"):
            repository.version_folder(version).rename(gone)
            signature_path(repository.version_folder(version)).unlink(missing_ok=True)
            sync(repository.folder)
        shutil.rmtree(gone)
        retired.append(version)
    return retired
