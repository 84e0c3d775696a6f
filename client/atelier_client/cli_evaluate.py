"""The command `evaluate`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from atelier_client.cli_options import add_command, add_folder, connect, say


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "evaluate",
        _evaluate,
        "measure what is served on the test split, write the report",
        "atelier-client evaluate",
    )
    add_folder(command, "data", "the data folder")
    add_folder(command, "models", "the model repository, for golden examples and class names")
    add_folder(command, "reports", "where evaluation.json and evaluation.html go")


def _evaluate(options: argparse.Namespace) -> int:
    from atelier_client.evaluation import evaluate, write_json

    with connect(options) as client:
        evaluation = evaluate(
            client, options.data, options.models, version=options.version, label=options.label
        )
    write_json(evaluation.report, options.reports / "evaluation.json")
    if options.json:
        print(json.dumps(evaluation.report))
    else:
        from atelier_client.html_report import write_html
        from atelier_client.tables import print_evaluation

        write_html(evaluation, options.reports / "evaluation.html")
        print_evaluation(evaluation.report)
    if evaluation.report["skew"]["examples"] is None:
        say(
            f"warning: no golden examples under {options.models}: whether the model answers as trained is not known."
        )
    if evaluation.verdict:
        say(f"error: {evaluation.verdict}")
        return 1
    return 0
