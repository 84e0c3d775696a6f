"""Job files that YAML takes for something else, or that multiply: a message, at once."""

from pathlib import Path

import pytest
from atelier_trainer.errors import JobError
from atelier_trainer.job_file import load_job, parse_yaml

LEVELS = "\n".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 30))
MERGED = "\n".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}" for level in range(1, 30)
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"a0: &a0 [x, x]\n{LEVELS}\n", "aliases unfold to more than"),
        (f"a0: &a0 {{k: v}}\n{MERGED}\n", "aliases unfold to more than"),
        ("name: &a [*a]\n", "an alias stands within itself"),
        ("name: " + "[" * 5000 + "]" * 5000 + "\n", "nested too deeply"),
        ("name: a\nfit: {epochs: 3}\nname: b\n", "line 3: the key 'name' is there twice"),
        ("fit: {epochs: 3, epochs: 5}\n", "line 1: the key 'epochs' is there twice"),
        ("fit: {class_weight: {1: 2, 1.0: 3}}\n", "the key '1.0' is there twice"),
        ("name: 2024-13-45\n", "not readable as YAML"),
        ("name: !!python/object/apply:os.getcwd []\n", "not readable as YAML"),
    ],
)
def test_a_job_that_multiplies_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(content)
    with pytest.raises(JobError, match=said):
        load_job(str(path))


def test_an_alias_that_repeats_a_little_is_read() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}


def test_what_is_merged_may_be_overridden() -> None:
    assert parse_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")["b"] == {"x": 1, "y": 3}


def test_a_value_on_the_command_line_is_read_alike() -> None:
    with pytest.raises(JobError, match="is not a YAML value"):
        load_job("fashion-dense", ["fit.epochs=&a [*a]"])
