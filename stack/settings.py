"""The settings of one run, read from the environment that `make NAME=value` passes on."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack import imports
from stack.errors import UsageError
from stack.versions import NEXT_TENSORFLOW, TENSORFLOW, minor

ENGINES = ("auto", "compose", "local")
PYTHONS = ("3.11", "3.12", "3.13")
DEFAULT_PORTS = {"GRPC_PORT": 8500, "REST_PORT": 8501}
CONSOLE, PROMETHEUS, GRAFANA = "console", "prometheus", "grafana"
COMPANION_PORTS = {CONSOLE: 8600, PROMETHEUS: 9090, GRAFANA: 3000}
DEFAULT_JOB = "fashion-dense"
# Processes or containers of one kind on one machine; more is a slip of the pen.
MOST = 64
DEFAULT_STUDY = "imdb"
# MLflow's own variable: where runs are tracked.
TRACKING = "MLFLOW_TRACKING_URI"
NAMES = (
    *(
        "ENGINE",
        "JOB",
        "GPU",
        "RETRAIN",
        "REPLICAS",
        "GRPC_PORT",
        "REST_PORT",
        "ROWS",
        "FORCE",
        "PART",
        "WORKERS",
    ),
    *("CONSOLE", "OBSERVE", "CONSOLE_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"),
    *("RELEASE", "FOLLOW_NEWEST", "VERSION", "GATE", "RAMP", "HOLD", "KEEP", "REASON", "AT"),
    *("PYTHON", "TENSORFLOW"),
    *imports.NAMES,
)
# In MAKEFLAGS a space of a value is written with a backslash.
_ASSIGNED = re.compile(r"(?<!\S)(?<!\\ )([A-Za-z_]\w*)[:+?]*=")


@dataclass(frozen=True)
class ReleaseSettings:
    """How a release is made. `wanted` False leaves what was trained a candidate; `follow_newest` makes no releases.

    The texts are those of the client's options, empty where they were not given; the client checks them.
    """

    wanted: bool
    follow_newest: bool
    version: str
    gate: Path | None
    ramp: str
    hold: str
    keep: str
    reason: str
    at: str


@dataclass(frozen=True)
class CompanionSettings:
    """What runs beside the server. `wanted` by name: None leaves it as it was. `ports` are those that were given."""

    wanted: Mapping[str, bool | None]
    ports: Mapping[str, int | None]


@dataclass(frozen=True)
class Settings:
    """What the user asked for. Where it is `None`, a running service keeps its value; a new one gets the default."""

    root: Path
    engine: str
    job: str
    job_given: bool
    imports: Mapping[str, str]
    name: str
    study: str
    gpu: bool
    retrain: bool
    workers: int
    replicas: int | None
    grpc_port: int | None
    rest_port: int | None
    rows: str
    force: bool
    model: str
    python: str
    tensorflow: str
    releases: ReleaseSettings
    companions: CompanionSettings

    @property
    def state_dir(self) -> Path:
        """Where the stack keeps its pid file, logs and state: `.atelier`, in the checkout."""
        return self.root / ".atelier"


def read_settings(root: Path, environ: Mapping[str, str]) -> Settings:
    """Validate the settings; `UsageError` names the first wrong one."""
    if os.pathsep in str(root):
        raise UsageError(
            f"The checkout's path {root} holds a '{os.pathsep}', which separates paths for Python and for containers; "
            "move it to another folder."
        )
    _require_known(environ.get("MAKEFLAGS", ""))
    engine = environ.get("ENGINE") or "auto"
    if engine not in ENGINES:
        raise UsageError(f"ENGINE={engine}: expected one of {', '.join(ENGINES)}.")
    grpc_port = _port(environ, "GRPC_PORT")
    rest_port = _port(environ, "REST_PORT")
    if (grpc_port or DEFAULT_PORTS["GRPC_PORT"]) == (rest_port or DEFAULT_PORTS["REST_PORT"]):
        raise UsageError("GRPC_PORT and REST_PORT must differ.")
    return Settings(
        root=root,
        engine=engine,
        job=environ.get("JOB") or DEFAULT_JOB,
        job_given=bool(environ.get("JOB")),
        imports={name: environ[name] for name in imports.NAMES if environ.get(name)},
        name=environ.get("NAME", ""),
        study=environ.get("JOB") or DEFAULT_STUDY,
        gpu=_flag(environ, "GPU"),
        retrain=_flag(environ, "RETRAIN"),
        workers=_count(environ, "WORKERS") or 1,
        replicas=_count(environ, "REPLICAS"),
        grpc_port=grpc_port,
        rest_port=rest_port,
        rows=environ.get("ROWS") or "0:5",
        force=_flag(environ, "FORCE"),
        model=environ.get("MODEL", ""),
        python=_one_of(environ, "PYTHON", PYTHONS),
        tensorflow=_tensorflow(environ),
        releases=_releases(root, environ),
        companions=_companions(environ),
    )


def _companions(environ: Mapping[str, str]) -> CompanionSettings:
    observe = _flag(environ, "OBSERVE") if environ.get("OBSERVE") else None
    # The console is there unless it is left out.
    console = _flag(environ, "CONSOLE") if environ.get("CONSOLE") else True
    return CompanionSettings(
        wanted={CONSOLE: console, PROMETHEUS: observe, GRAFANA: observe},
        ports={name: _port(environ, f"{name.upper()}_PORT") for name in COMPANION_PORTS},
    )


def _releases(root: Path, environ: Mapping[str, str]) -> ReleaseSettings:
    wanted = environ.get("RELEASE") or "1"
    if wanted not in ("0", "1"):
        raise UsageError(f"RELEASE={wanted}: expected 1 or 0.")
    version = environ.get("VERSION", "")
    if version and not version.isdecimal():
        raise UsageError(f"VERSION={version}: expected the number of a version.")
    given = environ.get("GATE", "")
    gate = root / (given or "gate.yaml")
    if given and not gate.is_file():
        raise UsageError(f"GATE={given}: there is no such file.")
    return ReleaseSettings(
        wanted=wanted == "1",
        follow_newest=_flag(environ, "FOLLOW_NEWEST"),
        version=version,
        gate=gate if gate.is_file() else None,
        ramp=environ.get("RAMP", ""),
        hold=environ.get("HOLD", ""),
        keep=environ.get("KEEP", ""),
        reason=environ.get("REASON", ""),
        at=environ.get("AT", ""),
    )


def _require_known(makeflags: str) -> None:
    """Raise `UsageError` for a name on make's command line that is nearly a setting's: make takes any name.

    Other names are left alone. make gives them to the programs as environment variables, and some are meant for these.
    """
    for name in _ASSIGNED.findall(makeflags):
        near = difflib.get_close_matches(name.upper(), NAMES, n=1)
        if near and name not in NAMES:
            raise UsageError(f"{name}=..: there is no such setting. Did you mean {near[0]}?")


def _one_of(environ: Mapping[str, str], name: str, values: Sequence[str]) -> str:
    value = environ.get(name, "")
    if value and value not in values:
        raise UsageError(f"{name}={value}: expected {' or '.join(values)}.")
    return value


def _tensorflow(environ: Mapping[str, str]) -> str:
    value = environ.get("TENSORFLOW", "")
    if value == minor(TENSORFLOW):
        raise UsageError(f"TENSORFLOW={value} is what there is without this setting: leave it out.")
    return _one_of(environ, "TENSORFLOW", (minor(NEXT_TENSORFLOW),))


def _flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "")
    if value not in ("", "0", "1"):
        raise UsageError(f"{name}={value}: expected 1 or 0.")
    return value == "1"


def _count(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 9 and 1 <= int(value) <= MOST):
        raise UsageError(f"{name}={value}: expected a number from 1 to {MOST}.")
    return int(value)


def _port(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name, "")
    if not value:
        return None
    if not value.isdecimal() or not 1 <= int(value) <= 65535:
        raise UsageError(f"{name}={value}: expected a port number from 1 to 65535.")
    return int(value)


def container_user() -> tuple[int, int]:
    """Uid and gid the containers run as: the caller's own, or 10001 when the caller is root (never root inside)."""
    uid = os.getuid()
    gid = os.getgid()
    return (uid, gid) if uid else (10001, 10001)
