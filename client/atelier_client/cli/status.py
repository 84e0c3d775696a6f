"""The commands `status` and `metadata`: what is served."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from atelier_client.cli.options import add_command, add_folder, connect, each_server, say
from atelier_client.client import Client
from atelier_client.errors import ClientError, InvalidRequest, ModelNotFound
from atelier_client.responses import VersionStatus


def register(commands: Any) -> None:
    """Declare the commands."""
    status = add_command(
        commands,
        "status",
        _status,
        "the versions and their states",
        "atelier-client status --wait 60 --version 2",
        label=False,
    )
    status.add_argument(
        "--wait", type=float, metavar="SECONDS", help="until a version answers, golden examples included"
    )
    add_folder(status, "models", "the model repository, for golden examples")
    add_command(
        commands,
        "metadata",
        _metadata,
        "the signatures: inputs and outputs",
        "atelier-client metadata --target 127.0.0.1:8500 --model shoes",
    )


def _status(options: argparse.Namespace) -> int:
    if options.wait is not None:
        # Ready is what every server answers.
        options.target = ",".join(each_server(options))
    with connect(options) as client:
        if options.wait is not None:
            started = time.monotonic()
            version = client.wait_ready(options.wait, options.version)
            _check_golden(client, version, options)
            say(f"{options.model} version {version} is ready ({time.monotonic() - started:.1f} s).")
        entries = client.status()
        labels = _labels(client)
    if options.version is not None:
        entries = [entry for entry in entries if entry.version == options.version]
    if options.json:
        print(json.dumps([_document(entry, labels) for entry in entries]))
    elif options.wait is None:
        from atelier_client.cli.tables import print_status

        print_status(options.model, entries, labels)
    return 0


def _labels(client: Client) -> dict[str, int]:
    """The versions of the labels that releases give (docs/releases.md); a server does not tell which others it has."""
    found = {}
    for label in ("stable", "canary", "previous"):
        with contextlib.suppress(InvalidRequest, ModelNotFound):
            found[label] = client.version_of(label)
    return found


def _document(entry: VersionStatus, labels: Mapping[str, int]) -> dict[str, Any]:
    named = [label for label, version in labels.items() if version == entry.version]
    return asdict(entry) | {"state": entry.state.name, "labels": named}


def _check_golden(client: Client, version: int, options: argparse.Namespace) -> None:
    from atelier_client._model_card import read_golden
    from atelier_client.evaluation import skew

    golden = read_golden(options.models / options.model / str(version))
    verdict = skew.verdict(skew.measure(client, version, golden))
    if verdict:
        raise ClientError(verdict)


def _metadata(options: argparse.Namespace) -> int:
    with connect(options) as client:
        signatures = client.metadata(version=options.version, label=options.label)
    if options.json:
        plain = {
            name: asdict(item) | {"optional": sorted(item.optional)} for name, item in signatures.items()
        }
        print(json.dumps(plain))
    else:
        from atelier_client.cli.tables import print_metadata

        print_metadata(options.model, signatures)
    return 0
