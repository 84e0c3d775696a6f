"""`make up MODEL=path`: a file of 2019 and a table, from a fresh clone to served, evaluated and reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stack.errors import UsageError
from stack.imports import find_import, setting_of
from tests.support.checkout import Checkout
from tests.support.foreign_models import CLASSES, old_h5


def _report(checkout: Checkout) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((checkout.path / "reports" / "evaluation.json").read_text())
    return document


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with a space in its name, outside of the checkout, with old.h5, old.csv and the classes in a file."""
    folder = tmp_path / "my models"
    folder.mkdir()
    old_h5(folder)
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return folder


def test_an_old_model_and_a_table_are_served_evaluated_and_reported_by_one_command(
    checkout: Checkout, old: Path
) -> None:
    checkout.settings |= {"ENGINE": "local", "CONSOLE": "0"}
    asked = ["up", f"MODEL={old / 'old.h5'}", f"EXAMPLES={old / 'old.csv'}", "NAME=iris"]
    try:
        said = checkout.make(*asked)
        assert "is a file of Keras 2: tf_keras" in said
        assert "Serving iris version 1 until `make down`" in said
        report = _report(checkout)
        assert report["metrics"]["accuracy"] == 0.75
        assert report["trained"]["metrics"]["accuracy"] == 0.75
        assert report["skew"]["max_abs_diff"] < 1e-6
        assert "<html" in (checkout.path / "reports" / "evaluation.html").read_text()

        again = checkout.make(*asked)
        assert "iris version 1 is up to date: it was imported from this model" in again
        assert "Already running: left undisturbed." in again
        assert "MODEL=" in checkout.make("ps")
        assert "setosa" in checkout.make("predict", "ROWS=0:9")

        # Other weights are another version, which passes the gate or does not.
        path = old / "old.h5"
        import h5py

        with h5py.File(path, "r+") as file:
            file["model_weights/dense_2/dense_2/bias:0"][...] = np.array([50, 0, 0], np.float32)
        worse = checkout.make(*asked, expect=1)
        assert "iris/2" in worse
        assert "version 1 AVAILABLE (stable)" in checkout.make("ps")

        # Without labelled examples a model is served all the same, and not evaluated.
        (checkout.path / "reports" / "evaluation.json").unlink()
        said = checkout.make("up", f"MODEL={path}")
        assert "old is served, and not evaluated: there are no examples." in said
        assert "Serving old version 1 until `make down`" in said
        assert "evaluation.html" not in said
        assert not (checkout.path / "reports" / "evaluation.json").exists()

        # Nothing says that another one without examples is as good.
        (old / "old.h5").write_bytes((old / "old.h5").read_bytes() + b" ")
        said = checkout.make("up", f"MODEL={old / 'old.h5'}", expect=1)
        assert (
            "Version 2 was not evaluated against version 1: accuracy was not measured: there are no" in said
        )
        assert "EXAMPLES= of make up" in said
        assert "Version 1 stays stable" in said
        assert "Serving old version 1" in said
    finally:
        checkout.make("down")


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
