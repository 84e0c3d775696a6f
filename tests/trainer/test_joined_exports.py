"""The shipped jobs' models as the server joins requests for them: every burst is answered as its rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_serving.flags import Flags
from atelier_serving.inference.joining import key_of, run_joined
from atelier_serving.inference.predict import Task
from atelier_serving.inference.row_independence import independent_outputs
from atelier_serving.models.servable import Servable
from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.job_file import load_job, shipped_jobs
from numpy.typing import NDArray

from tests.support.models import publish_with_initial_weights

# Units in the last place of the largest value that a float may differ by, as docs/serving.md states.
UNITS = 32
MOST = 64
JOBS = sorted(path.stem for path in shipped_jobs().glob("*.yaml"))


def data_set(name: str) -> DataSet:
    """Examples drawn by lot, of the shapes that the job's own have."""
    random = np.random.default_rng(0)
    labels = np.arange(MOST) % (10 if name.startswith("fashion") else 2)
    inputs: NDArray[Any] = random.integers(0, 256, [MOST, 28, 28], np.uint8)
    classes = tuple(map(str, range(10)))
    if not name.startswith("fashion"):
        words = np.array(["good", "bad", "film", "plot", "the", "a", "never"])
        inputs = np.array([" ".join(random.choice(words, row + 1)) for row in range(MOST)], object)
        classes = ("negative", "positive")
    examples = Examples(inputs, labels, "0" * 64)
    kind: Any = "image" if name.startswith("fashion") else "text"
    shape = (28, 28) if kind == "image" else ()
    return DataSet(name, kind, classes, shape, examples, examples, {"format": "idx", "path": "nowhere"})


@pytest.mark.parametrize("name", JOBS)
def test_every_burst_is_answered_as_its_rows_alone(tmp_path: Path, name: str) -> None:
    data = data_set(name)
    servable = Servable(publish_with_initial_weights(load_job(name), tmp_path, data), Flags())
    servable.independent_outputs = independent_outputs(servable)
    (feed,) = servable.inputs["serving_default"].values()
    aliases = sorted(servable.outputs["serving_default"])
    rows = [data.test.inputs[row : row + 1] for row in range(MOST)]
    tasks = [Task(servable, "serving_default", [(feed, row)], aliases) for row in rows]
    # The words of a text are ragged, and the rules know no op of these.
    assert (key_of(tasks[0]) is not None) == (data.kind == "image")
    if data.kind == "image":
        alone = [task.run() for task in tasks]
        for size in range(1, MOST + 1):
            found = run_joined(tasks[:size])
            for got, wanted in zip(found, alone, strict=False):
                assert isinstance(got, dict)
                assert_same(got, wanted)
    servable.close()


def assert_same(got: dict[str, NDArray[Any]], wanted: dict[str, NDArray[Any]]) -> None:
    assert got.keys() == wanted.keys()
    for alias, array in wanted.items():
        assert got[alias].dtype == array.dtype
        if array.dtype.kind == "f":
            near = UNITS * float(np.spacing(np.abs(array).max()))
            np.testing.assert_allclose(got[alias], array, rtol=0, atol=near)
        else:
            np.testing.assert_array_equal(got[alias], array)
