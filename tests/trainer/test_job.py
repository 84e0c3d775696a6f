"""Jobs: every mistake is named with the file, the key and the nearest valid one."""

import copy
import pickle
from pathlib import Path

import pytest
from atelier_trainer.errors import JobError
from atelier_trainer.job import Job
from atelier_trainer.job_file import load_job, shipped_jobs

from tests.support.trainer_command import TINY_JOB


def test_the_shipped_job_is_found_by_name_and_by_path() -> None:
    by_name = load_job("fashion-dense")
    for path in ("jobs/fashion-dense.yaml", "trainer/jobs/fashion-dense.yaml"):
        assert load_job(path) == by_name
    assert by_name.network.hidden == [128]
    assert by_name.optimizer.name == "adam"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("network:", "netwrok:", "unknown key 'netwrok'. Did you mean network?"),
        ("batch_size: 512", "batchsize: 512", "unknown key 'fit.batchsize'. Did you mean batch_size?"),
        ("epochs: 1", "epochs: 0", "fit.epochs: Input should be greater than or equal to 1, got 0"),
        ("epochs: 1", "epochs: many", "fit.epochs"),
        ("data: fashion-mnist", "data: fashion-mnst", "Did you mean fashion-mnist?"),
        ("model: fashion", "model: ../up", "model:"),
        ("name: tiny\n", "", "the key 'name' is missing"),
        (
            "network: {hidden: [8]}",
            "network: {hidden: [8], l_2: 0.1}",
            "unknown key 'network.l_2'. Did you mean l2?",
        ),
        (
            "network: {hidden: [8]}",
            "network: {hidden: [8], dropout: 1.5}",
            "network.dropout: Input should be less",
        ),
        ("fit:", "optimizer: {name: adan}\nfit:", "optimizer.name: Input should be 'adam'"),
        ("fit:", "optimizer: {name: adan}\nfit:", "got 'adan' Did you mean adam?"),
        ("fit:", "optimizer: {momentum: 0.9}\nfit:", "momentum belongs to sgd and rmsprop, not to adam"),
        ("fit:", "optimizer: {schedule: cosin}\nfit:", "Did you mean cosine?"),
        ("seed: 1", "early_stopping: {patience: 2}", "fit.early_stopping needs fit.validation_split"),
        ("seed: 1", "class_weight: balance", "Did you mean balanced?"),
        ("seed: 1", "class_weight: {a: .inf}", "fit.class_weight.a: Input should be a finite number"),
        ("seed: 1", 'class_weight: {1: 2, "1": 3}', "the key '1' is there twice"),
        ("seed: 1", 'class_weight: {1: 2, "1.0": 3}', "class_weight: 1 and 1.0 are one class"),
        ("seed: 1", "seed: yes", "fit.seed: expected a number, got True"),
        (
            "seed: 1",
            "validation_split: .nan",
            "fit.validation_split: Input should be",
        ),
        (
            "seed: 1",
            "validation_split: 0.2, early_stopping: {patience: -1}",
            "fit.early_stopping.patience: Input should be greater than or equal to 1, got -1",
        ),
        ("epochs: 1", "epochs: true", "fit.epochs: expected a number, got True"),
        ("epochs: 1", "epochs: 2147483648", "fit.epochs: Input should be less than or equal to 2147483647"),
        ("batch_size: 512", "batch_size: 1000000000000", "fit.batch_size: Input should be less than or"),
        ("hidden: [8]", "hidden: [on]", "network.hidden.0: expected a number, got True"),
        ("hidden: [8]", "hidden: [8], l1: .inf", "network.l1: Input should be a finite number, got inf"),
        ("hidden: [8]", "hidden: [8], l2: 1.0e+400", "network.l2: Input should be a finite number, got inf"),
        ("fit:", "optimizer: {weight_decay: .inf}\nfit:", "optimizer.weight_decay: Input should be a finite"),
        ("fit:", "optimizer: {learning_rate: yes}\nfit:", "optimizer.learning_rate: expected a number"),
        ("data: fashion-mnist", "data: {csv: a.csv, npz: b.npz}", "needs exactly one of name, csv"),
        ("data: fashion-mnist", "data: {label: y}", "got none"),
        ("data: fashion-mnist", "data: 3", "data: expected a mapping with the keys name, csv, npz"),
        ("network: {hidden: [8]}", "network:", "network: expected a mapping with the keys hidden, "),
        (
            "data: fashion-mnist",
            "data: {csv: a.csv, lable: y}",
            "unknown key 'data.lable'. Did you mean label?",
        ),
        ("data: fashion-mnist", "data: {csv: a.csv, stream: true}", "needs a test file"),
        ("data: fashion-mnist", "data: {npz: a.npz, test: b.npz}", "test belongs to csv and tfrecord"),
        ("data: fashion-mnist", "data: {idx: ., test_split: 0.5}", "test_split belongs to csv"),
        (
            "data: fashion-mnist",
            "data: {csv: a, test: b, test_split: 0.5}",
            "leave test_split out, or leave out",
        ),
        ("hidden: [8]", "hidden: [8], length: 20", "network: length belongs to embedding"),
        ("data: fashion-mnist", "data: {tfrecord: a, test: b, separator: ;}", "separator belongs to csv"),
        ("data: fashion-mnist", "data: {name: imdb, class_names: [a, b]}", "class_names belongs to csv, npz"),
        ("name: tiny", "name: my model", "expected a letter or digit, then letters, digits, _ . or -"),
        ("data: fashion-mnist", "data: {csv: a.csv, image: [784]}", "image is [height, width]"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(TINY_JOB.replace(old, new))
    with pytest.raises(JobError) as error:
        load_job(str(path))
    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "- a list", "name: [unclosed", "\x00"])
def test_a_file_that_is_no_job_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(JobError, match=str(path)):
        load_job(str(path))


def test_an_unknown_job_suggests_the_nearest() -> None:
    with pytest.raises(JobError, match=r"Did you mean fashion-dense\?"):
        load_job("fashion-dens")


def test_the_digest_depends_on_content_not_on_layout(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(TINY_JOB)
    second.write_text("# a comment\n" + TINY_JOB.replace("[8]", "\n    [8]"))
    assert load_job(str(first)).digest() == load_job(str(second)).digest()
    second.write_text(TINY_JOB.replace("[8]", "[9]"))
    assert load_job(str(first)).digest() != load_job(str(second)).digest()


def test_the_folder_of_a_job_is_no_part_of_what_it_says(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("here", "there")]
    for folder in folders:
        folder.mkdir()
        (folder / "job.yaml").write_text(TINY_JOB)
    here, there = (load_job(str(folder / "job.yaml")) for folder in folders)
    assert [here.folder, there.folder] == folders
    assert here.digest() == there.digest() == Job.model_validate(here.model_dump(mode="json")).digest()
    assert here.model_dump() == there.model_dump()
    assert set(here.model_dump()) == set(Job.model_fields)


def test_a_copy_of_a_job_keeps_its_folder(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(TINY_JOB)
    job = load_job(str(tmp_path / "job.yaml"))
    copies = [job.model_copy(update={"name": "other"}), copy.deepcopy(job), pickle.loads(pickle.dumps(job))]
    assert [made.folder for made in copies] == [tmp_path] * len(copies)
    assert copies[2] == job


def test_digests_are_those_of_earlier_versions(tmp_path: Path) -> None:
    """Runs and versions that were made before carry this digest: another one would train them again."""
    (tmp_path / "job.yaml").write_text(TINY_JOB)
    assert (
        load_job(str(tmp_path / "job.yaml")).digest()
        == "af52c52e78300e96c62acede23edcb7262668ed9d28f9a62210871c8eef921f0"
    )


SHIPPED = {
    "fashion-dense": 101_770,
    "fashion-l1": 101_770,
    "fashion-l2": 101_770,
    "fashion-dropout": 101_770,
    "imdb-baseline": 10_000 * 16 + 16 + 16 * 16 + 16 + 16 + 1,
    "imdb-smaller": 10_000 * 4 + 4 + 4 * 4 + 4 + 4 + 1,
    "imdb-bigger": 10_000 * 512 + 512 + 512 * 512 + 512 + 512 + 1,
    "imdb-l2": 160_305,
    "imdb-dropout": 160_305,
    "imdb-embedding": 10_000 * 16 + 16 * 16 + 16 + 16 + 1,
    # Weights of the convolutions, four numbers a filter of batch normalization, and the last layer.
    "fashion-cnn": 25 * 32 + 9 * (32 * 64 + 64 * 128) + 4 * 224 + 16 * 128 * 10 + 10,
    "fashion-residual": 25 * 32 + 9 * (32 * 64 + 64 * 64 + 64 * 128) + 4 * 288 + 16 * 128 * 10 + 10,
}


def parameters_of(name: str) -> int:
    """Trainable and other weights of a shipped job's network, built without data."""
    from atelier_trainer.training.data_spec import Spec
    from atelier_trainer.training.encoding import encoding_for
    from atelier_trainer.training.network import build

    job = load_job(name)
    text = job.data.name == "imdb"
    classes = ("negative", "positive") if text else tuple("0123456789")
    spec = Spec(name, "text" if text else "image", classes, () if text else (28, 28), (), (), (), {})
    words = [str(number).encode() for number in range(job.network.vocabulary - 2)] if text else None
    return build(job, spec, encoding_for(spec, job.network, words)).count_params()


def test_every_shipped_job_is_there_and_no_other() -> None:
    assert {path.stem for path in shipped_jobs().glob("*.yaml")} == set(SHIPPED)


@pytest.mark.parametrize(("name", "parameters"), SHIPPED.items())
def test_a_shipped_job_has_the_tutorials_network(name: str, parameters: int) -> None:
    assert parameters_of(name) == parameters


def test_a_setting_on_the_command_line_wins_over_the_file() -> None:
    job = load_job("fashion-dense", ["fit.epochs=3", "network.hidden=[4, 5]", "optimizer.name=sgd"])
    assert (job.fit.epochs, job.network.hidden, job.optimizer.name) == (3, [4, 5], "sgd")
    assert job.digest() != load_job("fashion-dense").digest()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fit.epochs", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("fit.epocs=3", "unknown key 'fit.epocs'. Did you mean epochs?"),
        ("fit.epochs=many", "fit.epochs: Input should be a valid integer"),
        ("name.first=3", "name is not a section"),
        ("fit.epochs=[", "is not a YAML value"),
    ],
)
def test_a_wrong_setting_on_the_command_line_is_explained(override: str, message: str) -> None:
    with pytest.raises(JobError) as error:
        load_job("fashion-dense", [override])
    assert message in str(error.value)


def test_a_data_set_by_name_is_short_for_a_section() -> None:
    short = load_job("fashion-dense")
    long = load_job("fashion-dense", ["data={name: fashion-mnist}"])
    assert short.digest() == long.digest()
