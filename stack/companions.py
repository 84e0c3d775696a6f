"""What runs beside the server: the console, and with OBSERVE=1 Prometheus and Grafana.

A companion is never the reason that `make up` fails once it has begun: what does not start is named in one sentence.
"""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from stack import state as states
from stack.console import note
from stack.engines.engine import Engine
from stack.errors import StackError, UsageError
from stack.ports import require_free
from stack.settings import COMPANION_PORTS, CONSOLE, GRAFANA, PROMETHEUS, Settings
from stack.state import State

READY_SECONDS = 30.0


@dataclass(frozen=True)
class Companion:
    """`name` is that of its settings, its log and its container; `health` is the path that answers when it is ready."""

    name: str
    title: str
    health: str


ALL = (
    Companion(CONSOLE, "Console", "/healthz"),
    Companion(PROMETHEUS, "Prometheus", "/-/ready"),
    Companion(GRAFANA, "Grafana", "/api/health"),
)


def ports(settings: Settings, remembered: State | None, server: Sequence[int]) -> dict[str, int]:
    """The companions that are wanted, with their ports: asked for, as before, or by default.

    What is not asked for stays as it was. Raises `UsageError` for a port that two are to have; the console is left out.
    """
    had = remembered.companions if remembered else {}
    found: dict[str, int] = {}
    for companion in ALL:
        name = companion.name
        wanted = settings.companions.wanted[name]
        if wanted or (wanted is None and name in had):
            before = had[name]["port"] if name in had else COMPANION_PORTS[name]
            found[name] = settings.companions.ports[name] or before
    for name, port in list(found.items()):
        if [*server, *found.values()].count(port) > 1:
            said = f"Port {port} is asked for twice: choose another {name.upper()}_PORT."
            if name != CONSOLE:
                raise UsageError(said)
            note(f"No console: {said}")
            del found[name]
    return found


def require_ports(wanted: dict[str, int], running: dict[str, int]) -> None:
    """Raise `UsageError` for a port of what OBSERVE=1 asks for that another program has.

    Nobody has asked for the console: it is left out, with a sentence. `running` has the companions that run already.
    """
    for name, port in list(wanted.items()):
        if running.get(name) == port:
            continue
        try:
            require_free(**{f"{name.upper()}_PORT": port})
        except UsageError as reason:
            if name != CONSOLE:
                raise
            note(f"No console: {reason}")
            del wanted[name]


def running(engine: Engine, state: State) -> dict[str, int]:
    """The ports of the companions that run."""
    return {
        name: known["port"]
        for name, known in state.companions.items()
        if engine.companions.running(name, state)
    }


def bring(
    engine: Engine, settings: Settings, state: State, wanted: dict[str, int], now: dict[str, int]
) -> None:
    """Start what is wanted and does not run `now`, stop what is not wanted any more."""
    for companion in ALL:
        name = companion.name
        if now.get(name) == wanted.get(name):
            if name not in wanted:
                state.companions.pop(name, None)
            continue
        try:
            if name in now:
                engine.companions.stop(name, state)
            if name not in wanted:
                note(f"{companion.title}: stopped.")
                continue
            engine.companions.start(name, wanted[name], state)
        except (StackError, OSError) as reason:
            note(f"{'No' if name in wanted else 'Not stopped:'} {companion.title}: {reason}")
            if name in wanted:
                state.companions.pop(name, None)
    states.save(settings.state_dir, state)


def await_ready(engine: Engine, state: State) -> list[tuple[str, str]]:
    """Wait until the companions answer, and say which does not; (title, address) of those that do."""
    found = []
    deadline = time.monotonic() + READY_SECONDS
    for companion in ALL:
        known = state.companions.get(companion.name)
        if known is None:
            continue
        while not _answers(known["port"], companion.health):
            if time.monotonic() > deadline or not engine.companions.running(companion.name, state):
                note(
                    f"{companion.title} does not answer: `make logs` has its log. `make up` starts it again."
                )
                break
            time.sleep(0.2)
        else:
            found.append((companion.title, engine.companions.address(companion.name, state)))
    return found


def lines(engine: Engine, state: State) -> list[tuple[str, str]]:
    """(title, address) of each companion that was started; what has stopped since says so."""
    found = []
    for companion in ALL:
        if companion.name in state.companions:
            address = engine.companions.address(companion.name, state)
            if not engine.companions.running(companion.name, state):
                address = f"has stopped; `make up` starts it again at {address}"
            found.append((companion.title, address))
    return found


def _answers(port: int, path: str) -> bool:
    """Proxies that the environment names are not used."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=2):
            return True
    except (OSError, http.client.HTTPException):
        return False
