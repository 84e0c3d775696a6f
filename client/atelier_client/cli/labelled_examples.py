"""The labelled examples of a command: the options that name them, and what the model card says of them."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from atelier_client._layout import TASKS, Task
from atelier_client.cli.options import add_folder, say
from atelier_client.errors import InputError

if TYPE_CHECKING:
    from atelier_client._model_card import ModelCard
    from atelier_client.data.table import Reader
    from atelier_client.evaluation.settings import Settings


def add_options(command: argparse.ArgumentParser, *, file: bool = True) -> None:
    """Declare the file, where it is looked for, how it is read, and which output is measured.

    `file=False` is for a command that finds the file otherwise, and sets `options.file`.
    """
    if file:
        command.add_argument(
            "file",
            type=Path,
            nargs="?",
            help="labelled examples: IDX (file or folder), .csv, .npz, .tfrecord, .parquet, or a folder of PNG or JPEG "
            "files with one folder a class (default: the test split that the model card names)",
        )
    add_folder(command, "data", "the data folder")
    add_folder(command, "models", "the model repository, for golden examples and class names")
    command.add_argument(
        "--class-names", metavar="A,B,C", help="the classes in the model's order (default: its model card's)"
    )
    command.add_argument(
        "--label-column",
        metavar="NAME",
        help="the column of the label, or several with commas between (default: found by its name)",
    )
    command.add_argument("--signature", default="serving_default", help="default: %(default)s")
    command.add_argument(
        "--task",
        choices=TASKS,
        help="what the output holds: a probability of each class, of which one is right; a number; or a probability of "
        "each class by itself (default: its model card's, else classification)",
    )
    command.add_argument(
        "--output",
        metavar="NAME",
        help="the output that is measured (default: its model card's, else probabilities or prediction, or the only "
        "floats)",
    )
    command.add_argument(
        "--patience",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long a server that stops answering is waited for (default: %(default)g)",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, 0 or more, not {text!r}")
    return value


def _task(options: argparse.Namespace, card: ModelCard | None) -> Task:
    """What is measured: the user's word, then the card's. Says when they differ, or when neither tells."""
    known = card.task if card else "classification"
    if options.task:
        if card and known not in (None, options.task):
            say(f"--task {options.task}: the model card says {known}.")
        return cast(Task, options.task)
    if known is None:
        say("The model card does not say what the model does; it is taken for a classification (--task).")
    return known or "classification"


@dataclass(frozen=True)
class LabelledExamples:
    """The source to read. `own` is True when it holds the model card's test examples."""

    reader: Reader
    own: bool

    def settings(
        self,
        options: argparse.Namespace,
        version: int,
        card: ModelCard | None,
        slices: tuple[str, ...] = (),
    ) -> Settings:
        """How to ask a version, of which `card` is the model card, about these examples."""
        from atelier_client._layout import UNKNOWN
        from atelier_client.data.label_rule import known
        from atelier_client.evaluation.settings import Settings

        # An imported model may have a card without names.
        names = (card.class_names or None) if card else None
        if options.class_names:
            names = tuple(name.strip() for name in options.class_names.split(","))
            keys = known(names)
            if card and any(
                keys.get(key, number) != number for key, number in known(card.class_names).items()
            ):
                raise InputError(
                    f"--class-names {options.class_names}: the model card has a class of that name in another place "
                    f"({','.join(card.class_names)}), which is that of the model's answers. Leave the option out."
                )
        layout = UNKNOWN
        if card:
            layout = card.test_layout if self.own else card.layout
        output = options.output or (card.output if card else None)
        task = _task(options, card)
        own = self.own and card and task == card.task
        return Settings(
            version=version,
            task=task,
            signature=options.signature,
            output=output,
            class_names=names,
            label_column=options.label_column,
            layout=layout,
            label_kind=card.label_kind if own and card else self.reader.label_kind,
            slices=slices,
            patience=options.patience,
        )


def find(
    options: argparse.Namespace, card: ModelCard | None, folder: Path, reader: Reader | None
) -> LabelledExamples:
    """The examples of `options.file`, which `reader` has opened without a card, or else the card's test split.

    `folder` is the version's. Raises `InputError` when there is neither a file nor a card.
    """
    from atelier_client._model_card import card_path
    from atelier_client.data.open import open_reader
    from atelier_client.evaluation.test_split import open_test_split

    if reader is None and card is None:
        raise InputError(
            f"There are no examples to evaluate on: {card_path(folder)}, which would name a test split, cannot be "
            f"read. Give a FILE of labelled examples (atelier-client {options.command} FILE), or the folder that holds "
            "the model repository (--models DIR)."
        )
    if card is None:
        assert reader is not None
        return LabelledExamples(reader, own=False)
    if not card.test_file:
        if reader is None:
            raise InputError(
                f"There are no examples to evaluate on: {card_path(folder)} names no test examples. Give a FILE of "
                f"labelled examples (atelier-client {options.command} FILE)."
            )
        return LabelledExamples(open_reader(options.file, card.layout), own=False)
    path = options.data / card.test_file["path"]
    own = options.file is None or (path.exists() and options.file.samefile(path))
    if reader is None:
        return LabelledExamples(open_test_split(options.data, card), own)
    return LabelledExamples(open_reader(options.file, card.test_layout if own else card.layout), own)
