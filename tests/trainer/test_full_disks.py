"""A full disk under any folder a command writes: one sentence, which names that folder and no other."""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from atelier_trainer.cli import data as data_commands
from atelier_trainer.cli import runs as run_commands
from atelier_trainer.data import fashion_mnist
from atelier_trainer.data.downloads import Folder
from atelier_trainer.errors import AtelierTrainerError
from atelier_trainer.files import writing
from atelier_trainer.publishing import pipeline
from atelier_trainer.training.run import Run


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with open(disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


@pytest.fixture
def full(small_disk: Path) -> Path:
    """A disk with no byte left."""
    fill(small_disk)
    return small_disk


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    """A study of the tiny job."""
    path = tmp_path / "study.yaml"
    path.write_text(f"jobs: [{trained / 'job.json'}]\nset: [fit.seed=3]\n")
    return path


def said(command: Callable[[], object]) -> str:
    """The one message of a command that fails."""
    with pytest.raises(AtelierTrainerError) as caught:
        command()
    return str(caught.value)


@pytest.mark.parametrize("place", ["runs", "data", "reports"])
def test_a_study_names_the_folder_that_is_full(full: Path, tmp_path: Path, study: Path, place: str) -> None:
    folders = {name: tmp_path / name for name in ("runs", "data", "reports")} | {place: full}
    message = said(
        lambda: run_commands.study(str(study), folders["data"], folders["runs"], folders["reports"], [])
    )
    assert message.startswith(f"The disk under {full}")


def test_a_checkpoint_that_does_not_fit_is_no_error_of_tensorflows(
    small_disk: Path, tmp_path: Path, study: Path
) -> None:
    message = said(
        lambda: run_commands.study(
            str(study), tmp_path / "data", small_disk, tmp_path, ["network.hidden=[9000]"]
        )
    )
    assert message.startswith(f"The disk under {small_disk}")
    assert "\n" not in message


def test_a_comparison_and_a_saved_model_do_too(full: Path, trained: Path, tmp_path: Path) -> None:
    runs = trained / "runs"
    assert f"The disk under {full} is full" in said(lambda: run_commands.compare(["tiny"], runs, full))
    for format, name in [
        ("weights", "a.weights.h5"),
        ("keras", "a.keras"),
        ("checkpoint", "a"),
        ("h5", "a.h5"),
    ]:
        save = partial(run_commands.save, "tiny", format, full / name, trained / "data", runs)
        assert f"The disk under {full} is full" in said(save)


def test_a_version_is_reported_though_its_run_could_not_record_it(
    small_disk: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_disk / "tiny" / "1"
    folder.mkdir(parents=True)
    for name in ("run.json", "history.json"):
        (folder / name).write_bytes((trained / "runs" / "tiny" / "1" / name).read_bytes())
    fill(small_disk)
    version = trained / "models" / "tiny" / "1"
    pipeline._finish(Run(folder), version, {"metrics": {}, "parameters": 1}, {})
    message = capsys.readouterr().err
    assert f"{version} is published, but not recorded: The disk under {folder} is full" in message


def test_data_that_do_not_fit_are_no_data_that_cannot_be_reached(
    full: Path, data: Path, tmp_path: Path
) -> None:
    source = Folder(data / fashion_mnist.NAME)

    def fetch() -> None:
        with writing(full):
            fashion_mnist.fetch(full, [source])

    assert f"The disk under {full} is full" in said(fetch)
    assert list(full.rglob(".fetching-*")) == []
    csv = said(lambda: data_commands.csv(data / fashion_mnist.NAME, full, "train", "28x28"))
    assert f"The disk under {full} is full" in csv
