"""From a job's `data` section to a data set."""

from __future__ import annotations

from pathlib import Path

from atelier_trainer.data import array_dataset, csv_dataset, fashion_mnist, imdb
from atelier_trainer.data.dataset import DataSet, file_digest, sha256_of
from atelier_trainer.errors import JobError
from atelier_trainer.job import Job
from atelier_trainer.printable import say

NAMED = {"fashion-mnist": fashion_mnist.load, "imdb": imdb.load}


def load(job: Job, base: Path, data: Path) -> DataSet:
    """Read and check the job's data; `base` is where its paths start, `data` the cache folder.

    With `fit.validation_split` that share of the training examples is set aside. Raises `AtelierTrainerError`.
    """
    settings = job.data
    if settings.name:
        loaded = NAMED[settings.name](data)
    elif settings.csv:
        loaded = csv_dataset.load(settings, base, data)
    elif settings.tfrecord:
        # Reading records takes TensorFlow; nothing else here does.
        from atelier_trainer.data import tfrecord_dataset

        loaded = tfrecord_dataset.load(settings, base, data)
    else:
        loaded = array_dataset.load(settings, base, data)
    _check_network(job, loaded)
    if not job.fit.validation_split:
        return loaded
    if settings.streams:
        raise JobError("fit.validation_split: streamed data cannot be split; name a data.validation file.")
    return loaded.with_validation_split(job.fit.validation_split, job.fit.seed)


def tell_findings(data: DataSet) -> None:
    """Print what is suspicious in the data; the model card has it too."""
    for warning in data.warnings:
        say(f"warning: {warning}")


def fetch(job: Job, data: Path) -> None:
    """Have what the client reads in the cache, checked: a known data set's files."""
    if job.data.name:
        fetch_named(job.data.name, data)


def fetch_named(name: str, data: Path) -> Path:
    """Fetch a known data set into the cache; return its folder."""
    return fashion_mnist.fetch(data) if name == fashion_mnist.NAME else imdb.fetch(data)


def _check_network(job: Job, data: DataSet) -> None:
    if job.network.convolutions and data.kind != "image":
        raise JobError(f"network.convolutions: expected images, but the data are of kind {data.kind}.")
    if job.network.embedding and data.kind != "text":
        raise JobError(f"network.embedding: expected text, but the data are of kind {data.kind}.")
    if job.fit.flip and data.kind != "image":
        raise JobError(f"fit.flip: expected images, but the data are of kind {data.kind}.")


def source_digest(job: Job, base: Path) -> str:
    """Which data a run or version was made from: a known data set's name, or SHA-256 of the files the job names.

    Of files that are streamed because they are large, names, sizes and times stand for the content.
    """
    settings = job.data
    if settings.name:
        return settings.name
    if settings.idx:
        paths = sorted((base / settings.idx).glob("*-ubyte*"))
    else:
        wanted = (settings.csv, settings.npz, settings.tfrecord, settings.test, settings.validation)
        paths = [path for pattern in wanted if pattern for path in csv_dataset.shards(pattern, base)]
    if settings.streams:
        states = [(path.name, path.stat()) for path in paths]
        return sha256_of(
            *(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode() for name, state in states)
        )
    return file_digest(*paths)
