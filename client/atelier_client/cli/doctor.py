"""The command `doctor`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier_client._printable import printable
from atelier_client.cli.options import add_command, choose_model, connect, connection

if TYPE_CHECKING:
    from atelier_client.doctor.finding import Finding

_MARKS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}
# Green, yellow, red.
_COLORS = {"ok": 32, "warning": 33, "error": 31}


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "doctor",
        _doctor,
        "say in order what is wrong with a server, a models directory, or both",
        "atelier-client doctor",
        "atelier-client doctor --models models --model shoes",
        "atelier-client doctor --target 127.0.0.1:8500",
        "atelier-client doctor --target v2+grpc://127.0.0.1:8001 --model shoes",
    )
    # With only one of the two options, check only that side; with neither, check both.
    command.set_defaults(target=None)
    command.add_argument(
        "--models", type=Path, help="the model repository [ATELIER_MODELS] (default: models)"
    )


def _doctor(options: argparse.Namespace) -> int:
    from atelier_client.doctor.finding import Severity

    findings = []
    for finding in _findings(options):
        findings.append(finding)
        if not options.json:
            _print(finding)
    wrong = sum(finding.state is Severity.ERROR for finding in findings)
    warnings = sum(finding.state is Severity.WARNING for finding in findings)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    elif wrong:
        print(f"\n{wrong} error{'s' * (wrong > 1)}. Begin with the first; those after it may follow from it.")
    else:
        print("\nNothing is wrong." if not warnings else f"\nNothing is broken; {warnings} to look at.")
    return 1 if wrong else 0


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    from atelier_client.doctor.connection import check_connection
    from atelier_client.doctor.finding import Severity, error, warning
    from atelier_client.doctor.folder import check_folder
    from atelier_client.doctor.protocol import check_protocol
    from atelier_client.doctor.served import check_served
    from atelier_client.errors import ClientError, SettingsError
    from atelier_client.tls import TLS

    both = options.target is None and options.models is None
    named = options.models is not None or "ATELIER_MODELS" in os.environ
    models = options.models or (Path(os.environ.get("ATELIER_MODELS", "models")) if both else None)
    options.target = (
        options.target or os.environ.get("ATELIER_TARGET", "127.0.0.1:8500") if both else options.target
    )
    with suppress(ClientError):
        choose_model(options)
    if models is not None and not named and not os.path.lexists(models):
        # Nobody has asked for this folder. With containers the repository is in a volume.
        yield warning(
            "models directory",
            f"there is no folder {models} here: only the server is looked at.",
            "Give the folder that holds a folder a model: --models. A repository in a container's volume has none.",
        )
        models = None
    if models is not None:
        yield from check_folder(models, options.model)
    if options.target is None:
        return
    try:
        tls = connection(options)["tls"]
    except SettingsError as problem:
        yield error("TLS", str(problem), "Give both files.")
        return
    reachable = True
    for finding in check_connection(options.target, TLS() if tls is True else tls or None):
        reachable = reachable and finding.state is not Severity.ERROR
        yield finding
    if reachable and options.model is not None:
        for finding in check_protocol(options.target, options.model, connection(options)):
            reachable = reachable and finding.state is not Severity.ERROR
            yield finding
        if not reachable:
            return
    if reachable and options.model is None:
        yield error("model name", "Which model is meant is not known.", "Give its name: --model NAME.")
    elif reachable:
        with connect(options) as client:
            yield from check_served(client, models, options.version, options.label)


def _print(finding: Finding) -> None:
    mark = _MARKS[finding.state]
    if sys.stdout.isatty():
        mark = f"\x1b[{_COLORS[finding.state]}m{mark}\x1b[0m"
    print(printable(f"{mark}  {finding.check}: {finding.text}"))
    if finding.advice:
        print(printable(f"{'':9}{finding.advice}"))
