"""The loop behind `make up`: set up, train, serve, evaluate; and the commands on what it left running."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from stack import engine as engines
from stack import state as states
from stack.console import note, step
from stack.engine import Engine
from stack.errors import NotRunning, StepFailed, Unavailable
from stack.ports import require_free
from stack.settings import DEFAULT_PORTS, Settings
from stack.state import State

READY_SECONDS = 180
STEPS = 4


def up(settings: Settings) -> None:
    """Run the whole loop; a running service is left alone and evaluated again."""
    with states.exclusive(settings.state_dir):
        running = _running(settings)
        grpc_port, rest_port = _ports(settings, running)
        step(1, STEPS, "Set up")
        if not running:
            require_free(GRPC_PORT=grpc_port, REST_PORT=rest_port)
        engine, how = engines.prepare(settings, running)
        note(f"Engine: {engine.name}")

        step(2, STEPS, f"Train {settings.job}")
        trained = _train(engine, settings)

        step(3, STEPS, f"Serve {trained['model']} version {trained['version']}")
        state = running or State(engine.name, grpc_port, rest_port, trained["model"], gpu=settings.gpu, **how)
        state.model = trained["model"]
        if running:
            note("Already running: left undisturbed.")
        else:
            state = engine.serve(state)
        states.save(settings.state_dir, state)
        _wait_until_ready(engine, state, trained["version"])

        step(4, STEPS, "Evaluate what is served")
        engine.client(["evaluate"], state)
    _summary(state, trained)


def study(settings: Settings) -> None:
    """Train the jobs of a study and compare them; nothing is published, a running service is left alone."""
    with states.exclusive(settings.state_dir):
        engine, _ = engines.prepare(settings, _running(settings))
        note(f"Engine: {engine.name}")
        engine.trainer(["study", engine.job(settings.study)])
    name = Path(settings.study).stem
    note(f"Compared: reports/compare-{name}.png and reports/compare-{name}.json; each run: runs/")


def evaluate(settings: Settings) -> None:
    """Evaluate the running service again."""
    engine, state = _require_running(settings)
    engine.client(["evaluate"], state)


def predict(settings: Settings) -> None:
    """Classify rows of the test images over gRPC."""
    engine, state = _require_running(settings)
    engine.client(["predict", "--rows", settings.rows], state)


def down(settings: Settings) -> None:
    """Stop the service; models, data and reports stay."""
    with states.exclusive(settings.state_dir):
        state = states.load(settings.state_dir)
        if state is None:
            note("Nothing is running.")
            return
        engines.of_state(settings, state).stop(state)
        states.forget(settings.state_dir)
        note("Stopped. Models, data and reports are kept; `make up` serves again without training.")


def logs(settings: Settings) -> None:
    """Print the service's log."""
    state = states.load(settings.state_dir)
    if state is None:
        raise NotRunning("No service was started here. `make up` starts one.")
    engines.of_state(settings, state).logs(state)


def ps(settings: Settings) -> None:
    """Print what runs, and its addresses."""
    state = states.load(settings.state_dir)
    if state is None:
        print("Nothing is running. `make up` starts the service.")
        return
    engine = engines.of_state(settings, state)
    engine.ps(state)
    print(f"gRPC 127.0.0.1:{state.grpc_port}   REST http://127.0.0.1:{state.rest_port}   model {state.model}")


def clean(settings: Settings) -> None:
    """Stop, and delete everything the other commands made in this checkout."""
    with states.exclusive(settings.state_dir):
        state = states.load(settings.state_dir)
        if state:
            engine = engines.of_state(settings, state)
            engine.stop(state)
        engines.clean_all(settings, state)
        for name in ("models", "data", "reports", "runs", ".venv"):
            shutil.rmtree(settings.root / name, ignore_errors=True)
        shutil.rmtree(settings.state_dir, ignore_errors=True)
    note("Removed models, data, reports, runs, .venv, .atelier, and the containers' volumes.")


def _running(settings: Settings) -> State | None:
    """The remembered service when it runs. Without its engine it does not."""
    state = states.load(settings.state_dir)
    with contextlib.suppress(Unavailable):
        if state and engines.of_state(settings, state).running(state):
            return state
    return None


def _require_running(settings: Settings) -> tuple[Engine, State]:
    state = states.load(settings.state_dir)
    engine = engines.of_state(settings, state) if state else None
    if state is None or engine is None or not engine.running(state):
        raise NotRunning(
            "The service is not running. `make up` starts it; `make logs` shows the last one's log."
        )
    return engine, state


def _ports(settings: Settings, running: State | None) -> tuple[int, int]:
    if running is None:
        defaults = DEFAULT_PORTS["GRPC_PORT"], DEFAULT_PORTS["REST_PORT"]
        return settings.grpc_port or defaults[0], settings.rest_port or defaults[1]
    asked = (settings.grpc_port or running.grpc_port, settings.rest_port or running.rest_port)
    if asked != (running.grpc_port, running.rest_port):
        note(
            f"The service keeps its ports {running.grpc_port} and {running.rest_port}; `make down` first to move it."
        )
    return running.grpc_port, running.rest_port


def _train(engine: Engine, settings: Settings) -> dict[str, Any]:
    arguments = ["train", engine.job(settings.job), *([] if settings.retrain else ["--if-needed"])]
    lines = engine.trainer(arguments).strip().splitlines()
    try:
        trained: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise StepFailed(f"The trainer ended without its JSON line; it printed: {lines[-1:]}") from None
    return trained


def _wait_until_ready(engine: Engine, state: State, version: int) -> None:
    """Ready: the wanted version is AVAILABLE and its golden examples come back right."""
    arguments = ["status", "--wait", str(READY_SECONDS), "--version", str(version)]
    try:
        engine.client(arguments, state, alive=lambda: engine.running(state))
    except StepFailed as failure:
        cause = "did not become ready" if engine.running(state) else "stopped before it was ready"
        raise StepFailed(f"The server {cause}. {engine.log_tail()}", failure.exit_code) from None


def _summary(state: State, trained: dict[str, Any]) -> None:
    model, rest = state.model, f"http://127.0.0.1:{state.rest_port}/v1/models/{state.model}"
    body = "import json; print(json.dumps({'instances': [[[0] * 28] * 28]}))"
    print(
        f"""
Serving {model} version {trained["version"]} until `make down`
  gRPC    127.0.0.1:{state.grpc_port}
  REST    {rest}
  Report  reports/evaluation.html  (data: reports/evaluation.json)

Try next
  make predict ROWS=0:5
  python3 -c "{body}" | curl -s -d @- {rest}:predict
  make up RETRAIN=1""",
        file=sys.stderr,
    )
