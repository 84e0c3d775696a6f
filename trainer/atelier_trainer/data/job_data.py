"""From a job's `data` section to a data set."""

from __future__ import annotations

from pathlib import Path

from atelier_trainer.data import array_dataset, csv_dataset, fashion_mnist, imdb
from atelier_trainer.data.dataset import DataSet, file_digest, sha256_of
from atelier_trainer.errors import JobError
from atelier_trainer.job import Job
from atelier_trainer.printable import say

NAMED = {"fashion-mnist": fashion_mnist.load, "imdb": imdb.load}


def load(job: Job, data_folder: Path) -> DataSet:
    """Read and check the job's data. A known data set is fetched into `data_folder`; of others the test examples are
    written there.

    With `fit.validation_split` that share of the training examples is set aside. Raises `AtelierTrainerError`.
    """
    section = job.data
    if section.name:
        data_set = NAMED[section.name](data_folder)
    elif section.csv:
        data_set = csv_dataset.load(job, data_folder)
    elif section.tfrecord:
        # Reading records takes TensorFlow; nothing else here does.
        from atelier_trainer.data import tfrecord_dataset

        data_set = tfrecord_dataset.load(job, data_folder)
    else:
        data_set = array_dataset.load(job, data_folder)
    _check_network(job, data_set)
    if not job.fit.validation_split:
        return data_set
    if section.streams:
        raise JobError("fit.validation_split: streamed data cannot be split; name a data.validation file.")
    return data_set.with_validation_split(job.fit.validation_split, job.fit.seed)


def tell_findings(data_set: DataSet) -> None:
    """Print what is suspicious in the data; the model card lists it too."""
    for warning in data_set.warnings:
        say(f"warning: {warning}")


def fetch(job: Job, data_folder: Path) -> None:
    """Check the files of a known data set that the job names, and fetch them where they are missing or damaged."""
    if job.data.name:
        fetch_named(job.data.name, data_folder)


def fetch_named(name: str, data_folder: Path) -> Path:
    """Fetch a known data set into the data folder; return its own folder there."""
    return fashion_mnist.fetch(data_folder) if name == fashion_mnist.NAME else imdb.fetch(data_folder)


def _check_network(job: Job, data_set: DataSet) -> None:
    if job.network.convolutions and data_set.kind != "image":
        raise JobError(f"network.convolutions: expected images, but the data are of kind {data_set.kind}.")
    if job.network.embedding and data_set.kind != "text":
        raise JobError(f"network.embedding: expected text, but the data are of kind {data_set.kind}.")
    network = type(job.network).model_fields
    if job.network.vocabulary != network["vocabulary"].default and data_set.kind != "text":
        raise JobError(f"network.vocabulary: expected text, but the data are of kind {data_set.kind}.")
    for name in ("flip", "shift"):
        if getattr(job.fit, name) and data_set.kind != "image":
            raise JobError(f"fit.{name}: expected images, but the data are of kind {data_set.kind}.")
    if job.fit.shift and job.fit.shift >= min(data_set.shape[:2]):
        height, width = data_set.shape[:2]
        raise JobError(
            f"fit.shift: {job.fit.shift} pixels would move images of {height} x {width} out of sight; expected fewer."
        )


def source_digest(job: Job) -> str:
    """Which data a run or version was made from: a known data set's name, or SHA-256 of the files the job names.

    Streamed files are large: their names, sizes and times are hashed instead of their content.
    """
    section = job.data
    if section.name:
        return section.name
    if section.idx:
        paths = sorted((job.folder / section.idx).glob("*-ubyte*"))
    else:
        wanted = (section.csv, section.npz, section.tfrecord, section.test, section.validation)
        paths = [path for pattern in wanted if pattern for path in csv_dataset.shards(pattern, job.folder)]
    if section.streams:
        files = [(path.name, path.stat()) for path in paths]
        return sha256_of(
            *(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode() for name, status in files)
        )
    return file_digest(*paths)
