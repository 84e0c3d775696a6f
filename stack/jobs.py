"""Job and study files as the host sees them: found before anything is set up, with the files that they name.

The stack uses the standard library only, which has no YAML parser. So it looks for values that name files, and for one
key. Only the trainer knows what a job means.
"""

from __future__ import annotations

import difflib
import glob
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.errors import UsageError

# A value: what follows `key:`, `- `, `[`, `{` or `,`, or begins a line, quoted or plain. A plain one is matched without
# being consumed, because it may be a key that is followed by its own value.
_VALUE = re.compile(
    r"""(?:(?<=:)|(?<=\[)|(?<=,)|(?<=\{)|^[ \t]*-?)[ \t]*(?:[&!]\S*[ \t]+)*"""
    r"""(?:"([^"\n]*)"|'([^'\n]*)'|(?=([^\s"'\[\]{},#*|>-][^\n]*)))""",
    re.MULTILINE,
)
_MODEL = re.compile(
    r"""^\s*(?:\{.*?)?["']?\bmodel["']?\s*:\s*["']?([A-Za-z0-9][A-Za-z0-9_.-]*)""", re.MULTILINE
)
# A file of a job's data, where it stands on the line of its key, quoted or plain; other ways are the trainer's to read.
_DATA_FILE = re.compile(
    r"""(^|[{,])[ \t]*["']?(csv|npz|idx|tfrecord|test|validation)["']?[ \t]*:[ \t]+"""
    r"""(?:"([^"\\\n]+)"|'([^'\n]+)'|(?!null\b)(?=([^\s"'\[\]{},#&*!|>~][^\n]*)))""",
    re.MULTILINE,
)
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class JobFile:
    """A job or a study: the name it was asked for by, and its file. `shipped` when it was asked for by name alone.

    `key` is the same for every way to name it: a shipped job's name, or the whole path.
    """

    name: str
    path: Path
    shipped: bool
    key: str

    @property
    def text(self) -> str:
        """What the file holds. Raises `UsageError` when it cannot be read."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise UsageError(f"JOB={self.name}: {self.path} cannot be read: {error.strerror}.") from None

    @property
    def model(self) -> str | None:
        """The name the job publishes its model under, or None when the file does not show it."""
        found = _MODEL.search(self.text)
        return found.group(1) if found else None

    @property
    def setting(self) -> str:
        """How it was asked for, for messages."""
        return f"JOB={self.name}"

    @property
    def words(self) -> list[str]:
        """The setting, as it was given."""
        return [self.setting]

    @property
    def step(self) -> str:
        """What `make up` does with it first."""
        return f"Train {self.name}"

    def seen(self) -> list[Path]:
        """The files that it names, and what lies in those that are folders: a file that changes there does not change
        its folder."""
        found = [path for _, path in files_of(self)]
        return found + [entry for path in found if path.is_dir() for entry in sorted(path.iterdir())]


def find_job(root: Path, name: str) -> JobFile:
    """The job of a name or path. Raises `UsageError` with the nearest name."""
    return _find(root, name, "job", "study")


def find_study(root: Path, name: str) -> JobFile:
    """The study of a name or path. Raises `UsageError` with the nearest name."""
    return _find(root, name, "study", "job")


def require_data(job: JobFile) -> None:
    """Raises `UsageError` for a file of the job's data that is not there: training would find it after the set-up."""
    folder = job.path.parent
    for flow, key, *quoted, plain in _DATA_FILE.findall(re.sub(r"(?m)(^|\s)#.*", "", job.text)):
        values = [value for value in quoted if value] or list(_plain(plain))
        if any(_matches(folder, value) for value in values):
            continue
        wanted = Path(os.path.normpath(folder / values[-1 if flow else 0]))
        beside = os.listdir(wanted.parent) if wanted.parent.is_dir() else []
        near = difflib.get_close_matches(wanted.name, beside, n=1)
        raise UsageError(
            f"JOB={job.name}: data.{key}: {wanted} does not exist. Paths in a job start from its folder."
            + (f" Did you mean {near[0]}?" if near else "")
        )


def files_of(job: JobFile) -> list[tuple[str, Path]]:
    """The files a job or study names: each value with a path on this host that it stands for.

    Relative values start from the job file's real folder. A pattern stands for each file that it matches; a job that a
    study names brings its own files.
    """
    return list(_files(job, set()))


def _find(root: Path, name: str, kind: str, other: str) -> JobFile:
    folder = _shipped(root, kind)
    others = _shipped(root, other)
    for path in (root / name, folder.parent / name):
        if path.is_file():
            real = path.resolve()
            key = real.stem if real.parent == folder else str(real)
            return JobFile(name, real, shipped=False, key=key)
    if (path := folder / f"{name}.yaml").is_file():
        return JobFile(name, path.resolve(), shipped=True, key=name)
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if (root / name).is_dir():
        raise UsageError(f"JOB={name} is a folder; expected a YAML file or one of: {', '.join(known)}.")
    if (others / f"{name}.yaml").is_file():
        command = "make study" if other == "study" else "make up"
        raise UsageError(f"JOB={name} is a {other}, not a {kind}: {command} JOB={name}.")
    if len(words := name.split()) > 1 and all(word in known for word in words):
        raise UsageError(f"JOB={name}: expected one {kind} at a time.")
    near = difflib.get_close_matches(Path(name).stem, known, n=1)
    if not near and Path(name).parent != Path():
        beside = [
            str(path.relative_to(root / Path(name).parent)) for path in (root / name).parent.glob("*.y*ml")
        ]
        near = [
            str(Path(name).parent / word) for word in difflib.get_close_matches(Path(name).name, beside, n=1)
        ]
    raise UsageError(
        f"JOB={name}: there is no such {kind}; expected a YAML file or one of: {', '.join(known)}."
        + (f" Did you mean {near[0]}?" if near else "")
    )


def _shipped(root: Path, kind: str) -> Path:
    return root / "trainer" / ("jobs" if kind == "job" else "studies")


def _files(job: JobFile, seen: set[Path]) -> Iterator[tuple[str, Path]]:
    seen.add(job.path)
    folder = job.path.parent
    for value in _values(job.text):
        for match in _matches(folder, value):
            yield value, match
            if match.suffix in (".yaml", ".yml") and match.resolve() not in seen:
                yield from _files(JobFile(value, match.resolve(), shipped=False, key=value), seen)


def _values(text: str) -> Iterator[str]:
    for quoted, single, plain in _VALUE.findall(text):
        if quoted or single:
            yield from dict.fromkeys((quoted or single, _unescaped(quoted or single)))
        elif plain:
            yield from _plain(re.sub(r"\s+#.*", "", plain))


def _plain(text: str) -> Iterator[str]:
    """What a plain value may be: in a flow mapping or list it ends at the comma or bracket, in a block it has them."""
    line = text.strip()
    yield from dict.fromkeys((line, re.split(r"[,\]}]", line)[0].strip()))


def _unescaped(text: str) -> str:
    """A text in double quotes as JSON and YAML read it: programs write `\\u00e9` for an accent."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _matches(folder: Path, value: str) -> list[Path]:
    """The paths that a value stands for; their `..` are kept as they were written."""
    if not value.strip("/"):
        # A separator or a sign for missing values; nobody trains on all files of the machine.
        return []
    try:
        if _WILDCARD.search(value):
            return [Path(path) for path in sorted(glob.glob(os.path.join(glob.escape(str(folder)), value)))]
        path = Path(os.path.join(folder, value))
        return [path] if path.exists() else []
    except (OSError, ValueError):
        # Too long for a name, or with a zero byte: no file.
        return []
