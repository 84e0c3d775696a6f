"""`make up MODEL=path`: what may be asked. tests/stack/test_loop.py serves such a model with both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.errors import UsageError
from stack.imports import find_import, setting_of
from tests.support.checkout import Checkout


def test_a_model_is_named_after_its_file(tmp_path: Path) -> None:
    for name in ("old.h5", "net.v2.keras"):
        (tmp_path / name).touch()
        found = find_import(tmp_path, {"MODEL": name})
        assert found is not None
        assert found.model == name.rpartition(".")[0]
        assert setting_of(found.key) == f"MODEL={tmp_path / name}"
    assert find_import(tmp_path, {}) is None
    assert setting_of("fashion-cnn") == "JOB=fashion-cnn"


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"MODEL": "odl.h5"}, "Did you mean"),
        ({"MODEL": "old.h5", "EXAMPLES": "absent.csv"}, "EXAMPLES=absent.csv"),
        ({"MODEL": "old.h5", "NAME": "../up"}, "NAME=../up: expected a letter or digit"),
        ({"EXAMPLES": "old.h5"}, "belongs to a model: MODEL=path names it"),
    ],
)
def test_a_wrong_setting_of_an_import_is_named(tmp_path: Path, environ: dict[str, str], wanted: str) -> None:
    (tmp_path / "old.h5").touch()
    with pytest.raises(UsageError) as error:
        find_import(tmp_path, environ)
    assert wanted in str(error.value)


def test_a_job_and_a_model_exclude_each_other(checkout: Checkout) -> None:
    (checkout.path / "old.h5").touch()
    assert "give one of them" in checkout.make("up", "JOB=fashion-cnn", "MODEL=old.h5", expect=2)


def test_a_common_name_in_the_environment_is_no_setting(checkout: Checkout) -> None:
    said = checkout.make("ps", NAME="a-host", OUTPUT="x", TASK="y")
    assert "Nothing is running" in said
