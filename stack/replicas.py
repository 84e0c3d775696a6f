"""Several servers on one model repository (REPLICAS): more or fewer of them, and a restart of each in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from stack import served, service
from stack import state as states
from stack.console import note
from stack.engines.engine import Engine
from stack.errors import NotRunning, StepFailed
from stack.settings import CONSOLE, Settings
from stack.state import State

# A server that starts loads its models, which may be large.
START_SECONDS = 180.0


def scale(engine: Engine, state: State, replicas: int, beside: dict[str, int]) -> bool:
    """Bring a running service to so many servers; False when there was nothing to do.

    `beside` are the companions that run; one that has to be started anew is taken out of it.
    """
    before = state.replicas
    models = service.models_of(engine, state)
    started = engine.scale(state, replicas)
    for number in started:
        _await_server(state, models, number)
    if before == replicas and not started:
        return False
    engine.companions.follow(state)
    if before != replicas and state.engine == "local" and CONSOLE in beside:
        del beside[CONSOLE]
        # It was started with the addresses of the servers that there were.
        engine.companions.stop(CONSOLE, state)
    note(f"Servers: {replicas} (before: {before}; started now: {len(started)}).")
    return True


def restart(settings: Settings) -> None:
    """Start every server again, one after the other: with several of them somebody answers all the time."""
    with states.exclusive(settings.state_dir):
        # It is about all models.
        engine, state = service.asked_for(replace(settings, job_given=False))
        models = service.models_of(engine, state)
        if state.replicas == 1:
            note("There is one server, and nobody answers while it starts; REPLICAS=2 would have another.")
        for number in range(state.replicas):
            _await_others(state, models, number)
            engine.restart(state, number)
            _await_server(state, models, number)
            note(f"Server {number + 1} of {state.replicas} was started again, and answers.")


def _await_others(state: State, models: list[str], number: int) -> None:
    """Raise `NotRunning` when no other server would answer while this one starts."""
    others = [port for other, port in enumerate(state.rest_ports) if other != number]
    for model in models:
        if others and all(served.newest([port], model) is None for port in others):
            raise NotRunning(
                f"Server {number + 1} was not started again: no other server answers for {model}. `make ps` shows what "
                "runs, `make up` starts what is missing."
            )


def _await_server(state: State, models: list[str], number: int) -> None:
    """Wait until a server answers for every model as the others do. Raises `StepFailed`."""
    port = state.rest_ports[number]
    others = [other for other in state.rest_ports if other != port]
    deadline = time.monotonic() + START_SECONDS
    for model in models:
        while not _answers_as(port, others, model):
            if time.monotonic() > deadline:
                raise StepFailed(
                    f"Server {number + 1} (REST on port {port}) does not answer for {model} within "
                    f"{START_SECONDS:.0f} s; the others go on. `make logs` says why."
                )
            time.sleep(0.1)


def _answers_as(port: int, others: Sequence[int], model: str) -> bool:
    """Whether a server has a version of the model that answers, and the label `stable` where the others have it."""
    if served.newest([port], model) is None:
        # Nobody may have it: a version that loads nowhere must not hold up the rest.
        return bool(others) and all(served.newest([other], model) is None for other in others)
    stable = served.labelled(others, model, "stable")
    return stable is None or served.labelled([port], model, "stable") == stable
