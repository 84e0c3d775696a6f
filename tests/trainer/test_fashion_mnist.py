"""Data: what is cached is right, whatever the sources do. Against a real HTTP server on loopback."""

import gzip
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from atelier_trainer.data import fashion_mnist
from atelier_trainer.data.downloads import Folder, Publisher
from atelier_trainer.data.idx import read_idx
from atelier_trainer.errors import DataCorrupt, DataUnavailable

from tests.support.trainer_command import trainer


class Misbehaving(http.server.BaseHTTPRequestHandler):
    """Serves the data set as the test wants it broken."""

    packed: ClassVar[dict[str, bytes]] = {}
    fault = ""
    release: ClassVar[threading.Event]

    def do_GET(self) -> None:
        name = self.path.strip("/")
        body = self.packed.get(name)
        if body is None or self.fault == "missing":
            self.send_error(404, "Not Found")
            return
        if self.fault == "wrong bytes":
            body = gzip.compress(b"something else")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.fault == "hang":
            self.release.wait(10)
            return
        self.wfile.write(body[: len(body) // 2] if self.fault == "truncated" else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def publisher(data: Path) -> Iterator[Callable[[str], Publisher]]:
    """A factory of publishers with a fault, and the server behind them."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving) as server:
        Misbehaving.release = threading.Event()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        folder = data / fashion_mnist.NAME
        Misbehaving.packed = {
            f"{name}.gz": gzip.compress((folder / name).read_bytes(), 1) for name in fashion_mnist.SHA256
        }

        def make(fault: str) -> Publisher:
            Misbehaving.fault = fault
            return Publisher(f"http://127.0.0.1:{server.server_port}", timeout=0.5)

        yield make
        Misbehaving.release.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("fault", ["missing", "truncated", "wrong bytes", "hang"])
def test_a_faulty_download_is_never_cached(
    tmp_path: Path, publisher: Callable[[str], Publisher], fault: str
) -> None:
    with pytest.raises(DataUnavailable, match="the publisher"):
        fashion_mnist.fetch(tmp_path, [publisher(fault)])
    assert [path.name for path in (tmp_path / fashion_mnist.NAME).iterdir()] == [".lock"]


def test_the_next_source_is_tried_and_each_reason_is_told(
    tmp_path: Path, publisher: Callable[[str], Publisher], data: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataUnavailable) as error:
        fashion_mnist.fetch(tmp_path, [Folder(empty), publisher("missing")])
    assert str(empty) in str(error.value)
    assert "404" in str(error.value) or "Not Found" in str(error.value)
    assert "ATELIER_FASHION_MNIST" in str(error.value)
    fashion_mnist.fetch(tmp_path, [publisher("truncated"), publisher("")])
    for name in fashion_mnist.SHA256:
        assert (tmp_path / fashion_mnist.NAME / name).read_bytes() == (
            data / fashion_mnist.NAME / name
        ).read_bytes()


def test_a_damaged_cached_file_is_fetched_again(tmp_path: Path, data: Path) -> None:
    folder = fashion_mnist.fetch(tmp_path, [Folder(data / fashion_mnist.NAME)])
    victim = folder / "t10k-labels-idx1-ubyte"
    victim.write_bytes(victim.read_bytes()[:-1])
    fashion_mnist.fetch(tmp_path, [Folder(data / fashion_mnist.NAME)])
    assert victim.read_bytes() == (data / fashion_mnist.NAME / victim.name).read_bytes()


def test_a_complete_cache_asks_no_source(tmp_path: Path, data: Path) -> None:
    fashion_mnist.fetch(tmp_path, [Folder(data / fashion_mnist.NAME)])
    assert fashion_mnist.fetch(tmp_path, []) == tmp_path / fashion_mnist.NAME


def test_the_command_says_what_was_tried(tmp_path: Path) -> None:
    done = trainer(
        "data", "fetch", "fashion-mnist", "--data", tmp_path,
        environ={"ATELIER_FASHION_MNIST": str(tmp_path / "nowhere"), "PATH": "/nonexistent", "http_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for source in ("nowhere", "the publisher", "Debian's archive"):
        assert source in done.stderr


def test_the_splits_are_the_published_ones(data: Path) -> None:
    train, test = (fashion_mnist.read_split(data / fashion_mnist.NAME, split) for split in ("train", "test"))
    assert train.inputs.shape == (60_000, 28, 28)
    assert test.inputs.shape == (10_000, 28, 28)
    assert np.bincount(test.labels).tolist() == [1000] * 10


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0", b"\0\0\x08", b"\1\0\x08\1\0\0\0\0", b"\0\0\x0d\1\0\0\0\0", b"\0\0\x08\1\0\0\0\5abc"],
)
def test_a_file_that_is_no_idx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = Path(tmp_path / "file")
    path.write_bytes(content)
    with pytest.raises(DataCorrupt, match="file"):
        read_idx(path)
