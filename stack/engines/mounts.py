"""The host's files that a container can read, and the host's names for the paths in a container's messages.

A job's folder is mounted under /host with its whole path, so that `../table.csv` is the same file in the container.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack import files
from stack.errors import UsageError
from stack.jobs import JobFile, files_of
from stack.settings import container_user

HOST = "/host"
# The image's own folders and the volumes. No file of the host can be mounted there.
_OWN = ("/app", "/bin", "/dev", "/etc", "/lib", "/opt/venv", "/proc", "/sbin", "/sources", "/sys", "/usr")
TAKEN = (*_OWN, "/data", "/models", "/reports", "/runs")


class Mounts:
    """Folders and files of the host that a container gets to read, each under a path of its own."""

    def __init__(self) -> None:
        self._outside: dict[str, str] = {}

    def show(self, outside: Path, inside: str) -> None:
        """Let the container read `outside` as `inside`. Raises `UsageError` when its user could not."""
        for path in (str(outside), inside):
            if ":" in path:
                raise UsageError(f"{path}: a container cannot be given a path with a colon; rename it.")
        _require_readable(outside)
        self._outside[inside] = str(outside)

    def show_job(self, job: JobFile) -> str:
        """Let the container read a job's folder and every file outside of it that the job names; return its path."""
        folder = job.path.parent
        self.show(folder, f"{HOST}{folder}")
        for value, found in files_of(job):
            absolute = os.path.isabs(value)
            if any(character in value for character in "*?["):
                # A pattern can match thousands of files: their folder is mounted instead.
                self._show_named(found.parent, absolute, job)
            if found.is_symlink() or not self._is_shown(found, absolute):
                self._show_named(found, absolute, job)
        return f"{HOST}{job.path}"

    def options(self) -> list[str]:
        """The `-v` options of `docker run` and `docker compose run`."""
        return [
            word for inside, outside in self._outside.items() for word in ("-v", f"{outside}:{inside}:ro")
        ]

    def _show_named(self, path: Path, absolute: bool, job: JobFile) -> None:
        """Let the container read one path that a job names, by the name that the job gives it."""
        path = Path(os.path.normpath(path))
        inside = _inside(path, absolute)
        if absolute and (inside == "/" or any(f"{inside}/".startswith(f"{taken}/") for taken in TAKEN)):
            raise UsageError(
                f"JOB={job.name} names {path}, and in the trainer's container that place is the container's own. "
                f"Write the path as it is seen from {job.path.parent}, such as "
                f"{os.path.relpath(path, job.path.parent)}, or use ENGINE=local."
            )
        if path.resolve() != path or not self._is_shown(path, absolute):
            self.show(path.resolve(), inside)

    def _is_shown(self, path: Path, absolute: bool) -> bool:
        """True when a mounted folder holds the path already."""
        inside = Path(_inside(Path(os.path.normpath(path)), absolute))
        return any(inside.is_relative_to(shown) for shown in self._outside)


class HostNames:
    """Replaces the paths in a container's messages by the host's names for them."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = {**names, HOST: ""}
        paths = "|".join(re.escape(path) for path in sorted(self._names, key=len, reverse=True))
        self._path = re.compile(rf"(?<![\w./~-])({paths})(?=[/\s'\":;,.)\]]|$)")

    def __call__(self, text: str) -> str:
        """The text with the host's names."""
        return self._path.sub(lambda found: self._names[found[1]], text)


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Let the container's user write there; what it made then belongs to the caller, all else to whom it did."""
    files.make_folder(folder)
    caller = (os.getuid(), os.getgid())
    if caller[0]:
        yield
        return
    folder = folder.resolve()
    owners = {path: (path.lstat().st_uid, path.lstat().st_gid) for path in (folder, *folder.rglob("*"))}
    for path in owners:
        # A link's own owner: what it points to may be anybody's.
        os.chown(path, *container_user(), follow_symlinks=False)
    try:
        yield
    finally:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, *owners.get(path, caller), follow_symlinks=False)


def _inside(path: Path, absolute: bool) -> str:
    """Where the container looks for a path that a job names."""
    return str(path) if absolute else f"{HOST}{path}"


def _require_readable(path: Path) -> None:
    """Raise `UsageError` when the container's user cannot read the path. The user is another one only for root."""
    if os.getuid():
        return
    status = path.stat()
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else 0)
    uid, gid = container_user()
    if status.st_uid != uid and status.st_gid != gid and status.st_mode & needed != needed:
        rights = "o+rx" if stat.S_ISDIR(status.st_mode) else "o+r"
        raise UsageError(
            f"{path} cannot be read by the container's user ({uid}, because you are root): chmod {rights} {path}"
        )
