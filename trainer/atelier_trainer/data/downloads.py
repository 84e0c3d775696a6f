"""Where data sets come from: a local folder, the publisher, Debian's signed archive."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import subprocess
import sys
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

from atelier_trainer.files import disk_is_full

PUBLISHER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
TIMEOUT_SECONDS = 30.0
APT_SECONDS = 600.0
_CHUNK = 1 << 20

Admit = Callable[[str, Path], None]


class SourceFailed(Exception):
    """A source could not provide a file; the message is the reason."""


class Source(Protocol):
    """A place to get files from, by their uncompressed names."""

    title: str

    def fetch(self, names: Sequence[str], work: Path, admit: Admit) -> None:
        """Write each file, uncompressed, under `work` and hand it to `admit`. Raises `SourceFailed`."""


def default_sources() -> list[Source]:
    """The sources in their order: ATELIER_FASHION_MNIST when set, the publisher, Debian."""
    local = os.environ.get("ATELIER_FASHION_MNIST")
    return [*([Folder(Path(local))] if local else []), Publisher(PUBLISHER, TIMEOUT_SECONDS), DebianPackage()]


class Folder:
    """A folder holding the files, gzipped or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.title = f"the folder {folder}"

    def fetch(self, names: Sequence[str], work: Path, admit: Admit) -> None:
        for name in names:
            packed = self.folder / f"{name}.gz"
            plain = self.folder / name
            if packed.exists():
                unzip(packed, work / name)
            elif plain.exists():
                _copy(plain, work / name)
            else:
                raise SourceFailed(f"neither {packed.name} nor {name} is there")
            admit(name, work / name)


class Publisher:
    """Zalando's own copy, over plain HTTP. Each file's digest is checked, so the transport need not be secure."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url
        self.timeout = timeout
        self.title = f"the publisher ({url})"

    def fetch(self, names: Sequence[str], work: Path, admit: Admit) -> None:
        for name in names:
            packed = work / f"{name}.gz"
            download(f"{self.url}/{name}.gz", packed, self.timeout)
            unzip(packed, work / name)
            admit(name, work / name)


class DebianPackage:
    """The package `dataset-fashion-mnist`: fetched and unpacked without root, its signature checked by apt."""

    title = f"Debian's archive (package {DEBIAN_PACKAGE})"

    def fetch(self, names: Sequence[str], work: Path, admit: Admit) -> None:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise SourceFailed("apt-get and dpkg-deb are not on this machine")
        # apt gets folders of its own: the system's lists may be missing, and only root may write them.
        apt = work / "apt"
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (apt / folder).mkdir(parents=True)
        options = [
            f"-oDir::State={apt}/state",
            f"-oDir::Cache={apt}/cache",
            "-oDir::State::status=/dev/null",
            "-oDebug::NoLocking=1",
            "-oAPT::Sandbox::User=",
            "-oAcquire::Languages=none",
            "-oAcquire::Retries=1",
            f"-oAcquire::http::Timeout={TIMEOUT_SECONDS:.0f}",
        ]
        _run(["apt-get", "-q", *options, "update"], apt)
        _run(["apt-get", "-q", *options, "download", DEBIAN_PACKAGE], apt)
        packages = list(apt.glob("*.deb"))
        if not packages:
            raise SourceFailed("apt-get downloaded no package")
        _run(["dpkg-deb", "-x", packages[0].name, "unpacked"], apt)
        found = {path.name: path for path in (apt / "unpacked").rglob("*-ubyte*")}
        for name in names:
            packed = found.get(f"{name}.gz")
            plain = found.get(name)
            if packed is None and plain is None:
                raise SourceFailed(f"{name} is not in the package")
            if packed is not None:
                unzip(packed, work / name)
            elif plain is not None:
                _copy(plain, work / name)
            admit(name, work / name)


def unzip(packed: Path, target: Path) -> None:
    """Uncompress a gzip file. Raises `SourceFailed` when it is truncated or not gzip."""
    try:
        with gzip.open(packed, "rb") as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink, _CHUNK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceFailed(f"{packed.name} is truncated or corrupt ({error})") from None


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        if disk_is_full(error):
            raise
        raise SourceFailed(str(error)) from None


def download(url: str, target: Path, timeout: float) -> None:
    """Fetch a URL into a file and print the progress. Raises `SourceFailed` when the file does not arrive complete."""
    name = url.rsplit("/", 1)[-1]
    done = 0
    told = 0
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer, open(target, "wb") as sink:
            size = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(_CHUNK):
                sink.write(chunk)
                done += len(chunk)
                if done - told >= 8 * _CHUNK:
                    told = done
                    print(
                        f"data: {name}: {done / 1e6:.0f} of {size / 1e6:.0f} MB", file=sys.stderr, flush=True
                    )
    except (OSError, HTTPException, ValueError) as error:
        if disk_is_full(error):
            raise
        raise SourceFailed(f"{name}: {getattr(error, 'reason', None) or error}") from None
    if size and done != size:
        raise SourceFailed(f"{name} is truncated: {done} of {size} bytes came")


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=APT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SourceFailed(f"{command[0]} did not end within {APT_SECONDS:.0f} s") from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        if "No space left" in done.stderr + done.stdout:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise SourceFailed(f"{command[0]}: {lines[-1] if lines else f'exit {done.returncode}'}")
