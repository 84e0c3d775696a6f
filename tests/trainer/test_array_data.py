"""Images in .npz and IDX files, and their conversion to the tutorial's CSV and back."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_trainer.data import job_data
from atelier_trainer.data.idx import write_idx
from atelier_trainer.errors import DataInvalid
from atelier_trainer.job import Job

from tests.support.trainer_command import trainer

IMAGES = np.random.default_rng(3).integers(0, 256, [6, 4, 5], np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)
IDX_NAMES = [
    f"{split}-{what}" for split in ("train", "t10k") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
]


def loaded(tmp_path: Path, **data: Any) -> Any:
    job = Job.from_document(
        {
            "name": "mine",
            "model": "mine",
            "data": data,
            "network": {"hidden": [4]},
            "fit": {"batch_size": 2, "epochs": 1},
        },
        tmp_path,
    )
    return job_data.load(job, tmp_path / "cache")


def write_folder(folder: Path, images: np.ndarray = IMAGES, labels: np.ndarray = LABELS) -> None:
    folder.mkdir()
    for name, array in zip(IDX_NAMES, (images, labels, images[:2], labels[:2]), strict=True):
        write_idx(folder / name, array)


def test_npz_and_idx_hold_the_same_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2])
    write_folder(tmp_path / "idx")
    (tmp_path / "idx" / "t10k-images-idx3-ubyte.gz").write_bytes(
        gzip.compress((tmp_path / "idx" / "t10k-images-idx3-ubyte").read_bytes())
    )
    (tmp_path / "idx" / "t10k-images-idx3-ubyte").unlink()
    for data in (loaded(tmp_path, npz="a.npz"), loaded(tmp_path, idx="idx", class_names=["a", "b", "c"])):
        np.testing.assert_array_equal(data.train.inputs, IMAGES)
        np.testing.assert_array_equal(data.test.labels, LABELS[:2])
        assert data.shape == (4, 5)
        assert len(data.class_names) == 3
        with np.load(tmp_path / "cache" / data.test_file["path"], allow_pickle=False) as arrays:
            np.testing.assert_array_equal(arrays["images"], IMAGES[:2])


GOOD = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:2], "y_test": LABELS[:2]}


@pytest.mark.parametrize(
    ("change", "data", "said"),
    [
        ({"x_test": None}, {}, "it has x_train, y_train, y_test, without x_test"),
        ({"x_train": IMAGES.astype(np.float32)}, {}, "expected images as uint8"),
        ({"x_train": IMAGES[:0], "y_train": LABELS[:0]}, {}, "each of them at least 1"),
        ({"x_train": IMAGES.reshape(6, 20)}, {}, "expected images as uint8"),
        ({"y_train": LABELS[:5]}, {}, "6 images but 5 labels"),
        ({"y_train": LABELS + 0.5}, {}, "y_train, row 1: expected a whole number, got 0.5"),
        (
            {"y_train": np.array([0, 1, 2, 0, 1, np.nan])},
            {},
            "y_train, row 6: expected a whole number, got nan",
        ),
        ({"y_train": LABELS.astype(bool)}, {}, r"got bool \[6\]\. labels.astype\(int\)"),
        ({"y_train": LABELS.astype(np.int64) - 1}, {}, "y_train, row 1: the label -1 is out of range"),
        (
            {"x_train": IMAGES[:, :0], "x_test": IMAGES[:2, :0]},
            {},
            "each of them at least 1, got uint8",
        ),
        ({"y_test": np.array([0, 7])}, {}, "y_test, row 2: the label 7 is out of range: expected 0 to 2"),
        ({}, {"class_names": ["a", "b"]}, "row 3: the label 2 is out of range: expected 0 to 1"),
        (
            {"x_test": np.zeros([2, 9, 9], np.uint8)},
            {},
            r"training images are \[4, 5\], test images \[9, 9\]",
        ),
    ],
)
def test_what_is_wrong_in_an_npz_is_named(
    tmp_path: Path, change: dict[str, Any], data: dict[str, Any], said: str
) -> None:
    arrays = {name: array for name, array in {**GOOD, **change}.items() if array is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataInvalid, match=rf"a\.npz.*{said}"):
        loaded(tmp_path, npz="a.npz", **data)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "u8", "i1"])
def test_labels_are_whole_numbers_of_any_dtype(tmp_path: Path, kind: str) -> None:
    arrays: dict[str, Any] = {
        name: array.astype(kind) if name[0] == "y" else array for name, array in GOOD.items()
    }
    np.savez(tmp_path / "a.npz", **arrays)
    assert loaded(tmp_path, npz="a.npz").train.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\3\4 half", np.arange(3)])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes | np.ndarray | None) -> None:
    if isinstance(content, np.ndarray):
        np.save(tmp_path / "a.npy", content)
        (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    elif content is not None:
        (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataInvalid, match=r"a\.npz"):
        loaded(tmp_path, npz="a.npz")


@pytest.mark.parametrize("fault", ["missing", "truncated", "truncated gz", "no idx"])
def test_a_damaged_idx_file_is_named(tmp_path: Path, fault: str) -> None:
    write_folder(tmp_path / "idx")
    path = tmp_path / "idx" / "train-labels-idx1-ubyte"
    raw = path.read_bytes()
    path.unlink()
    if fault == "truncated":
        path.write_bytes(raw[:-1])
    elif fault == "truncated gz":
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(raw)[:-4])
    elif fault == "no idx":
        path.write_bytes(b"label\n1\n")
    with pytest.raises(DataInvalid, match="train-labels-idx1-ubyte"):
        loaded(tmp_path, idx="idx")


def test_idx_to_the_tutorials_csv_and_back_is_lossless(tmp_path: Path) -> None:
    write_folder(tmp_path / "idx")
    assert trainer("data", "csv", tmp_path / "idx", "--to", tmp_path / "csv").returncode == 0
    lines = (tmp_path / "csv" / "train.csv").read_text().splitlines()
    assert lines[0] == "label," + ",".join(f"pixel{number}" for number in range(1, 21))
    assert lines[1] == f"{LABELS[0]}," + ",".join(str(value) for value in IMAGES[0].ravel())
    for split in ("train", "test"):
        more = ["--to", tmp_path / "back", "--split", split, "--shape", "4x5"]
        done = trainer("data", "csv", tmp_path / "csv" / f"{split}.csv", *more)
        assert done.returncode == 0, done.stderr
    for name in IDX_NAMES:
        assert digest(tmp_path / "back" / name) == digest(tmp_path / "idx" / name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("label,p1,p2\n0,1,2\n1,300,2\n", "row 2, column p1: expected an integer from 0 to 255, got 300"),
        ("label,p1,p2\n0,1,2\n1,x,2\n", "row 2, column p1: expected a number, got 'x'"),
        ("label,p1,p2\n-1,1,2\n", "row 1, column label: expected an integer from 0 to 255, got -1"),
        ("label,p1,p2\ncat,1,2\n", "row 1, column label"),
        ("label,p1\n0,1\n", "images of 1x2 have 2 pixels"),
    ],
)
def test_a_csv_that_is_no_image_file_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    done = trainer("data", "csv", tmp_path / "a.csv", "--to", tmp_path / "idx", "--shape", "1x2")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "idx").exists()


def test_show_draws_a_grid_of_pictures(tmp_path: Path, data: Path) -> None:
    done = trainer("data", "show", "fashion-mnist", "--data", data, "--reports", tmp_path)
    assert done.returncode == 0, done.stderr
    from PIL import Image

    with Image.open(tmp_path / "fashion-mnist-examples.png") as picture:
        assert min(picture.size) > 500
        colors = picture.getcolors(1 << 24)
        assert colors is not None
        assert len(colors) > 100


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
