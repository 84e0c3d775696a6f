"""The commands on the service that `make up` left running."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import replace

from stack import companions, served
from stack import state as states
from stack.console import note
from stack.engines import engine as engines
from stack.engines.engine import Engine
from stack.errors import NotRunning, StackError, Unavailable, UsageError
from stack.imports import find_import, setting_of
from stack.jobs import find_job
from stack.settings import Settings
from stack.state import State

# A container's restart policy starts a killed server again within a second; it then loads its models.
ANSWER_SECONDS = 30.0
LABELS = ("stable", "canary", "previous")
_HALTED = "The service has been halted from outside: it runs, and answers nobody."


def evaluate(settings: Settings) -> None:
    """Evaluate the running service again: the model of JOB, or the last one that `make up` served."""
    engine, state = asked_for(settings)
    wait_for_answers(engine, state)
    engine.client(["evaluate"], state)


def predict(settings: Settings) -> None:
    """Classify rows of the test examples over gRPC, with the model of JOB or the last one that `make up` served."""
    engine, state = asked_for(settings)
    wait_for_answers(engine, state)
    engine.client(["predict", "--rows", settings.rows], state)


def drift(settings: Settings) -> None:
    """Compare the requests that the server has kept with what the model was trained on."""
    engine, state = asked_for(settings)
    kept = engine.requests(state)
    if kept is None:
        raise Unavailable(
            "TensorFlow Serving keeps no requests. `Client(..., recorder=Recorder(folder, rate))` keeps those of a "
            "caller, and `atelier-client drift --log folder` compares them (docs/observe.md)."
        )
    engine.client(["drift", "--log", kept], state)


def release(settings: Settings) -> None:
    """Take VERSION, or the newest one, through the gate to `stable`."""
    _change(settings, "release", *release_options(settings), *_forced(settings))


def rollback(settings: Settings) -> None:
    """Make the version before stable again, or VERSION."""
    reason = settings.releases.reason
    _change(settings, "rollback", *(["--reason", reason] if reason else []))


def history(settings: Settings) -> None:
    """Print which version was stable when; AT=TIME prints what was stable then."""
    try:
        engine, state = asked_for(settings)
    except NotRunning as error:
        record = settings.root / "models" / "rollouts.jsonl"
        if not record.exists():
            raise
        raise NotRunning(
            f"{error} The record is kept in models/{record.name}, a JSON object a line; `atelier-client history` reads "
            "it without a service."
        ) from None
    at = settings.releases.at
    engine.client(["history", *(["--at", at] if at else [])], state)


def release_options(settings: Settings) -> list[str]:
    """The settings of a release as options of the client's command."""
    releases = settings.releases
    given = {"--ramp": releases.ramp, "--hold": releases.hold, "--keep": releases.keep}
    return [word for option, value in given.items() if value for word in (option, value)]


def _forced(settings: Settings) -> list[str]:
    reason = ["--reason", settings.releases.reason] if settings.releases.reason else []
    return [*(["--force"] if settings.force else []), *reason]


def _change(settings: Settings, command: str, *options: str) -> None:
    """Run a command that changes which version is stable. It needs no lock of ours: the client has its own."""
    engine, state = asked_for(settings)
    wait_for_answers(engine, state)
    version = [settings.releases.version] if settings.releases.version else []
    engine.release([command, *version, *options], state)


def require_awake(engine: Engine, state: State) -> None:
    """Raise `NotRunning` for a service that somebody has halted: nothing comes of waiting for it."""
    if command := engine.halted(state):
        raise NotRunning(f"{_HALTED} `{command}` lets it go on, `make down` stops it.")


def wait_for_answers(engine: Engine, state: State) -> None:
    """Wait a while for a model that does not answer, as after its container was started again."""
    if served.newest(state.rest_ports, state.model) is not None:
        return
    note(f"Model {state.model} does not answer yet: waiting for it.")
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline and engine.running(state):
        if served.newest(state.rest_ports, state.model) is not None:
            return
        time.sleep(0.5)


def down(settings: Settings) -> None:
    """Stop the service; models, data and reports stay."""
    with states.exclusive(settings.state_dir):
        state = states.load(settings.state_dir)
        if state:
            engines.of_state(settings, state).stop(state)
        elif not engines.stop_forgotten(settings):
            states.forget(settings.state_dir)
            note("Nothing is running.")
            return
        states.forget(settings.state_dir)
        note("Stopped. Models, data and reports are kept; `make up` serves again without training.")


def end_companions(settings: Settings, state: State) -> None:
    """Stop what was left beside a server that has stopped; they start anew with the next one."""
    try:
        engine = engines.of_state(settings, state)
        for name in list(state.companions):
            engine.companions.stop(name, state)
    except StackError as reason:
        note(f"What ran beside the service is not stopped: {reason}")


def logs(settings: Settings) -> None:
    """Print the log of the service, and of its companions."""
    state = remembered(settings)
    if state is None:
        raise NotRunning("No service was started here. `make up` starts one.")
    engines.of_state(settings, state).logs(state)


def ps(settings: Settings) -> None:
    """Print what runs, its addresses, and every model that is served."""
    state = remembered(settings)
    if state is None:
        print("Nothing is running. `make up` starts the service.")
        return
    engine = engines.of_state(settings, state)
    engine.ps(state)
    for title, address in companions.lines(engine, state):
        print(f"{title}  {address}")
    if not engine.running(state):
        print(
            "The service has stopped. `make up` starts it again on its ports; `make logs` shows why, if it still can."
        )
        return
    if command := engine.halted(state):
        print(f"{_HALTED} `{command}` lets it go on, `make down` stops it.")
        return
    for grpc_port, rest_port in zip(state.grpc_ports, state.rest_ports, strict=True):
        print(f"gRPC 127.0.0.1:{grpc_port}   REST http://127.0.0.1:{rest_port}")
    for model in models_of(engine, state):
        versions = served.versions(state.rest_ports, model)
        labels = _labels(state.rest_ports, model)
        words = ", ".join(
            f"version {number} {word}{labels.get(number, '')}" for number, word in (versions or {}).items()
        )
        job = f"   {setting_of(state.jobs[model])}" if model in state.jobs else ""
        print(f"model {model}   {words or 'does not answer'}{job}")


def _labels(rest_ports: Sequence[int], model: str) -> dict[int, str]:
    """The labels of the model's versions, in brackets."""
    named = {label: served.labelled(rest_ports, model, label) for label in LABELS}
    return {
        version: f" ({', '.join(label for label, other in named.items() if other == version)})"
        for version in named.values()
        if version is not None
    }


def remembered(settings: Settings) -> State | None:
    """The service that the state file describes, None when there is none. Raises `StackError` when it is damaged."""
    if states.damaged(settings.state_dir):
        raise StackError(
            f"{settings.state_dir / 'state.json'} is damaged, so what runs here is not known. `make down` stops "
            "whatever this checkout started; `make up` then serves again without training."
        )
    return states.load(settings.state_dir)


def running(settings: Settings, state: State | None) -> tuple[Engine, State] | None:
    """The remembered service with its engine, None when it does not run or this machine has not its engine now.

    Raises `Unavailable` when the engine is there and does not say whether the service runs.
    """
    if state is None:
        return None
    try:
        engine = engines.of_state(settings, state)
    except Unavailable:
        return None
    return (engine, state) if engine.running(state) else None


def asked_for(settings: Settings) -> tuple[Engine, State]:
    """The running service, its model being that of JOB, MODEL or NAME where one is given. Raises `NotRunning`."""
    imported = find_import(settings.root, settings.imports)
    source = find_job(settings.root, settings.job) if settings.job_given else imported
    state = remembered(settings)
    engine = engines.of_state(settings, state) if state else None
    if state is None or engine is None or not engine.running(state):
        raise NotRunning(
            "The service is not running. `make up` starts it; `make logs` shows the last log, if there is one."
        )
    if settings.replicas not in (None, state.replicas):
        note(
            f"The service has {state.replicas} servers; `make up REPLICAS={settings.replicas}` changes that."
        )
    if settings.engine not in ("auto", state.engine):
        raise UsageError(
            f"ENGINE={settings.engine}: a service runs with ENGINE={state.engine}; `make down` first."
        )
    asked = (settings.grpc_port or state.grpc_port, settings.rest_port or state.rest_port)
    if asked != (state.grpc_port, state.rest_port):
        note(
            f"The service has the ports {state.grpc_port} and {state.rest_port}; `make down` first to move it."
        )
    require_awake(engine, state)
    models = models_of(engine, state)
    if source is None and settings.name:
        if settings.name not in models:
            raise NotRunning(f"NAME={settings.name}: there is no such model, only {', '.join(models)}.")
        return engine, replace(state, model=settings.name)
    if source is None:
        if len(models) > 1:
            others = ", ".join(name for name in models if name != state.model)
            note(
                f"Model {state.model}, the last one that `make up` served (also here: {others}; JOB=.. chooses)."
            )
        return engine, state
    model = source.model or next(
        (name for name, made_by in state.jobs.items() if made_by == source.key), None
    )
    again = f"`make up {shlex.quote(source.setting)}` makes and serves it."
    if model not in models:
        raise NotRunning(
            f"{source.setting}: its model {model} is not served, only {', '.join(models)}. {again}"
        )
    made_by = state.jobs.get(model, source.key)
    if made_by != source.key:
        raise NotRunning(
            f"{source.setting}: model {model} is served as {setting_of(made_by)} made it. {again}"
        )
    return engine, replace(state, model=model)


def models_of(engine: Engine, state: State) -> list[str]:
    """The models that are served: those of models.config, or at least those that `make up` knows of."""
    return served.models_of(engine.models(state)) or list(state.jobs) or [state.model]
