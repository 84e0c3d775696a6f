"""The command `rollback`."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from typing import Any

from atelier_client.cli.options import add_command, add_folder, choose_model, say
from atelier_client.cli.release import add_gate, connected
from atelier_client.cli.standard_streams import reader_may_leave
from atelier_client.errors import DataError, SettingsError


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "rollback",
        _rollback,
        "make the version before stable again, at once and without a gate; ends a release that is under way",
        "atelier-client rollback",
        "atelier-client rollback 3 --reason 'complaints about boots'",
        version=False,
    )
    command.add_argument(
        "wanted",
        type=int,
        nargs="?",
        metavar="VERSION",
        help="one that was stable before (default: label previous)",
    )
    command.add_argument("--reason", default="", metavar="TEXT", help="why, for the record")
    command.add_argument(
        "--wait",
        type=float,
        default=180.0,
        metavar="SECONDS",
        help="for a version to be loaded (default: %(default)g)",
    )
    add_gate(command)
    add_folder(command, "models", "the model repository")


def _rollback(options: argparse.Namespace) -> int:
    from atelier_client.gate.rules import read_rules
    from atelier_client.release.hooks import Hooks
    from atelier_client.release.repository import Repository
    from atelier_client.release.rollback import Rollback

    began = time.monotonic()
    if not 0 < options.wait < float("inf"):
        raise SettingsError(f"--wait {options.wait:g}: expected seconds, more than 0.")
    choose_model(options)
    try:
        commands = asdict(read_rules(options.gate).hooks)
    except (SettingsError, DataError) as error:
        # A rollback is wanted now, and the rules say nothing about it.
        say(f"warning: no hook is run, for the rules cannot be read: {error}")
        commands = {}
    hooks = Hooks(commands, say, options.gate)
    repository = Repository(options.models, options.model)
    with connected(options) as (_, replicas):
        version = Rollback(repository, replicas, hooks, say).run(options.wanted, options.reason, options.wait)
    if options.json:
        document = {"model": options.model, "stable": version, "previous": repository.served().previous}
        with reader_may_leave():
            print(json.dumps(document))
    say(f"Version {version} is stable ({time.monotonic() - began:.1f} s).")
    return 0
