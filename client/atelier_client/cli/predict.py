"""The command `predict`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier_client.cli.options import add_command, add_folder, connect, connection, say, version_asked
from atelier_client.distributed import options as engine
from atelier_client.errors import DataError, InputError

if TYPE_CHECKING:
    from atelier_client._model_card import ModelCard
    from atelier_client.client import Client
    from atelier_client.data.prediction_inputs import InputBatch


# So many classes of a row are shown.
_TOP = 3


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "predict",
        _predict,
        "classify images, text, JSON lines, or the rows of a file of examples",
        "atelier-client predict shoe.jpg",
        "atelier-client predict holdout.csv --rows 0:5",
        "atelier-client predict --model reviews --text 'A film to remember.'",
        "atelier-client predict shoe.jpg --target v2+http://127.0.0.1:8000 --model shoes",
        "atelier-client predict shards/ predictions/ --engine ray --actors 8",
        "echo '{\"features\": [5.1, 3.5, 1.4, 0.2]}' | atelier-client predict - --model flowers --json",
    )
    command.add_argument(
        "files",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="PNG or JPEG files, or one of: .csv, .npz, .npy, IDX, .tfrecord, .parquet, .txt (one text a line), "
        ".jsonl, - for JSON lines on stdin (default: the test split that the model card names); with --engine ray the "
        "examples and the folder that gets the predictions as Parquet files",
    )
    engine.add_options(command)
    command.add_argument("--text", action="append", default=[], help="a text; may be repeated")
    command.add_argument("--rows", default=":", help="rows A:B (default: all)")
    command.add_argument(
        "--top", type=int, default=_TOP, metavar="K", help="so many classes (default: %(default)s)"
    )
    command.add_argument("--signature", default="serving_default", help="default: %(default)s")
    add_folder(command, "models", "the model repository, for class names")
    add_folder(command, "data", "the data folder, when no file is given")


def _predict(options: argparse.Namespace) -> int:
    from atelier_client._model_card import read_card
    from atelier_client.cli.prediction_rows import readable_rows
    from atelier_client.data.prediction_inputs import parse_rows

    rows = parse_rows(options.rows)
    if options.top < 1:
        raise InputError(f"--top {options.top}: expected 1 or more.")
    if options.text and options.files:
        raise InputError("Give files or --text, not both.")
    if engine.by_ray(options):
        return _predict_by_ray(options)
    with connect(options) as client:
        version = version_asked(options, client)
        folder = options.models / options.model / str(version)
        card = read_card(folder)
        class_names = card.class_names if card else ()
        measured = _measured(card)
        readable: list[dict[str, Any]] = []
        for part in _parts(client, options, version, card, rows):
            prediction = client.predict(part.inputs, signature=options.signature, version=version)
            part_rows = readable_rows(prediction, part.names, class_names, options.top, measured)
            readable += part_rows
            for picture, row in zip(part.pictures, part_rows, strict=False):
                if picture.steps:
                    say(f"{row['row']}: {', '.join(picture.steps)}")
                if not options.json and sys.stdout.isatty():
                    from rich.console import Console

                    from atelier_client.cli.terminal_picture import draw

                    Console().print(draw(picture.pixels))
    if not readable and options.rows != ":":
        raise InputError(
            f"--rows {options.rows} names no row: there are fewer, or its end is not after its start."
        )
    if options.json:
        print(json.dumps({"version": version, "predictions": readable}))
    else:
        from atelier_client.cli.tables import print_predictions

        print_predictions(readable)
    return 0


def _predict_by_ray(options: argparse.Namespace) -> int:
    from atelier_client._layout import UNKNOWN
    from atelier_client._model_card import read_card
    from atelier_client.data.open import open_reader
    from atelier_client.data.parts import require_parts
    from atelier_client.distributed.cluster import connected
    from atelier_client.distributed.pool import Connection, Source
    from atelier_client.distributed.predict import check_folder_for, predict
    from atelier_client.evaluation.progress import Progress

    if len(options.files) != 2 or options.text or options.rows != ":" or options.top != _TOP:
        raise InputError(
            "--engine ray takes the examples and the folder for their predictions (predict IN OUT --engine ray), all "
            "rows of them: --text, --rows and --top are for predict without it."
        )
    path, folder = options.files
    if path.suffix.lower() in (".txt", ".jsonl") or str(path) == "-":
        raise DataError(f"{path}: texts and JSON lines are for predict without --engine ray.")
    check_folder_for(folder)
    with connect(options) as client:
        version = version_asked(options, client)
        card = read_card(options.models / options.model / str(version))
        layout = card.layout if card else UNKNOWN
        reader = require_parts(open_reader(path, layout), path)
        with (
            connected(options.ray_address, options.actors) as actors,
            Progress(reader.rows, f"predict {options.model}") as progress,
        ):
            done = predict(
                client,
                reader,
                folder,
                progress,
                connection=Connection(options.target, options.model, connection(options)),
                source=Source(path.resolve(), layout),
                layout=layout,
                version=version,
                signature=options.signature,
                class_names=card.class_names if card else (),
                measured=_measured(card),
                actors=actors,
            )
    if options.json:
        print(json.dumps({"version": version, "folder": str(folder), "rows": done.rows, "files": done.files}))
    else:
        say(f"{done.rows:,} rows in {done.files:,} files: {folder}")
    return 0


def _measured(card: ModelCard | None) -> str | None:
    """The output that the card names. Of logits, say, nothing was measured."""
    known = card is not None and card.document.get("unmeasured") is None
    return card.document.get("output") if card and known else None


def _parts(
    client: Client, options: argparse.Namespace, version: int, card: ModelCard | None, rows: slice
) -> Iterator[InputBatch]:
    """The inputs to predict, some rows at a time."""
    from atelier_client._files import read_bytes
    from atelier_client._layout import UNKNOWN
    from atelier_client._model_card import card_path
    from atelier_client.data import prediction_inputs as inputs
    from atelier_client.data.binding import Binding
    from atelier_client.data.open import open_reader
    from atelier_client.evaluation.test_split import open_test_split
    from atelier_client.signature import choose

    signature = choose(client.metadata(version=version), options.signature)
    layout = card.layout if card else UNKNOWN
    files: list[Path] = options.files
    if options.text:
        return inputs.of_texts(options.text[rows], signature)
    if files and all(file.suffix.lower() in inputs.IMAGE_SUFFIXES for file in files):
        return inputs.of_images(files[rows], signature, layout, _dark(options, version))
    if len(files) > 1:
        raise DataError("Several files are taken only when all are images (.png, .jpg).")
    if files and str(files[0]) == "-":
        if sys.stdin is None:
            raise DataError("There is no stdin to read JSON lines from: it is closed.")
        binding = Binding(signature, "stdin", layout=layout, say=say)
        return inputs.of_json_lines(sys.stdin, binding, signature, layout, rows)
    if files and files[0].suffix in (".txt", ".jsonl"):
        if not files[0].exists():
            raise DataError(f"{files[0]} does not exist.")
        try:
            lines = read_bytes(files[0]).decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{files[0]} is no UTF-8 text: {error}.") from None
        if files[0].suffix == ".txt":
            return inputs.of_texts([line for line in lines if line.strip()][rows], signature)
        binding = Binding(signature, str(files[0]), layout=layout, say=say)
        return inputs.of_json_lines(lines, binding, signature, layout, rows)
    if not files and card is None:
        path = card_path(options.models / options.model / str(version))
        raise InputError(
            f"There is nothing to predict: {path}, which would name test examples, cannot be read. Give a FILE or "
            "--text, or the folder that holds the model repository (--models DIR)."
        )
    if card and not files:
        reader = open_test_split(options.data, card)
        layout = card.test_layout
    else:
        reader = open_reader(files[0], layout)
    binding = Binding(signature, reader.name, row_word=reader.row_word, layout=layout, say=say)
    return inputs.of_reader(reader, binding, signature, rows)


def _dark(options: argparse.Namespace, version: int) -> bool | None:
    """True when the golden examples have dark backgrounds, False for light ones; None when they do not tell."""
    from atelier_client._model_card import read_golden
    from atelier_client.data.image_file import dark_background

    golden = read_golden(options.models / options.model / str(version))
    images = [array for array in golden.inputs.values() if array.ndim == 3] if golden else []
    return dark_background(images[0]) if images else None
