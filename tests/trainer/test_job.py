"""Jobs: every mistake is named with the file, the key and the nearest valid one."""

import pytest
from atelier_trainer.errors import JobError
from atelier_trainer.job import load_job

from tests.trainer.conftest import TINY_JOB


def test_the_shipped_job_is_found_by_name_and_by_path():
    by_name = load_job("fashion-dense")
    assert by_name == load_job("jobs/fashion-dense.yaml") == load_job("trainer/jobs/fashion-dense.yaml")
    assert by_name.network.hidden == [128]
    assert by_name.optimizer.name == "adam"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("network:", "netwrok:", "unknown key 'netwrok'; did you mean 'network'"),
        ("batch_size: 512", "batchsize: 512", "unknown key 'fit.batchsize'; did you mean 'batch_size'"),
        ("epochs: 1", "epochs: 0", "fit.epochs: Input should be greater than or equal to 1, got 0"),
        ("epochs: 1", "epochs: many", "fit.epochs"),
        ("data: fashion-mnist", "data: fashion-mnst", "did you mean fashion-mnist"),
        ("model: fashion", "model: ../up", "model:"),
        ("name: tiny\n", "", "the key 'name' is missing"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path, old, new, message):
    path = tmp_path / "job.yaml"
    path.write_text(TINY_JOB.replace(old, new))
    with pytest.raises(JobError) as error:
        load_job(str(path))
    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "- a list", "name: [unclosed", "\x00"])
def test_a_file_that_is_no_job_is_refused(tmp_path, text):
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(JobError, match=str(path)):
        load_job(str(path))


def test_an_unknown_job_suggests_the_nearest():
    with pytest.raises(JobError, match=r"Did you mean fashion-dense\?"):
        load_job("fashion-dens")


def test_the_digest_depends_on_content_not_on_layout(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(TINY_JOB)
    second.write_text("# a comment\n" + TINY_JOB.replace("[8]", "\n    [8]"))
    assert load_job(str(first)).digest() == load_job(str(second)).digest()
    second.write_text(TINY_JOB.replace("[8]", "[9]"))
    assert load_job(str(first)).digest() != load_job(str(second)).digest()
