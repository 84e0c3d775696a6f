"""The loop behind `make up`: set up, train or import, serve, evaluate."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from stack import companions, files, served, service
from stack import replicas as more_or_fewer
from stack import state as states
from stack.console import note, step
from stack.engines import engine as engines
from stack.engines.engine import Engine
from stack.errors import StepFailed, UsageError
from stack.imports import Import, find_import
from stack.jobs import JobFile, find_job, find_study, require_data
from stack.ports import of_replicas, require_free, require_free_for_replicas, require_room
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
    source = _source(settings)
    with states.exclusive(settings.state_dir):
        remembered = service.remembered(settings)
        running = service.running(settings, remembered)
        step(1, STEPS, "Set up")
        grpc_port, rest_port = _ports(settings, remembered, running=running is not None)
        replicas = settings.replicas or (remembered.replicas if remembered else 1)
        require_room(grpc_port, rest_port, replicas)
        grpc_ports, rest_ports = of_replicas(grpc_port, replicas), of_replicas(rest_port, replicas)
        beside = companions.ports(settings, remembered, [*grpc_ports, *rest_ports])
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
            require_free_for_replicas(grpc_ports[1:], rest_ports[1:])
            now = {}
            companions.require_ports(beside, now)
            engine, how = engines.prepare(settings, remembered)
            jobs = remembered.jobs if remembered else {}
            state = State(
                engine.name, grpc_port, rest_port, "", gpu=settings.gpu, jobs=jobs, replicas=replicas, **how
            )
        note(f"Engine: {engine.name}")

        step(2, STEPS, source.step)
        inputs = engine.inputs(source)
        before = _done_before(settings, engine, state, source, inputs) if running else None
        trained = before or _made(engine, settings, source)

        model = trained["model"]
        version = trained["version"]
        step(3, STEPS, f"Serve {model}")
        state.model = model
        state.jobs.setdefault(model, source.key)
        if running:
            if not more_or_fewer.scale(engine, state, replicas, now):
                note("Already running: left undisturbed.")
            if not state.labels and not settings.releases.follow_newest:
                note(_OLD_SERVER)
        else:
            state = engine.serve(state)
        states.save(settings.state_dir, state)
        companions.bring(engine, settings, state, beside, now)
        failed = None if before else _release(engine, settings, state, version)
        stable = served.labelled(state.rest_ports, model, "stable")
        if stable in (None, version):
            # What is only a candidate, or was rejected, does not answer for the model.
            state.jobs[model] = source.key
            states.save(settings.state_dir, state)

        step(4, STEPS, "Evaluate what is served")
        report = settings.root / "reports" / "evaluation.json"
        evaluated = True
        if why := _not_evaluated(trained):
            evaluated = False
            note(f"{model} is served, and not evaluated: {why}.")
        elif before and _digest(report) == state.done[source.key].get("report"):
            note(
                f"Nothing has changed since it was evaluated:{_quality(report)} `make evaluate` does it again."
            )
        else:
            evaluated = _evaluate(engine, state, trained)
        if inputs and not failed:
            state.done[source.key] = {
                "inputs": inputs,
                "how": _how(settings),
                "service": engine.service(state),
                "trained": trained,
                "stable": stable,
                "report": _digest(report),
            }
            states.save(settings.state_dir, state)
        answering = companions.await_ready(engine, state)
    _summary(source, settings, state, trained, answering, evaluated=evaluated)
    if failed:
        raise failed


def _source(settings: Settings) -> JobFile | Import:
    """What MODEL imports, or else what JOB trains. Raises `UsageError`."""
    imported = find_import(settings.root, settings.imports)
    if imported and settings.job_given:
        raise UsageError("JOB trains a model and MODEL imports one: give one of them.")
    if imported:
        return imported
    job = find_job(settings.root, settings.job)
    require_data(job)
    return job


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
        if settings.workers > 1:
            note("WORKERS is for `make up`: a study trains one model after the other in one process each.")
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
    settings: Settings, engine: Engine, state: State, source: JobFile | Import, inputs: str | None
) -> dict[str, Any] | None:
    """The trainer's last result, if nothing that it depends on has changed and it is still served; else None."""
    done = state.done.get(source.key)
    if settings.retrain or not inputs or not done or done.get("inputs") != inputs:
        return None
    if done.get("how") != _how(settings):
        return None
    trained: dict[str, Any] = done["trained"]
    if done.get("service") != engine.service(state):
        return None
    if served.labelled(state.rest_ports, trained["model"], "stable") != done.get("stable"):
        return None
    if served.newest(state.rest_ports, trained["model"]) is None:
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


def _quality(report: Path) -> str:
    metrics = json.loads(report.read_text(encoding="utf-8")).get("metrics", {})
    if "accuracy" in metrics:
        return f" accuracy {metrics['accuracy']:.4f}."
    return f" mean absolute error {metrics['mae']:.5g}." if "mae" in metrics else ""


def _made(engine: Engine, settings: Settings, source: JobFile | Import) -> dict[str, Any]:
    """Train or import; return the trainer's result."""
    if isinstance(source, Import):
        files = [word for option, path in source.files.items() for word in (option, engine.file(path))]
        options = [word for option, value in source.options.items() for word in (option, value)]
        arguments = ["import", engine.file(source.path), "--name", source.model, *files, *options]
    else:
        arguments = ["train", engine.job(source)]
    arguments += [] if settings.retrain else ["--if-needed"]
    if settings.releases.follow_newest:
        arguments.append("--follow-newest")
    if settings.workers > 1:
        arguments += ["--set", "fit.strategy=multi_worker"]
    lines = engine.trainer(arguments, settings.workers).strip().splitlines()
    try:
        made: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise StepFailed(f"The trainer ended without its JSON line; it printed: {lines[-1:]}") from None
    return made


def _not_evaluated(made: dict[str, Any]) -> str | None:
    """Why an imported model cannot be evaluated: it has no labelled examples. None for any other."""
    return made["unmeasured"] if made.get("labelled") is False else None


def _evaluate(engine: Engine, state: State, made: dict[str, Any]) -> bool:
    """Evaluate what is served. False when the client says that it cannot measure an imported model."""
    if "imported" not in made:
        engine.client(["evaluate"], state)
        return True
    chosen = {"--output": made["output"], "--signature": made["signature"]}
    options = [word for option, value in chosen.items() if value for word in (option, value)]
    try:
        engine.client(["evaluate", *options], state)
    except StepFailed as failure:
        if failure.exit_code != UsageError.exit_code:
            raise
        note(f"{made['model']} is served, and not evaluated: the sentence above says why.")
        return False
    return True


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
        if served.labelled(state.rest_ports, state.model, "stable") is not None:
            return failure
        cause = "did not become ready" if engine.running(state) else "stopped before it was ready"
        raise StepFailed(f"The server {cause}. {engine.log_tail()}", failure.exit_code) from None
    return None


def _others(state: State) -> str:
    """The REST ports of the servers beside the first."""
    more = ", ".join(map(str, state.rest_ports[1:]))
    return f"  (and on {more})" if more else ""


def _summary(
    source: JobFile | Import,
    settings: Settings,
    state: State,
    trained: dict[str, Any],
    beside: list[tuple[str, str]],
    *,
    evaluated: bool,
) -> None:
    words = source.words if settings.job_given or isinstance(source, Import) else []
    given = "".join(f"{shlex.quote(word)} " for word in words)
    stable = served.labelled(state.rest_ports, state.model, "stable")
    request = served.example_request(state.rest_port, state.model, "stable" if stable else "")
    predict = ["make predict ROWS=0:5"] if trained.get("examples", True) else []
    tries = [*predict, *([request] if request else []), f"make up {given}RETRAIN=1"]
    places = [
        ("gRPC", state.target),
        ("REST", f"http://127.0.0.1:{state.rest_port}/v1/models/{state.model}{_others(state)}"),
        *beside,
        *([("Report", "reports/evaluation.html  (data: reports/evaluation.json)")] if evaluated else []),
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
