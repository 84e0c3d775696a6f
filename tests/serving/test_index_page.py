"""The page at `/`: what it lists, and the commands that it offers to copy."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import numpy as np
from atelier_serving.rest.index_page import example
from tensorflow.core.protobuf import meta_graph_pb2

from tests.support.http import get
from tests.support.peer import Peer


def test_the_index_page_lists_models_and_its_commands_work(small_peer: Peer) -> None:
    status, page = get(small_peer.server, "/")
    assert status == 200
    assert "<h2>toy</h2>" in page
    assert "<meta name=viewport" in page
    assert "AVAILABLE" in page
    commands = {html.unescape(text) for text in re.findall("<pre>(.*?)</pre>", page)}
    assert len(commands) >= 3
    for command in commands:
        done = subprocess.run(
            f"{command} -s --fail-with-body",
            shell=True,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout)
        assert set(json.loads(done.stdout)) & {"predictions", "outputs"}


def test_a_long_example_and_a_hostile_name_make_a_safe_command(tmp_path: Path) -> None:

    signature = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    info = signature.inputs["it's"]
    info.dtype = 4
    for size in (-1, 28, 28):
        info.tensor_shape.dim.add(size=size)
    command = example("http://localhost:1", "m;touch x", "a'b", signature)
    assert command is not None
    assert len(command) < 300
    sent = subprocess.run(
        ["bash", "-c", command.replace("curl", "cat; printf '%s\\n'", 1)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert json.loads(sent[0]) == {"signature_name": "a'b", "instances": [np.zeros((28, 28), int).tolist()]}
    assert sent[1:] == ["--data", "@-", "http://localhost:1/v1/models/m;touch x:predict"]
    assert not list(tmp_path.iterdir())
