"""atelier-client: ask a model server, and find out how good its answers are.

    atelier-client evaluate
    atelier-client predict data/fashion-mnist/t10k-images-idx3-ubyte --rows 0:5
    atelier-client status --wait 60 --version 2
    atelier-client metadata --target 127.0.0.1:8500 --model fashion

argparse, and imports where they are needed: of a command that takes half a second in all, a richer command-line library
would be a fifth.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atelier_client.client import Client
from atelier_client.errors import ClientError
from atelier_client.model_card import read_card, read_golden


def main() -> None:
    """The console script: exit codes as in docs/contracts.md, no stack traces for user mistakes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(run(sys.argv[1:]))
    except ClientError as error:
        _say(f"error: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _say("Interrupted.")
        sys.exit(130)


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. Raises `ClientError`."""
    options = _parser().parse_args(arguments)
    with Client(options.target, options.model, timeout=options.timeout) as client:
        code: int = options.run(client, options)
        return code


def _evaluate(client: Client, options: argparse.Namespace) -> int:
    from atelier_client.evaluation import evaluate, write_json

    evaluation = evaluate(client, options.data, options.models, version=options.version, label=options.label)
    write_json(evaluation.report, options.reports / "evaluation.json")
    if options.json:
        print(json.dumps(evaluation.report))
    else:
        from atelier_client.html_report import write_html
        from atelier_client.tables import print_evaluation

        write_html(evaluation, options.reports / "evaluation.html")
        print_evaluation(evaluation.report)
    if evaluation.report["skew"]["examples"] is None:
        _say(
            f"warning: no golden examples under {options.models}: whether the model answers as trained is not known."
        )
    if evaluation.verdict:
        _say(f"error: {evaluation.verdict}")
        return 1
    return 0


def _predict(client: Client, options: argparse.Namespace) -> int:
    from atelier_client.examples import read_test_split
    from atelier_client.prediction_files import parse_rows, read_inputs, readable_rows

    rows = parse_rows(options.rows)
    if options.file:
        inputs = read_inputs(options.file, rows)
    else:
        # The newest version's own test examples: what `make predict` shows, whatever the model is.
        card = read_card(options.models / options.model / str(options.version or client.newest_available()))
        inputs = read_test_split(options.data, card).inputs[rows]
    answer = client.predict(inputs, signature=options.signature, version=options.version, label=options.label)
    names = read_card(options.models / options.model / str(answer.versions[0])).class_names
    readable = readable_rows(answer, names, rows.start or 0)
    if options.json:
        print(json.dumps({"version": answer.versions[0], "predictions": readable}))
    else:
        from atelier_client.tables import print_predictions

        print_predictions(readable)
    return 0


def _status(client: Client, options: argparse.Namespace) -> int:
    if options.wait is not None:
        started = time.monotonic()
        version = client.wait_ready(options.wait, options.version)
        _check_golden(client, version, options)
        _say(f"{options.model} version {version} is ready ({time.monotonic() - started:.1f} s).")
    entries = client.status()
    if options.version is not None:
        entries = [entry for entry in entries if entry.version == options.version]
    if options.json:
        print(json.dumps([asdict(entry) | {"state": entry.state.name} for entry in entries]))
    elif options.wait is None:
        from atelier_client.tables import print_status

        print_status(options.model, entries)
    return 0


def _check_golden(client: Client, version: int, options: argparse.Namespace) -> None:
    from atelier_client import skew

    golden = read_golden(options.models / options.model / str(version))
    verdict = skew.verdict(skew.measure(client, version, golden))
    if verdict:
        raise ClientError(verdict)


def _metadata(client: Client, options: argparse.Namespace) -> int:
    signatures = client.metadata(version=options.version, label=options.label)
    if options.json:
        plain = {
            name: asdict(item) | {"optional": sorted(item.optional)} for name, item in signatures.items()
        }
        print(json.dumps(plain))
    else:
        from atelier_client.tables import print_metadata

        print_metadata(options.model, signatures)
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("atelier-client", description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    evaluate = _command(
        commands, "evaluate", _evaluate, "measure what is served on the test split, write the report"
    )
    _folder(evaluate, "data", "the data folder")
    _folder(evaluate, "models", "the model repository, for golden examples and class names")
    _folder(evaluate, "reports", "where evaluation.json and evaluation.html go")
    predict = _command(commands, "predict", _predict, "classify the rows of an .npy, .npz, IDX or CSV file")
    predict.add_argument(
        "file",
        type=Path,
        nargs="?",
        help=".npy, .npz (array names are inputs), IDX or CSV (default: the model's test examples)",
    )
    predict.add_argument("--rows", default=":", help="rows A:B (default: all)")
    predict.add_argument("--signature", default="serving_default", help="default: %(default)s")
    _folder(predict, "models", "the model repository, for class names")
    _folder(predict, "data", "the data folder, when no file is given")
    status = _command(commands, "status", _status, "the versions and their states")
    status.add_argument(
        "--wait", type=float, metavar="SECONDS", help="until a version answers, golden examples included"
    )
    _folder(status, "models", "the model repository, for golden examples")
    _command(commands, "metadata", _metadata, "the signatures: inputs and outputs")
    return parser


def _command(commands: Any, name: str, run: object, text: str) -> argparse.ArgumentParser:
    example = next(line for line in (__doc__ or "").splitlines() if f"atelier-client {name}" in line).strip()
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, epilog=f"Example: {example}"
    )
    command.set_defaults(run=run)
    environ = os.environ
    command.add_argument(
        "--target", default=environ.get("ATELIER_TARGET", "127.0.0.1:8500"), help="HOST:PORT [ATELIER_TARGET]"
    )
    command.add_argument(
        "--model", default=environ.get("ATELIER_MODEL", "fashion"), help="the model [ATELIER_MODEL]"
    )
    which = command.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="this version, not the newest")
    if name != "status":
        which.add_argument("--label", help="the version of this label")
    command.add_argument(
        "--timeout", type=float, default=30.0, help="seconds a request may take (default: %(default)s)"
    )
    command.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return command


def _folder(command: argparse.ArgumentParser, name: str, text: str) -> None:
    variable = f"ATELIER_{name.upper()}"
    default = Path(os.environ.get(variable, name))
    command.add_argument(
        f"--{name}", type=Path, default=default, help=f"{text} [{variable}] (default: {name})"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
