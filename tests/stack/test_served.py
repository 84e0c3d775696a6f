"""What the host asks the service over REST: versions, names, and a request that fits whatever model is served."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import served
from tests.support.models import publish_untrained
from tests.support.server import RunningServer, running_server


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of images of 28 x 28."""
    models = tmp_path_factory.mktemp("models")
    publish_untrained(models)
    with running_server(models) as server:
        yield server


def ask(line: str) -> dict[str, object]:
    """The answer to a shell line."""
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_the_example_request_is_answered_as_it_stands(fashion: RunningServer) -> None:
    port = int(fashion.rest.rpartition(":")[2])
    assert served.newest([port], "fashion") == 1
    line = served.example_request(port, "fashion")
    assert line is not None
    assert '"' not in line.replace('{"instances": ', "")
    assert len(ask(line)["predictions"]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", ["text", "table", "columns"])
def test_other_models_get_a_request_of_their_own(tmp_path: Path, shape: str) -> None:
    _save(tmp_path / "m" / "1", shape)
    with running_server(tmp_path, model="m") as server:
        line = served.example_request(int(server.rest.rpartition(":")[2]), "m")
        assert line is not None
        assert "28" not in line.replace(server.rest, "")
        assert len(ask(line)["predictions"]) == 1  # type: ignore[arg-type]


def test_a_model_that_is_not_there_has_neither_versions_nor_an_example(fashion: RunningServer) -> None:
    port = int(fashion.rest.rpartition(":")[2])
    assert served.versions([port], "absent") is None
    assert served.example_request(port, "absent") is None
    assert served.newest([port], "absent") is None
    assert served.versions([1], "fashion") is None


def test_the_names_in_a_configuration() -> None:
    config = """
    model_config_list {
      # name: "commented"
      config { name: "a" base_path: "/models/a" model_version_policy { specific { versions: 1 } } }
      config {
        base_path: "/models/b", name: 'b-2'
        logging_config { log_collector_config { filename_prefix: "x" } }
      }
    }"""
    assert served.models_of(config) == ["a", "b-2"]
    assert served.models_of("") == []


def _save(folder: Path, shape: str) -> None:
    """A SavedModel with inputs of another kind, written by a process of its own: TensorFlow stays out of this one."""
    specs = {
        "text": "{'text': tf.TensorSpec([None], tf.string, 'text')}",
        "table": "{'features': tf.TensorSpec([None, 4], tf.float32, 'features')}",
        "columns": "{'width': tf.TensorSpec([None], tf.float32, 'width'),"
        " 'kind': tf.TensorSpec([None], tf.string, 'kind')}",
    }
    program = f"""
import sys, tensorflow as tf
specs = {specs[shape]}
module = tf.Module()
module.call = tf.function(lambda **inputs: {{'rows': tf.ones_like(tf.strings.length(inputs['text']))
    if 'text' in inputs else tf.reduce_sum(inputs['features'], 1) if 'features' in inputs else inputs['width']}})
tf.saved_model.save(module, {str(folder)!r}, {{'serving_default': module.call.get_concrete_function(**specs)}})
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
