"""The command `predict`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from atelier_client.cli_options import add_command, add_folder, connect


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "predict",
        _predict,
        "classify the rows of an .npy, .npz, IDX or CSV file",
        "atelier-client predict data/fashion-mnist/t10k-images-idx3-ubyte --rows 0:5",
    )
    command.add_argument(
        "file",
        type=Path,
        nargs="?",
        help=".npy, .npz (array names are inputs), IDX or CSV (default: the model's test examples)",
    )
    command.add_argument("--rows", default=":", help="rows A:B (default: all)")
    command.add_argument("--signature", default="serving_default", help="default: %(default)s")
    add_folder(command, "models", "the model repository, for class names")
    add_folder(command, "data", "the data folder, when no file is given")


def _predict(options: argparse.Namespace) -> int:
    from atelier_client.examples import read_test_split
    from atelier_client.model_card import read_card
    from atelier_client.prediction_files import parse_rows, read_inputs, readable_rows

    rows = parse_rows(options.rows)
    with connect(options) as client:
        if options.file:
            inputs = read_inputs(options.file, rows)
        else:
            # The newest version's own test examples: what `make predict` shows, whatever the model is.
            newest = options.version or client.newest_available()
            card = read_card(options.models / options.model / str(newest))
            inputs = read_test_split(options.data, card).inputs[rows]
        answer = client.predict(
            inputs, signature=options.signature, version=options.version, label=options.label
        )
    names = read_card(options.models / options.model / str(answer.versions[0])).class_names
    readable = readable_rows(answer, names, rows.start or 0)
    if options.json:
        print(json.dumps({"version": answer.versions[0], "predictions": readable}))
    else:
        from atelier_client.tables import print_predictions

        print_predictions(readable)
    return 0
