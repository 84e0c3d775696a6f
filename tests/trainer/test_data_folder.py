"""Fetching into the data folder: one command at a time, and nothing is left of a killed one."""

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from atelier_trainer.data import fashion_mnist
from atelier_trainer.data.data_folder import filling, half
from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.data.held_out_file import write_test_file

from tests.support.trainer_command import COMMAND


def hanging_fetch(cache: Path, source: Path) -> subprocess.Popen[bytes]:
    """A command in the middle of its fetch: the first file of its source is a pipe that nobody writes to."""
    source.mkdir()
    os.mkfifo(source / f"{next(iter(fashion_mnist.SHA256))}.gz")
    process = subprocess.Popen(
        [COMMAND, "data", "fetch", "fashion-mnist", "--data", str(cache)],
        env={**os.environ, "ATELIER_FASHION_MNIST": str(source)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(cache.glob("fashion-mnist/.fetching-*")) and time.monotonic() < deadline:
        assert process.poll() is None
    return process


def test_a_fetch_waits_for_another_and_removes_what_it_left_when_it_is_killed(
    data: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "data"
    with hanging_fetch(cache, tmp_path / "stuck") as first:
        command = [COMMAND, "data", "fetch", "fashion-mnist", "--data", str(cache)]
        environment = {**os.environ, "ATELIER_FASHION_MNIST": str(data / "fashion-mnist")}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr is not None
            assert "waiting for it" in second.stderr.readline()
            assert len(list(cache.glob("fashion-mnist/.fetching-*"))) == 1
            first.kill()
            assert "is complete" in second.stderr.read()
    assert second.returncode == 0
    names = {path.name for path in (cache / "fashion-mnist").iterdir()}
    assert names == {*fashion_mnist.SHA256, ".lock"}


def test_halves_of_test_files_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    half(folder / "test-0-1.csv").write_text("label,te")
    examples = Examples(np.array([b"a text"], object), np.array([0]), "digest")
    write_test_file(DataSet("mine", "text", ("no", "yes"), (), examples, examples, {}), tmp_path)
    assert [path.suffix for path in folder.iterdir() if path.name != ".lock"] == [".csv"]
    assert not half(folder / "test-0-1.csv").exists()


@pytest.mark.parametrize("kind", ["fifo", "dangling"])
def test_what_stands_in_the_place_of_a_cached_file_is_replaced(data: Path, tmp_path: Path, kind: str) -> None:
    from atelier_trainer.data.downloads import Folder

    path = tmp_path / "fashion-mnist" / "t10k-labels-idx1-ubyte"
    path.parent.mkdir()
    os.mkfifo(path) if kind == "fifo" else path.symlink_to("/nonexistent/place")
    fashion_mnist.fetch(tmp_path, [Folder(data / "fashion-mnist")])
    assert path.is_file()
    assert not path.is_symlink()


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="no symbolic link"), filling(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "kept"
