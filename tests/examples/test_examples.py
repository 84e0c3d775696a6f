"""Every example runs as its docstring says, against a real server."""

import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.ports import free_port
from tests.support.server import RunningServer, running_server

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent


def run(*command: object, expect: int = 0) -> str:
    """Run a command to its end; return what it printed on stdout."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def test_quickstart_prints_five_labels(server: RunningServer, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 28, 28), np.uint8)
    file = tmp_path / "images"
    file.write_bytes(b"\0\0\x08\x03" + np.array(pixels.shape, ">u4").tobytes() + pixels.tobytes())
    lines = run(sys.executable, EXAMPLES / "quickstart.py", server.grpc, file).splitlines()
    assert len(lines) == 5
    assert all(re.fullmatch(r"\S.* +\d+\.\d%", line) for line in lines), lines


def test_quickstart_needs_no_file_of_the_checkout(server: RunningServer, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "quickstart.py"), server.grpc]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_each_example_says_what_makes_the_environment_that_it_runs_in() -> None:
    """`make up` with containers makes no .venv and no models on the host, and never installs uvicorn."""
    for script in EXAMPLES.rglob("*.py"):
        docstring = script.read_text(encoding="utf-8").split('"""')[1]
        before, environment, _ = docstring.partition(".venv/bin/")
        if environment and "uvicorn" not in docstring:
            assert "make venv" in before or "make up ENGINE=local" in before, script
        elif environment:
            assert "make venv" in before, script
        if "$PWD/models" in docstring:
            assert "make up ENGINE=local" in before, script


def test_quickstart_says_that_nobody_answers(tmp_path: Path) -> None:
    file = tmp_path / "images"
    file.write_bytes(bytes(16 + 784))
    command = [sys.executable, str(EXAMPLES / "quickstart.py"), f"127.0.0.1:{free_port()}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_async_requests_come_back_and_the_wrong_one_says_why(server: RunningServer) -> None:
    first, second = run(sys.executable, EXAMPLES / "async_requests.py", server.grpc).splitlines()
    assert re.fullmatch(r"63 requests in \d+ ms, answered by version 1", first)
    assert second.startswith("One was not sent: ")
    assert "20" in second


@pytest.fixture(scope="module")
def front(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The FastAPI service as its docstring starts it; its address."""
    port = free_port()
    log = tmp_path_factory.mktemp("front") / "log"
    command = [str(BIN / "uvicorn"), "--app-dir", str(EXAMPLES), "fastapi_front:app", "--port", str(port)]
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env={**os.environ, "ATELIER_TARGET": server.grpc}, stdout=output, stderr=output
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 60
            while "Uvicorn running" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def post(address: str, body: object) -> tuple[int, dict[str, object]]:
    """(status, JSON) of a POST."""
    request = urllib.request.Request(
        address, json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_fastapi_front_passes_answers_on(front: str) -> None:
    status, answer = post(f"{front}/predict", {"images": np.zeros((2, 28, 28), int).tolist()})
    assert status == 200
    labels, confidence = answer["labels"], answer["confidence"]
    assert isinstance(labels, list)
    assert isinstance(confidence, list)
    assert len(labels) == len(confidence) == 2
    assert labels[0] == labels[1]
    assert 0.1 <= confidence[0] <= 1
    assert answer["version"] == 1


def test_fastapi_front_explains_a_wrong_input(front: str) -> None:
    status, answer = post(f"{front}/predict", {"image": [[1]]})
    assert status == 422
    assert "images" in str(answer["detail"])


def test_own_regression_is_trained_served_evaluated_and_asked(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_bytes((EXAMPLES / "own_regression" / "job.yaml").read_bytes())
    script = EXAMPLES / "own_regression" / "concrete.py"
    run(sys.executable, script, "write", tmp_path / "concrete.csv")
    models = tmp_path / "models"
    folders = ["--models", models, "--data", tmp_path / "data"]
    trained = json.loads(run(BIN / "atelier-trainer", "train", job, *folders, "--runs", tmp_path / "runs"))
    assert trained["metrics"]["r2"] > 0.9
    with running_server(models, model="concrete") as server:
        answers = run(sys.executable, script, "ask", server.grpc)
        options = ["--target", server.grpc, "--model", "concrete", "--reports", tmp_path / "reports"]
        report = json.loads(run(BIN / "atelier-client", "evaluate", "--json", *folders, *options))
    assert re.fullmatch(r"\d+\.\d MPa \d+\.\d MPa\n", answers)
    assert report["trained"]["max_abs_diff"] < 1e-3
    assert report["metrics"]["mae"] == pytest.approx(trained["metrics"]["mae"], rel=1e-3)


def test_own_csv_is_trained_served_and_asked(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_bytes((EXAMPLES / "own_csv" / "job.yaml").read_bytes())
    script = EXAMPLES / "own_csv" / "fruit.py"
    run(sys.executable, script, "write", tmp_path / "fruit.csv")
    models = tmp_path / "models"
    folders = ("--models", models, "--data", tmp_path / "data", "--runs", tmp_path / "runs")
    trained = json.loads(run(BIN / "atelier-trainer", "train", job, *folders).splitlines()[-1])
    assert trained["model"] == "fruit"
    assert trained["metrics"]["accuracy"] > 0.95
    with running_server(models, model="fruit") as server:
        answer = run(sys.executable, script, "ask", server.grpc)
    assert answer.splitlines()[-1] == "banana lemon"


def test_mutual_tls_lets_in_whom_the_authority_signed(models: Path, tmp_path: Path) -> None:
    folder = EXAMPLES / "mutual_tls"
    keys = tmp_path / "keys"
    run(folder / "make_certificates.sh", keys)
    context = ssl.create_default_context(cafile=keys / "ca.pem")
    context.load_cert_chain(keys / "client.pem", keys / "client.key")
    with running_server(models, f"--ssl_config_file={keys / 'ssl.config'}", context=context) as server:
        inside, outside = run(sys.executable, folder / "ask.py", keys, server.grpc).splitlines()
    assert inside == "With a certificate: version 1 answers."
    assert outside.startswith("Without one: ")
    assert (keys / "ca.key").stat().st_mode & 0o077 == 0


def test_batching_puts_single_rows_together(models: Path) -> None:
    folder = EXAMPLES / "batching"
    flags = ("--enable_batching", f"--batching_parameters_file={folder / 'batching.config'}")
    with running_server(models, *flags) as server:
        line = run(sys.executable, folder / "compare.py", server.grpc, server.rest)
    found = re.fullmatch(
        r"512 requests of one row; the mean request ran in a batch of (\d+\.\d) rows\.\n", line
    )
    assert found, line
    assert float(found[1]) > 1


def test_batching_example_says_that_the_server_makes_none(server: RunningServer) -> None:
    command = [sys.executable, str(EXAMPLES / "batching" / "compare.py"), server.grpc, server.rest]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--enable_batching" in done.stderr


def test_each_example_says_how_to_run_it_and_is_run_here() -> None:
    scripts = [file for file in EXAMPLES.rglob("*.py") if "__pycache__" not in file.parts]
    assert scripts
    for script in scripts:
        docstring = script.read_text(encoding="utf-8").split('"""')[1]
        module = script.relative_to(EXAMPLES).with_suffix("")
        assert f"examples/{module}.py" in docstring or f"{module}:app" in docstring, script
        assert (
            script.name in Path(__file__).read_text(encoding="utf-8")
            or f"{module}:app" in Path(__file__).read_text()
        )
