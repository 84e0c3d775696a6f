"""How `release` asks the gate: the examples, both versions' settings, the measurement and the verdict."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from atelier_client.cli import labelled_examples
from atelier_client.cli.standard_streams import reader_may_leave
from atelier_client.errors import InputError

if TYPE_CHECKING:
    from atelier_client._model_card import ModelCard
    from atelier_client.client import Client
    from atelier_client.gate.measured import Measured
    from atelier_client.gate.rules import Rules
    from atelier_client.gate.verdict import Verdict


def require_examples(rules: Rules) -> None:
    """Raises `DataError` for examples that cannot be opened: before a version is loaded for them on every server."""
    from atelier_client.data.open import open_reader

    if rules.examples is not None:
        open_reader(rules.examples)


def judge_candidate(
    options: argparse.Namespace, client: Client, rules: Rules, candidate: int, stable: int | None
) -> Verdict:
    """Measure both versions by the rules, print the table, return the verdict.

    Raises `InputError` and `DataError` for examples that cannot be used.
    """
    from atelier_client._model_card import read_card
    from atelier_client.cli.tables import print_verdict
    from atelier_client.data.open import open_reader
    from atelier_client.evaluation.progress import Progress
    from atelier_client.evaluation.settings import Settings
    from atelier_client.gate.measure import Side, measure
    from atelier_client.gate.verdict import judge

    versions = [version for version in (candidate, stable) if version is not None]
    folders = {version: options.models / options.model / str(version) for version in versions}
    cards = {version: read_card(folder) for version, folder in folders.items()}
    reader = open_reader(rules.examples) if rules.examples else None
    card = cards[candidate]
    examples = None
    # An imported model may have a card that names no test examples: like one without a card.
    if reader or (card and card.test_file):
        examples = labelled_examples.find(options, card, folders[candidate], reader)
    sides = [
        Side(
            examples.settings(options, version, cards[version]) if examples else Settings(version=version),
            folder,
        )
        for version, folder in folders.items()
    ]
    chosen = examples.reader if examples else None
    with Progress(chosen.rows if chosen else 0, f"gate {options.model}") as progress:
        measured = measure(
            client, chosen, sides[0], sides[1] if stable is not None else None, rules, progress
        )
    if examples and examples.own:
        _require_trained_on(measured, card)
    verdict = judge(rules, measured)
    if not options.json:
        with reader_may_leave():
            print_verdict(verdict.document())
    return verdict


def _require_trained_on(measured: Measured, card: ModelCard | None) -> None:
    """Raises `InputError` when the test split that the card names has other bytes than at training."""
    known = card.test_sha256 if card else None
    found = (measured.dataset or {}).get("sha256")
    if known is not None and found is not None and known != found:
        raise InputError(
            f"the test examples are not those of training: their SHA-256 is {found[:12]}.., the model card says "
            f"{known[:12]}... Fetch the data again, or name other examples in gate.yaml (examples: FILE)."
        )
