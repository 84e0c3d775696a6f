"""The loop behind `make up`: set up, train, serve, evaluate."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from stack import companions, files, served, service
from stack import state as states
from stack.console import note, step
from stack.engines import engine as engines
from stack.engines.engine import Engine
from stack.errors import StepFailed, UsageError
from stack.jobs import JobFile, find_job, find_study, require_data
from stack.ports import require_free
from stack.settings import DEFAULT_PORTS, Settings
from stack.state import State

READY_SECONDS = 180
STEPS = 4
_OLD_SERVER = (
    "It was started before there were releases. It goes on answering, but started again by itself it would not take "
    "the labels of releases: `make down && make up` once, when a pause of some seconds suits."
)


def up(settings: Settings) -> None:
    """Run the whole loop; a running service is left alone."""
    job = find_job(settings.root, settings.job)
    require_data(job)
    with states.exclusive(settings.state_dir):
        remembered = service.remembered(settings)
        running = service.running(settings, remembered)
        step(1, STEPS, "Set up")
        grpc_port, rest_port = _ports(settings, remembered, running=running is not None)
        beside = companions.ports(settings, remembered, (grpc_port, rest_port))
        if running:
            engine, state = running
            service.require_awake(engine, state)
            now = companions.running(engine, state)
            companions.require_ports(beside, now)
            engines.prepare_running(settings, engine, state)
        else:
            if remembered:
                service.end_companions(settings, remembered)
            require_free(GRPC_PORT=grpc_port, REST_PORT=rest_port)
            now = {}
            companions.require_ports(beside, now)
            engine, how = engines.prepare(settings, remembered)
            jobs = remembered.jobs if remembered else {}
            state = State(engine.name, grpc_port, rest_port, "", gpu=settings.gpu, jobs=jobs, **how)
        note(f"Engine: {engine.name}")

        step(2, STEPS, f"Train {settings.job}")
        inputs = engine.inputs(job)
        before = _done_before(settings, engine, state, job, inputs) if running else None
        trained = before or _train(engine, settings, job)

        model = trained["model"]
        version = trained["version"]
        step(3, STEPS, f"Serve {model}")
        state.model = model
        state.jobs.setdefault(model, job.key)
        if running:
            note("Already running: left undisturbed.")
            if not state.labels and not settings.releases.follow_newest:
                note(_OLD_SERVER)
        else:
            state = engine.serve(state)
        states.save(settings.state_dir, state)
        companions.bring(engine, settings, state, beside, now)
        failed = None if before else _release(engine, settings, state, version)
        stable = served.labelled(state.rest_port, model, "stable")
        if stable in (None, version):
            # What is only a candidate, or was rejected, does not answer for the model.
            state.jobs[model] = job.key
            states.save(settings.state_dir, state)

        step(4, STEPS, "Evaluate what is served")
        report = settings.root / "reports" / "evaluation.json"
        if before and _digest(report) == state.done[job.key].get("report"):
            note(
                f"Nothing has changed since it was evaluated:{_accuracy(report)} `make evaluate` does it again."
            )
        else:
            engine.client(["evaluate"], state)
        if inputs and not failed:
            state.done[job.key] = {
                "inputs": inputs,
                "how": _how(settings),
                "service": engine.service(state),
                "trained": trained,
                "stable": stable,
                "report": _digest(report),
            }
            states.save(settings.state_dir, state)
        answering = companions.await_ready(engine, state)
    _summary(settings, state, trained, answering)
    if failed:
        raise failed


def study(settings: Settings) -> None:
    """Train the jobs of a study and compare them; nothing is published, a running service is left alone."""
    found = find_study(settings.root, settings.study)
    with states.exclusive(settings.state_dir):
        remembered = service.remembered(settings)
        running = service.running(settings, remembered)
        if running:
            engine = running[0]
            engines.prepare_running(settings, *running)
        else:
            engine, _ = engines.prepare(settings, remembered)
        note(f"Engine: {engine.name}")
        engine.trainer(["study", engine.job(found)])
    name = Path(settings.study).stem
    note(f"Compared: reports/compare-{name}.png and reports/compare-{name}.json; each run: runs/")


def _ports(settings: Settings, remembered: State | None, running: bool) -> tuple[int, int]:
    """The ports asked for, else those the service has or had, else the defaults; a running service keeps its own."""
    had = (remembered.grpc_port, remembered.rest_port) if remembered else tuple(DEFAULT_PORTS.values())
    asked = (settings.grpc_port or had[0], settings.rest_port or had[1])
    if running and asked != had:
        note(f"The service keeps its ports {had[0]} and {had[1]}; `make down` first to move it.")
        return had[0], had[1]
    if asked[0] == asked[1]:
        raise UsageError(f"GRPC_PORT and REST_PORT must differ, and both are {asked[0]}.")
    return asked


def _done_before(
    settings: Settings, engine: Engine, state: State, job: JobFile, inputs: str | None
) -> dict[str, Any] | None:
    """The trainer's last result, if nothing that it depends on has changed and it is still served; else None."""
    done = state.done.get(job.key)
    if settings.retrain or not inputs or not done or done.get("inputs") != inputs:
        return None
    if done.get("how") != _how(settings):
        return None
    trained: dict[str, Any] = done["trained"]
    if done.get("service") != engine.service(state):
        return None
    if served.labelled(state.rest_port, trained["model"], "stable") != done.get("stable"):
        return None
    if served.newest(state.rest_port, trained["model"]) is None:
        return None
    note(
        f"{trained['model']} version {trained['version']} is up to date: nothing has changed since it was made."
    )
    return {**trained, "trained": False}


def _how(settings: Settings) -> str:
    """What `make up` does with what was trained. Another way has something to do although nothing was changed."""
    if settings.releases.follow_newest:
        return "follow the newest"
    return "release" if settings.releases.wanted else "candidate"


def _digest(report: Path) -> str:
    """SHA-256 of a report; empty when there is none."""
    try:
        with files.open_regular(report) as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return ""


def _accuracy(report: Path) -> str:
    metrics = json.loads(report.read_text(encoding="utf-8")).get("metrics", {})
    return f" accuracy {metrics['accuracy']:.4f}." if "accuracy" in metrics else ""


def _train(engine: Engine, settings: Settings, job: JobFile) -> dict[str, Any]:
    arguments = ["train", engine.job(job), *([] if settings.retrain else ["--if-needed"])]
    if settings.releases.follow_newest:
        arguments.append("--follow-newest")
    lines = engine.trainer(arguments).strip().splitlines()
    try:
        trained: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise StepFailed(f"The trainer ended without its JSON line; it printed: {lines[-1:]}") from None
    return trained


def _release(engine: Engine, settings: Settings, state: State, version: int) -> StepFailed | None:
    """Take the version through the gate to `stable`; return the failure of one that does not pass.

    Without releases the version has to answer, and its golden examples have to come back right.
    """
    wait = ["--wait", str(READY_SECONDS)]
    releases = settings.releases
    if releases.follow_newest:
        arguments = ["status", *wait, "--version", str(version)]
    elif releases.wanted:
        arguments = ["release", str(version), *wait, "--if-needed", *service.release_options(settings)]
    else:
        note(f"Version {version} is a candidate: `make release VERSION={version}` takes it through the gate.")
        arguments = ["status", *wait]
    run = engine.release if releases.wanted and not releases.follow_newest else engine.client
    try:
        run(arguments, state, alive=engine.watch(state))
    except StepFailed as failure:
        if served.labelled(state.rest_port, state.model, "stable") is not None:
            return failure
        cause = "did not become ready" if engine.running(state) else "stopped before it was ready"
        raise StepFailed(f"The server {cause}. {engine.log_tail()}", failure.exit_code) from None
    return None


def _summary(
    settings: Settings, state: State, trained: dict[str, Any], beside: list[tuple[str, str]]
) -> None:
    job = f"JOB={shlex.quote(settings.job)} " if settings.job_given else ""
    stable = served.labelled(state.rest_port, state.model, "stable")
    request = served.example_request(state.rest_port, state.model, "stable" if stable else "")
    tries = ["make predict ROWS=0:5", *([request] if request else []), f"make up {job}RETRAIN=1"]
    places = [
        ("gRPC", f"127.0.0.1:{state.grpc_port}"),
        ("REST", f"http://127.0.0.1:{state.rest_port}/v1/models/{state.model}"),
        *beside,
        ("Report", "reports/evaluation.html  (data: reports/evaluation.json)"),
    ]
    width = max(len(title) for title, _ in places)
    print(
        f"\nServing {state.model} version {stable or trained['version']} until `make down`",
        *(f"  {title:{width}}  {place}" for title, place in places),
        "\nTry next",
        *(f"  {line}" for line in tries),
        sep="\n",
        file=sys.stderr,
    )
