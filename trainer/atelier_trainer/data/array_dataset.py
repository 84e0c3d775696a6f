"""Arrays: an .npz under Keras's names or a folder of IDX files under MNIST's. Images, or a regression's rows."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from atelier_trainer.data import quantities
from atelier_trainer.data.csv_cells import LARGEST
from atelier_trainer.data.dataset import DataSet, Examples, findings, sha256_of
from atelier_trainer.data.held_out_file import write_test_file
from atelier_trainer.data.idx import parse_idx
from atelier_trainer.data.labels import check_numbers, class_numbers, integer_labels, require_two
from atelier_trainer.errors import DataCorrupt, DataInvalid
from atelier_trainer.files import UNREADABLE_NPZ
from atelier_trainer.job import Job

NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def load(job: Job, data_folder: Path) -> DataSet:
    """Read and check the four arrays; write the test examples for the client. Raises `DataInvalid`."""
    section = job.data
    path = job.folder / str(section.npz or section.idx)
    arrays = read_npz(path) if section.npz else [read_idx_file(path, name) for name in IDX_NAMES]
    x_train, y_train, x_test, y_test = arrays
    sides = ("y_train", "y_test") if section.npz else (IDX_NAMES[1], IDX_NAMES[3])
    regression = job.task == "regression"
    table = regression and x_train.ndim == x_test.ndim == 2
    of_inputs = _table if table else _images
    read = quantities.of_array if regression else integer_labels
    y_train, y_test = read(y_train, path, sides[0]), read(y_test, path, sides[1])
    x_train, x_test = of_inputs(x_train, y_train, path), of_inputs(x_test, y_test, path)
    if x_train.shape[1:] != x_test.shape[1:]:
        kind = "rows" if table else "images"
        raise DataInvalid(
            f"{path}: training {kind} are {list(x_train.shape[1:])}, test {kind} {list(x_test.shape[1:])}."
        )
    names: tuple[str, ...] = ()
    suspicious = []
    if regression:
        train, test = _measured(x_train, y_train), _measured(x_test, y_test)
        suspicious = quantities.check(y_train, path, sides[0])
    else:
        names = tuple(section.class_names or class_numbers(y_train, path))
        train = _examples(x_train, y_train, names, path, sides[0])
        test = _examples(x_test, y_test, names, path, sides[1])
        require_two(np.bincount(train.labels, minlength=len(names)), names, path)
    data_set = DataSet(
        name=path.stem,
        kind="table" if table else "image",
        class_names=names,
        shape=train.inputs.shape[1:],
        columns=tuple(f"x{place}" for place in range(train.inputs.shape[1])) if table else (),
        task=job.task,
        train=train,
        test=test,
        test_file={},
        warnings=(*findings(train, test, names), *suspicious),
    )
    return replace(data_set, test_file=write_test_file(data_set, data_folder))


def read_npz(path: Path) -> list[np.ndarray]:
    """The arrays x_train, y_train, x_test, y_test. Raises `DataInvalid`."""
    if path.is_dir():
        raise DataInvalid(f"{path} is a folder: name the .npz file in it.")
    try:
        if path.is_file() and not zipfile.is_zipfile(path):
            # np.load takes a file that is no archive for one array, or for pickled objects.
            raise DataInvalid(
                f"{path} is no .npz: expected an archive, as np.savez(file, x_train=.., ..) writes."
            )
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            missing = [name for name in NPZ_NAMES if name not in arrays.files]
            if missing:
                raise DataInvalid(
                    f"{path}: expected the arrays {', '.join(NPZ_NAMES)} (images and integer labels, split by you); "
                    f"it has {', '.join(arrays.files) or 'none'}, without {', '.join(missing)}. "
                    "np.savez(file, x_train=images[:n], y_train=labels[:n], x_test=images[n:], y_test=labels[n:]) "
                    "writes them, from images in a random order."
                )
            return [arrays[name] for name in NPZ_NAMES]
    except FileNotFoundError:
        raise DataInvalid(
            f"{path} does not exist. Paths in a job start from the job file's folder."
        ) from None
    except UNREADABLE_NPZ as error:
        raise DataInvalid(f"{path} is no readable .npz: {error}.") from None


def read_idx_file(folder: Path, name: str) -> np.ndarray:
    """The array of `folder/name` or `folder/name.gz`. Raises `DataInvalid`."""
    packed = folder / f"{name}.gz"
    try:
        raw = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
        return parse_idx(np.frombuffer(raw, np.uint8), folder / name)
    except (OSError, EOFError, zlib.error, DataCorrupt) as error:
        raise DataInvalid(f"{folder / name} cannot be read: {error}") from None


def _images(images: np.ndarray, labels: np.ndarray, path: Path) -> np.ndarray:
    """The images as they are. Raises `DataInvalid` when they are none."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise DataInvalid(
            f"{path}: expected images as uint8 [N,H,W] or [N,H,W,C], each of them at least 1, "
            f"got {images.dtype} {list(images.shape)}.{_advice(images)}"
        )
    if len(images) != len(labels):
        raise DataInvalid(f"{path}: {len(images)} images but {len(labels)} labels.")
    return np.ascontiguousarray(images)


def _table(rows: np.ndarray, labels: np.ndarray, path: Path) -> np.ndarray:
    """Rows of numbers as float32 [N,columns]. Raises `DataInvalid`."""
    if rows.dtype.kind not in "iuf" or not rows.size:
        raise DataInvalid(
            f"{path}: expected rows of numbers [N,columns], or images uint8 [N,H,W], got {rows.dtype} "
            f"{list(rows.shape)}."
        )
    if len(rows) != len(labels):
        raise DataInvalid(f"{path}: {len(rows)} rows but {len(labels)} labels.")
    wrong = ~(np.abs(rows.astype(np.float64)) <= LARGEST)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise DataInvalid(
            f"{path}, row {row + 1}, column {column}: expected a finite number of float32's range, got "
            f"{rows[row, column]}."
        )
    return np.ascontiguousarray(rows, np.float32)


def _advice(images: np.ndarray) -> str:
    if images.ndim not in (3, 4) or images.dtype.kind not in "fiub" or not images.size:
        return ""
    if images.dtype.kind in "fb" and images.min() >= 0 and images.max() <= 1:
        return " Pixels from 0 to 1: (images * 255).round().astype(np.uint8) makes such images."
    if images.min() >= 0 and images.max() <= 255:
        return " images.astype(np.uint8) makes such images."
    return f" Its pixels go from {images.min():g} to {images.max():g}, not from 0 to 255: scale them first."


def _examples(
    images: np.ndarray, labels: np.ndarray, names: Sequence[str], path: Path, side: str
) -> Examples:
    labels = np.ascontiguousarray(labels)
    ids = check_numbers(labels, names, path, unit=f"{side}, row")
    return Examples(images, ids, sha256_of(images.data, labels.data))


def _measured(inputs: np.ndarray, values: np.ndarray) -> Examples:
    """Examples of a regression."""
    return Examples(inputs, values, sha256_of(inputs.data, np.ascontiguousarray(values).data))
