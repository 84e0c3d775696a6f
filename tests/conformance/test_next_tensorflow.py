"""Models go between this TensorFlow and the one before it: each serves what the other has exported.

It runs in the environment of the next TensorFlow, which `make test TENSORFLOW=2.21` makes beside the present one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from atelier_client import Client
from atelier_client._model_card import read_golden
from atelier_client.evaluation.skew import TOLERANCE, measure

from tests.support.checkout import ROOT
from tests.support.drift_models import KINDS
from tests.support.server import running_server

NEXT = Path(sys.prefix)
PRESENT = NEXT.with_name(NEXT.name.partition("-tf")[0])

pytestmark = pytest.mark.skipif(
    NEXT == PRESENT, reason="this environment has one TensorFlow; `make test TENSORFLOW=2.21` makes another"
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("exporter", "server"), [(NEXT, PRESENT), (PRESENT, NEXT)], ids=["back", "forth"])
def test_golden_examples_come_back_right_from_the_other_tensorflow(
    exporter: Path, server: Path, tmp_path: Path
) -> None:
    command = [str(exporter / "bin" / "python"), "-m", "tests.support.drift_models", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    config = f"--model_config_file={tmp_path / 'models.config'}"
    with running_server(tmp_path, config, program=str(server / "bin" / "atelier-serving")) as running:
        for kind in KINDS:
            golden = read_golden(tmp_path / kind / "1")
            with Client(running.grpc, kind) as client:
                skew = measure(client, 1, golden)
            assert skew["examples"] == 16
            assert skew["mismatched_labels"] == 0
            assert skew["max_abs_diff"] <= TOLERANCE
