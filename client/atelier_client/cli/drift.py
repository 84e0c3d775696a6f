"""The command `drift`."""

from __future__ import annotations

import argparse
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier_client._printable import counted
from atelier_client.cli.options import add_command, add_folder, choose_model, say
from atelier_client.errors import InputError, SettingsError

if TYPE_CHECKING:
    from atelier_client.drift.monitor import Against, Question
    from atelier_client.drift.reference import Reference

_EXIT_CODES = {"stable": 0, "changed": 1, "too few": 4}
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "drift",
        _drift,
        "compare the requests of a log with what the model was trained on, window by window; exit 1 when they have "
        "changed, 4 when there are too few to tell",
        "atelier-client drift --log .atelier/requests",
        "atelier-client drift --log requests --every 1h --since 24h --metrics /var/lib/node_exporter/drift.prom",
        "atelier-client drift --log requests --version 3 --feedback feedback/reviews.csv --json",
        "atelier-client drift --log requests --against previous",
        server=False,
    )
    command.add_argument(
        "--log", type=Path, required=True, metavar="DIR", help="the folder of a request log (docs/observe.md)"
    )
    command.add_argument(
        "--version",
        type=int,
        help="whose requests (default: the version that models.config calls stable, else the newest in the log)",
    )
    command.add_argument(
        "--every",
        type=_every,
        default=1000,
        metavar="N|TIME",
        help="a window: so many examples, or a time as 30m, 1h, 1d (default: %(default)s)",
    )
    command.add_argument(
        "--since",
        type=_since,
        metavar="TIME",
        help="only requests from then on: as 24h ago, or as 2026-11-24T12:00 (local time; or with +00:00)",
    )
    command.add_argument(
        "--against",
        choices=("reference", "previous"),
        help="which comparison decides: with training (skew), or with the window before (drift) (default: reference, "
        "when the version has one)",
    )
    command.add_argument(
        "--feedback",
        type=Path,
        metavar="FILE",
        help="examples with their labels, as evaluate takes them: the accuracy on those that the log has too",
    )
    command.add_argument(
        "--metrics", type=Path, metavar="FILE", help="write gauges in Prometheus' text format"
    )
    add_folder(command, "models", "the model repository, for the reference and the model card")
    add_folder(command, "reports", "where drift.html and drift.json go")


def _every(text: str) -> int | timedelta:
    if text.isascii() and text.isdecimal() and 0 < int(text) < 10**9:
        return int(text)
    if (found := _duration(text)) is None:
        raise argparse.ArgumentTypeError(
            f"expected a number of examples as 1000, or a time as 30m or 1h, not {text!r}"
        )
    return found


def _since(text: str) -> datetime:
    try:
        if (ago := _duration(text)) is not None:
            return datetime.now(UTC) - ago
        # Without a zone it is this machine's time.
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"expected a time as 24h (ago) or 2026-11-24T12:00, not {text!r}"
        ) from None


def _duration(text: str) -> timedelta | None:
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    return timedelta(seconds=seconds) if seconds else None


def _drift(options: argparse.Namespace) -> int:
    from atelier_client._files import check_target, write_text
    from atelier_client.drift.document import document_of
    from atelier_client.drift.metrics import as_prometheus
    from atelier_client.drift.monitor import monitor
    from atelier_client.drift.table import print_drift
    from atelier_client.evaluation.progress import Progress
    from atelier_client.report.drift_page import as_html

    if options.metrics:
        # Before the user has waited for what goes there.
        check_target("--metrics", options.metrics)
    choose_model(options)
    question = _question(options)
    with Progress(None, f"drift {options.model}") as progress:
        found = monitor(question, progress.advance)
    document = document_of(found, at=datetime.now(UTC))
    for remark in document["remarks"]:
        say(f"warning: {remark}")
    text = json.dumps(document)
    page = options.reports / "drift.html"
    write_text(as_html(document), page)
    write_text(f"{text}\n", options.reports / "drift.json")
    if options.metrics:
        write_text(as_prometheus(document), options.metrics)
    if options.json:
        print(text)
    else:
        print_drift(document)
    say(f"The report: {page}")
    return _EXIT_CODES[found.verdict]


def _question(options: argparse.Namespace) -> Question:
    from atelier_client._model_card import read_card
    from atelier_client.drift.feedback import labels_of
    from atelier_client.drift.monitor import Question
    from atelier_client.drift.reference import read_reference
    from atelier_client.drift.schema import of_card

    version = _version(options)
    folder = options.models / options.model / str(version)
    card = read_card(folder)
    reference = read_reference(folder, card) if card else None
    labels = {}
    if options.feedback and card and card.task not in ("classification", None):
        raise InputError(
            f"--feedback {options.feedback}: {options.model} is of the task {card.task}, and accuracy is counted of "
            f"one class a row. atelier-client evaluate {options.feedback} measures how good it is."
        )
    if options.feedback:
        if card is None:
            raise InputError(
                f"--feedback {options.feedback}: {folder} has no model card, which says how such a file is read. Name "
                "the model repository (--models DIR)."
            )
        labels = labels_of(options.feedback, card, reference.schema if reference else of_card(card), say)
    return Question(
        options.log,
        options.model,
        version,
        options.every,
        options.since,
        _against(options, version, folder, reference),
        of_card(card) if card else None,
        reference,
        labels,
    )


def _against(options: argparse.Namespace, version: int, folder: Path, reference: Reference | None) -> Against:
    """What decides. Raises `SettingsError` when the reference is asked for and there is none."""
    if reference or options.against == "previous":
        return options.against or "reference"
    missing, remedy = _why_none(version, folder)
    if options.against == "reference":
        raise SettingsError(
            f"{missing}: {remedy}. --against previous compares each window with the one before it."
        )
    say(f"{missing}: each window is compared with the one before it, and no accuracy is estimated.")
    return "previous"


def _why_none(version: int, folder: Path) -> tuple[str, str]:
    """Why a version has no reference that can be read, and what to do."""
    from atelier_client._model_card import card_path
    from atelier_client.drift.reference import NAME

    if not version:
        return (
            "The requests do not say which version answered, so there is no reference for them",
            "over REST a client knows the version only when it asks for one (version=)",
        )
    if (folder / NAME).exists():
        return (
            f"{folder} has a reference ({NAME}) but no model card ({card_path(folder).name}), by which it is read",
            "publish the version again, or bring its model card back",
        )
    return f"{folder} has no reference ({NAME})", "atelier-trainer writes one with each version it publishes"


def _version(options: argparse.Namespace) -> int:
    """The version asked for; else the stable one, else the newest that the log has."""
    from atelier_client.drift.monitor import versions_in
    from atelier_client.release.repository import Repository

    if options.version is not None:
        return int(options.version)
    stable = Repository(options.models, options.model).served().stable
    if stable is not None:
        return stable
    found = versions_in(options.log, options.model)
    if not found:
        # An empty log is no error: the windows say that there is nothing to judge.
        return _newest_published(options)
    newest = max(found)
    if len(found) > 1:
        say(
            f"Version {newest}, the newest in the log; it has {counted(found.total() - found[newest], 'request')} of "
            "others."
        )
    return newest


def _newest_published(options: argparse.Namespace) -> int:
    from atelier_client.release.repository import Repository

    numbers = Repository(options.models, options.model).versions()
    if not numbers:
        raise InputError(
            f"{options.log} has no requests of {options.model}, and no version of it was published."
        )
    return numbers[-1]
