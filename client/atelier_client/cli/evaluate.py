"""The command `evaluate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier_client.cli import labelled_examples
from atelier_client.cli.options import add_command, add_folder, connect, connection, say, version_asked
from atelier_client.distributed import options as engine

if TYPE_CHECKING:
    from atelier_client.client import Client
    from atelier_client.data.table import Reader
    from atelier_client.evaluation.passes.evaluate import EvaluationResult
    from atelier_client.evaluation.progress import Progress
    from atelier_client.evaluation.settings import Settings


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "evaluate",
        _evaluate,
        "measure what is served on labelled examples, write the report as HTML, JSON, CSV and JUnit XML",
        "atelier-client evaluate",
        "atelier-client evaluate photos/ --class-names cat,dog --slice 'confidence < 0.6'",
        "atelier-client evaluate holdout.csv --label-column species --slice region",
        "atelier-client evaluate --json --fail-under accuracy=0.88 --fail-under macro_f1=0.85",
        "atelier-client evaluate holdout.csv --target v2+grpc://triton:8001 --model flowers",
        "atelier-client evaluate houses.csv --fail-over mae=20000 --slice 'error > 50000'",
        "atelier-client evaluate shards/ --engine ray --actors 8 --target host-a:8500,host-b:8500",
        "atelier-client evaluate photos.npz --task multi_label --output tags --class-names beach,sea,dog",
    )
    labelled_examples.add_options(command)
    engine.add_options(command)
    add_folder(command, "reports", "where evaluation.html, .json, .csv and .xml go")
    command.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="EXPRESSION",
        dest="slices",
        help="also measure a part: a condition ('label == 6', \"label in ('Shirt', 'Coat') and confidence < 0.5\") or "
        "a column, one part a value; may be repeated. Columns: label, predicted, row, those of the file; "
        "confidence of a classification, error of a regression, labels and wrong (how many) of a multi-label model",
    )
    command.add_argument(
        "--fail-under",
        action="append",
        default=[],
        metavar="METRIC=NUMBER",
        help="exit 1 when a metric is lower, such as accuracy=0.88; may be repeated",
    )
    command.add_argument(
        "--fail-over",
        action="append",
        default=[],
        metavar="METRIC=NUMBER",
        help="exit 1 when an error is higher, such as mae=50 or loss=0.4; may be repeated",
    )


def _evaluate(options: argparse.Namespace) -> int:
    from atelier_client._model_card import card_path, read_card, read_golden
    from atelier_client.data.open import open_reader
    from atelier_client.evaluation import skew
    from atelier_client.evaluation.expression import Expression
    from atelier_client.evaluation.passes.evaluate import evaluate
    from atelier_client.evaluation.progress import Progress
    from atelier_client.evaluation.thresholds import Threshold, verdicts
    from atelier_client.report.document import report_of

    # Report mistakes in the command before the user has to wait.
    thresholds = [Threshold.parse(text) for text in options.fail_under]
    thresholds += [Threshold.parse_highest(text) for text in options.fail_over]
    for text in options.slices:
        Expression(text)
    by_ray = engine.by_ray(options)
    reader = open_reader(options.file) if options.file else None
    with connect(options) as client:
        version = version_asked(options, client)
        # Report a version that the server does not have before a card that does not exist.
        client.metadata(version=version)
        folder = options.models / options.model / str(version)
        card = read_card(folder)
        golden = read_golden(folder)
        if card is None and reader and not options.class_names and options.task != "regression":
            say(
                f"There is no model card to read at {card_path(folder)}. Classes have the names that the server "
                "answers, or else their numbers; other names: --class-names A,B,C."
            )
        examples = labelled_examples.find(options, card, folder, reader)
        settings = examples.settings(options, version, card, slices=tuple(options.slices))
        chosen = examples.reader
        with Progress(chosen.rows, f"evaluate {options.model}") as progress:
            if by_ray:
                path = options.file or options.data / (card.test_file["path"] if card else "")
                result = _evaluate_by_ray(options, client, chosen, path, settings, progress)
            else:
                result = evaluate(client, chosen, settings, progress)
        skewed = skew.measure(client, version, golden) if result.stopped is None else skew.UNKNOWN
        asked = {"name": client.model, "version": version, "label": options.label, "target": client.target}
    report = report_of(chosen, result, model=asked, card=card, skew=skewed, own_test_split=reader is None)
    return _finish(options, report, result, verdicts(thresholds, report["metrics"]))


def _evaluate_by_ray(
    options: argparse.Namespace,
    client: Client,
    reader: Reader,
    path: Path,
    settings: Settings,
    progress: Progress,
) -> EvaluationResult:
    from atelier_client.data.parts import require_parts
    from atelier_client.distributed.cluster import connected
    from atelier_client.distributed.evaluate import evaluate
    from atelier_client.distributed.pool import Connection

    # Before Ray is started, which takes seconds.
    require_parts(reader, path)
    with connected(options.ray_address, options.actors) as actors:
        return evaluate(
            client,
            reader,
            settings,
            progress,
            connection=Connection(options.target, options.model, connection(options)),
            path=path,
            actors=actors,
            folder=options.reports / "evaluation-parts",
        )


def _finish(
    options: argparse.Namespace,
    report: dict[str, Any],
    result: Any,
    conditions: list[tuple[str, str | None]],
) -> int:
    """Write and print the report; print what is wrong, the most serious last; return the exit code."""
    from atelier_client._files import write_text
    from atelier_client.evaluation import skew
    from atelier_client.report.files import as_csv, as_junit

    skewed = skew.verdict(report["skew"])
    if report["skew"]["examples"] is not None:
        conditions.append(("golden examples come back as trained", skewed))
    if report["trained"]["sha256"] is not None and report["dataset"]["sha256"] is not None:
        conditions.append(("the test examples are those of training", skew.data_verdict(report)))
    if report["trained"]["metrics"]:
        conditions.append(("metrics are the trainer's", skew.metrics_verdict(report)))
    stopped = result.stopped
    done = report["dataset"]["examples"]
    of = report["dataset"]["of"]
    cut = f"stopped after {done:,}" + (f" of {of:,}" if of else "") + " examples"
    conditions.append(("every example was counted", cut if stopped else None))
    document = json.dumps(report)
    write_text(f"{document}\n", options.reports / "evaluation.json")
    write_text(as_csv(report), options.reports / "evaluation.csv")
    write_text(as_junit(report, conditions), options.reports / "evaluation.xml")
    if options.json:
        print(document)
    else:
        from atelier_client.cli.tables import print_evaluation
        from atelier_client.report.page import as_html

        write_text(as_html(report, result, conditions), options.reports / "evaluation.html")
        print_evaluation(report)
        say(f"The report: {options.reports / 'evaluation.html'}")
    if report["skew"]["examples"] is None and not stopped:
        say(
            f"warning: no golden examples under {options.models}: whether the model answers as trained is not known."
        )
    failed = [reason for _, reason in conditions[:-1] if reason]
    for reason in failed:
        say(f"error: {reason}")
    if stopped:
        say(f"The report is partial: {cut}.")
        raise stopped
    return 1 if failed else 0
