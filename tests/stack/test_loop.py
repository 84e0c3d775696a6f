"""The whole loop from a fresh clone, with each engine: the same story, told to both."""

import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest


@pytest.fixture
def up(checkout, request):
    """A clone in which `make up` has run with the engine of the test; cleaned afterwards, whatever happened."""
    engine = request.param
    if engine == "compose":
        request.getfixturevalue("engine")
    checkout.settings["ENGINE"] = engine
    environ = os.environ
    environ["COMPOSE_PROJECT_NAME"] = f"atelier-test-{os.getpid()}"
    # In the container the data come as they do for a user who has no copy.
    local_copy = environ.pop("ATELIER_FASHION_MNIST", None) if engine == "compose" else None
    try:
        yield checkout, checkout.make("up")
    finally:
        checkout.make("clean")
        del environ["COMPOSE_PROJECT_NAME"]
        if local_copy:
            environ["ATELIER_FASHION_MNIST"] = local_copy


@pytest.mark.timeout(1700)
@pytest.mark.parametrize("up", ["local", "compose"], indirect=True)
def test_the_loop_from_a_fresh_clone(up):
    checkout, text = up
    rest = f"http://127.0.0.1:{checkout.settings['REST_PORT']}/v1/models/fashion"
    evaluation = checkout.path / "reports" / "evaluation.json"

    # What it says at the end.
    assert "[4/4]" in text
    for promise in (
        rest,
        f"127.0.0.1:{checkout.settings['GRPC_PORT']}",
        "reports/evaluation.html",
        "curl",
        "make predict",
    ):
        assert promise in text
    assert "cudart_stub" not in text
    assert "Traceback" not in text

    # What it leaves: a report owned by the user, a served model as good as the trainer found it.
    report = json.loads(evaluation.read_text())
    assert report["model"]["version"] == 1
    assert report["dataset"]["examples"] == 10_000
    assert report["metrics"]["accuracy"] >= 0.88
    assert report["skew"]["mismatched_labels"] == 0
    assert evaluation.stat().st_uid == os.getuid()
    assert "<svg" in (checkout.path / "reports" / "evaluation.html").read_text()
    assert _status(rest) == {"1": "AVAILABLE"}

    # A second `make up` trains nothing and leaves the service as it is.
    before = _identity(checkout)
    started = time.monotonic()
    again = checkout.make("up")
    assert "left undisturbed" in again
    assert _identity(checkout) == before
    assert json.loads(evaluation.read_text())["model"]["version"] == 1
    print(f"second make up: {time.monotonic() - started:.1f} s")

    # Asked to, it trains, and the running service picks the new version up.
    checkout.make("up", "RETRAIN=1")
    assert json.loads(evaluation.read_text())["model"]["version"] == 2
    assert _identity(checkout) == before

    assert "fashion" in checkout.make("ps")
    checkout.make("logs")
    assert "Ankle boot" in checkout.make("predict", "ROWS=0:1")

    if checkout.settings["ENGINE"] == "local":
        _kill_the_server_and_start_again(checkout)

    # Stopped, it is gone; started again, it serves what was trained.
    checkout.make("down")
    with pytest.raises(OSError, match="refused"):
        _status(rest)
    checkout.make("up")
    assert json.loads(evaluation.read_text())["model"]["version"] == 2


def _kill_the_server_and_start_again(checkout) -> None:
    state = checkout.path / ".atelier" / "state.json"
    pid = json.loads(state.read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    assert "not running" in checkout.make("evaluate", expect=3)
    checkout.make("up")
    assert json.loads(state.read_text())["pid"] != pid


def _status(rest: str) -> dict[str, str]:
    """Version to state, of the versions that are not gone."""
    with urllib.request.urlopen(rest, timeout=10) as answer:
        entries = json.load(answer)["model_version_status"]
    return {entry["version"]: entry["state"] for entry in entries if entry["state"] != "END"}


def _identity(checkout) -> str:
    """What tells one service process from another: its pid, or its container's id and start."""
    state = json.loads((checkout.path / ".atelier" / "state.json").read_text())
    if state["engine"] == "local":
        return str(state["pid"])
    project = os.environ["COMPOSE_PROJECT_NAME"]
    query = ["docker", "ps", "-q", "--no-trunc", "--filter", f"label=com.docker.compose.project={project}"]
    identity = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    inspect = ["docker", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", identity]
    return subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
