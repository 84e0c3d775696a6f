"""The command `evaluate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier_client.cli.options import add_command, add_folder, connect, say
from atelier_client.errors import InputError

if TYPE_CHECKING:
    from atelier_client._model_card import ModelCard
    from atelier_client.data.table import Reader


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
    )
    command.add_argument(
        "file",
        type=Path,
        nargs="?",
        help="labelled examples: IDX (file or folder), .csv, .npz, .tfrecord, .parquet, or a folder of PNG or JPEG "
        "files with one folder a class (default: the test split that the model card names)",
    )
    add_folder(command, "data", "the data folder")
    add_folder(command, "models", "the model repository, for golden examples and class names")
    add_folder(command, "reports", "where evaluation.html, .json, .csv and .xml go")
    command.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="EXPRESSION",
        dest="slices",
        help="also measure a part: a condition ('label == 6', \"label in ('Shirt', 'Coat') and confidence < 0.5\") or "
        "a column, one part a value; may be repeated. Columns: label, predicted, confidence, row, those of the file",
    )
    command.add_argument(
        "--fail-under",
        action="append",
        default=[],
        metavar="METRIC=NUMBER",
        help="exit 1 when a metric is lower, such as accuracy=0.88; may be repeated",
    )
    command.add_argument(
        "--class-names", metavar="A,B,C", help="the classes in the model's order (default: its model card's)"
    )
    command.add_argument(
        "--label-column", metavar="NAME", help="the column of the label (default: found by its name)"
    )
    command.add_argument("--signature", default="serving_default", help="default: %(default)s")
    command.add_argument(
        "--output",
        metavar="NAME",
        help="the output with the probabilities (default: probabilities, or the only floats)",
    )
    command.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long a server that stops answering is waited for (default: %(default)g)",
    )


def _evaluate(options: argparse.Namespace) -> int:
    from atelier_client._layout import UNKNOWN
    from atelier_client._model_card import card_path, read_card, read_golden
    from atelier_client.data.open import open_reader
    from atelier_client.evaluation import skew
    from atelier_client.evaluation.evaluate import Settings, evaluate
    from atelier_client.evaluation.expression import Expression
    from atelier_client.evaluation.progress import Progress
    from atelier_client.evaluation.thresholds import Threshold, verdicts
    from atelier_client.report.document import report_of

    # Report mistakes in the command before the user has to wait.
    thresholds = [Threshold.parse(text) for text in options.fail_under]
    for text in options.slices:
        Expression(text)
    reader = open_reader(options.file) if options.file else None
    with connect(options) as client:
        version = options.version
        if version is None:
            version = client.version_of(options.label) if options.label else client.newest_available()
        # Report a version that the server does not have before a card that does not exist.
        client.metadata(version=version)
        folder = options.models / options.model / str(version)
        card = read_card(folder)
        golden = read_golden(folder)
        names = card.class_names if card else None
        if options.class_names:
            names = tuple(name.strip() for name in options.class_names.split(","))
        elif card is None and reader:
            say(
                f"There is no model card to read at {card_path(folder)}. Classes have the names that the server "
                "answers, or else their numbers; other names: --class-names A,B,C."
            )
        own = card is not None and _is_test_file(options, card)
        if reader is None:
            chosen = _test_split(options, card, folder)
        else:
            chosen = open_reader(options.file, card.test_layout if own else card.layout) if card else reader
        settings = Settings(
            version=version,
            signature=options.signature,
            output=options.output,
            class_names=names,
            label_column=options.label_column,
            layout=(card.test_layout if own else card.layout) if card else UNKNOWN,
            label_kind=card.label_kind if card and own else chosen.label_kind,
            slices=tuple(options.slices),
            patience=options.patience,
        )
        with Progress(chosen.rows, f"evaluate {options.model}") as progress:
            result = evaluate(client, chosen, settings, progress)
        skewed = skew.measure(client, version, golden) if result.stopped is None else skew.UNKNOWN
        asked = {"name": client.model, "version": version, "label": options.label, "target": client.target}
    report = report_of(chosen, result, model=asked, card=card, skew=skewed, own_test_split=reader is None)
    return _finish(options, report, result, verdicts(thresholds, report["metrics"]))


def _test_split(options: argparse.Namespace, card: ModelCard | None, folder: Path) -> Reader:
    """The examples the model card names. Raises `InputError` when there is no card to read."""
    from atelier_client._model_card import card_path
    from atelier_client.evaluation.test_split import open_test_split

    if card is None:
        raise InputError(
            f"There are no examples to evaluate on: {card_path(folder)}, which would name a test split, cannot be "
            "read. Give a FILE of labelled examples (atelier-client evaluate FILE), or the folder that holds the model "
            "repository (--models DIR)."
        )
    return open_test_split(options.data, card)


def _is_test_file(options: argparse.Namespace, card: ModelCard) -> bool:
    """True when the examples are the card's test examples, also when the user named their file."""
    path = options.data / card.test_file["path"]
    return options.file is None or (path.exists() and options.file.samefile(path))


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
