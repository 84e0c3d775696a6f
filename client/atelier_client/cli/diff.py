"""The command `diff`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from atelier_client.cli import labelled_examples
from atelier_client.cli.options import add_command, add_folder, connect, say
from atelier_client.errors import InputError, ModelNotFound

if TYPE_CHECKING:
    from atelier_client.client import Client


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "diff",
        _diff,
        "compare two served versions on the same labelled examples, write the report as HTML and JSON",
        "atelier-client diff 1 2",
        "atelier-client diff stable canary holdout.csv",
        "atelier-client diff 1 2 --json",
        version=False,
    )
    for name, words in (("a", "the version to compare with"), ("b", "the version to look at")):
        command.add_argument(name, metavar=name.upper(), help=f"{words}: its number, or a label")
    labelled_examples.add_options(command)
    add_folder(command, "reports", "where diff.html and diff.json go")


def _diff(options: argparse.Namespace) -> int:
    from atelier_client._files import write_text
    from atelier_client._model_card import read_card
    from atelier_client.comparison.compare import compare
    from atelier_client.comparison.document import document_of
    from atelier_client.data.open import open_reader
    from atelier_client.evaluation.progress import Progress
    from atelier_client.report.document import environment

    reader = open_reader(options.file) if options.file else None
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    with connect(options) as client:
        version_a = _version(client, options.a)
        version_b = _version(client, options.b)
        if version_a == version_b:
            raise InputError(f"{options.a} and {options.b} are both version {version_a}: give two versions.")
        folder = options.models / options.model
        card_a = read_card(folder / str(version_a))
        card_b = read_card(folder / str(version_b))
        examples = labelled_examples.find(options, card_b, folder / str(version_b), reader)
        if (
            examples.own
            and card_a
            and card_b
            and card_a.document["data"]["test"] != card_b.document["data"]["test"]
        ):
            say(
                f"warning: version {version_a} was tested on other examples than version {version_b}, whose test "
                f"examples these are. Version {version_a} may have been trained on some of them."
            )
        settings_a = examples.settings(options, version_a, card_a)
        settings_b = examples.settings(options, version_b, card_b)
        with Progress(examples.reader.rows, f"diff {options.model}") as progress:
            result = compare(client, examples.reader, settings_a, settings_b, progress)
        asked = {
            "name": client.model,
            "target": client.target,
            "a": {"asked": options.a, "version": version_a},
            "b": {"asked": options.b, "version": version_b},
        }
    document = document_of(
        examples.reader, result, model=asked, environment=environment() | {"started_at": started_at}
    )
    text = json.dumps(document)
    write_text(f"{text}\n", options.reports / "diff.json")
    if options.json:
        print(text)
        return 0
    from atelier_client.cli.tables import print_comparison
    from atelier_client.report.comparison_page import as_html

    write_text(as_html(document, result), options.reports / "diff.html")
    print_comparison(document)
    say(f"The report: {options.reports / 'diff.html'}")
    return 0


def _version(client: Client, asked: str) -> int:
    """The number of a version that is served, given as a number or a label. Raises `ClientError`."""
    version = int(asked) if asked.isdecimal() else client.version_of(asked)
    try:
        client.metadata(version=version)
    except ModelNotFound as error:
        raise ModelNotFound(
            f"{error} Both versions must be served at the same time: list them in models.config, as "
            f"`model_version_policy {{ specific {{ versions: .. versions: .. }} }}`."
        ) from None
    return version
