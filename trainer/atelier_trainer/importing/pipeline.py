"""From somebody's model to a published version: load or copy, measure on the examples given, publish."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atelier_trainer import interrupt
from atelier_trainer.data.dataset import file_digest, sha256_of
from atelier_trainer.errors import ImportRefused, PublishError
from atelier_trainer.files import explain_write_failure, writing
from atelier_trainer.importing import labels_file, source
from atelier_trainer.importing.source import Source
from atelier_trainer.printable import say
from atelier_trainer.publishing import version_folder
from atelier_trainer.publishing.pipeline import Clock, list_model
from atelier_trainer.publishing.staging import Staging, versions
from atelier_trainer.quiet import quick_import

NOTHING = "Nothing was published."


@dataclass(frozen=True)
class Import:
    """What is asked for: the model, the name it is published under, and what is known about it."""

    model: Path
    name: str
    examples: Path | None = None
    labels: Path | None = None
    label_column: str | None = None
    output: str | None = None
    signature: str | None = None
    task: str | None = None

    def digest(self, found: Source) -> str:
        """Over the content of all files and the options. Equal imports make equal versions."""
        options = {key: value for key, value in asdict(self).items() if not isinstance(value, Path)}
        files = [_digest(path) if path else None for path in (self.examples, self.labels)]
        return sha256_of(json.dumps([found.sha256, files, options], sort_keys=True).encode())


def up_to_date(
    asked: Import, models: Path, data_folder: Path, *, follow_newest: bool = False
) -> dict[str, Any] | None:
    """The result for the newest version when this very import made it and it is whole, else None."""
    numbers = versions(models / asked.name)
    folder = models / asked.name / str(numbers[-1]) if numbers else None
    card = version_folder.read_card(folder) if folder else None
    if folder is None or card is None or card.get("job_digest") != asked.digest(source.find(asked.model)):
        return None
    file = card["data"]["test"]["file"]
    damage = version_folder.damage(folder, card)
    if damage is None and file and not (data_folder / file["path"]).is_file():
        damage = f"its examples are not in {data_folder} any more"
    if damage:
        say(f"{folder} is damaged ({damage}): importing again.")
        return None
    if list_model(models, asked.name, folder, follow_newest=follow_newest):
        say(f"{folder} was not listed in {models / 'models.config'}; now it is.")
    return _result(asked, folder, card, imported=False)


def import_and_publish(
    asked: Import, models: Path, data_folder: Path, *, follow_newest: bool = False
) -> dict[str, Any]:
    """Publish the model as the next version. Raises `AtelierTrainerError`; then nothing was published."""
    clock = Clock()
    found = source.find(asked.model)
    names = labels_file.read_names(asked.labels) if asked.labels else ()
    digest = asked.digest(found)
    with quick_import():
        import tensorflow as tf

        from atelier_trainer.publishing.models_config import keep_serving
    clock.lap("import")
    before = versions(models / asked.name)
    if not follow_newest and keep_serving(models, asked.name, before[-1] if before else None):
        say(f"{asked.name}: version {before[-1]} goes on being served until a release replaces it.")
    with Staging(models / asked.name) as staging:
        try:
            card = _fill(staging.folder, asked, found, digest, names, data_folder, clock)
            card["seconds"] = clock.seconds
            version_folder.write_card(staging.folder, card)
        except (OSError, tf.errors.OpError) as error:
            said = explain_write_failure(models / asked.name, error) or f"The import failed: {error}"[:600]
            raise PublishError(f"{said} {NOTHING}") from None
        interrupt.check()
        version = staging.publish()
    list_model(models, asked.name, version, follow_newest=follow_newest)
    clock.lap("publish")
    return _result(asked, version, card, imported=True)


def _fill(
    folder: Path,
    asked: Import,
    found: Source,
    digest: str,
    names: tuple[str, ...],
    data_folder: Path,
    clock: Clock,
) -> dict[str, Any]:
    """Write the version, all but its card, which is returned."""
    from atelier_trainer.importing import keras_model, saved_model, task
    from atelier_trainer.importing.card import card
    from atelier_trainer.importing.examples import pictures, reading, test_file
    from atelier_trainer.importing.measured import Measured
    from atelier_trainer.publishing import model_signature as signatures

    if asked.examples:
        reading.require_format(asked.examples)
    loaded = None
    if found.format == "saved_model":
        loader = saved_model.copy(found, folder)
    else:
        loaded = keras_model.load(found)
        loader = loaded.loader
        keras_model.export(loaded, found, folder)
    clock.lap("load")
    signature = signatures.read_signature(folder, signatures.read_graph(folder), asked.signature)
    output = task.chosen_output(signature, asked.output)
    if names and asked.labels:
        task.check_names(
            names, asked.labels, output, signature.outputs[output] if output else None, asked.task
        )
    measured = Measured(folder, signature)
    given = None
    rescales = loaded.rescales if loaded else None
    if asked.examples:
        given = reading.read(asked.examples, signature, asked.label_column, rescales=rescales)
    clock.lap("examples")
    answers = measured.answers(given, output) if given and output else None
    activation = keras_model.last_activation(loaded, output) if loaded and output else None
    purpose = task.purpose(output, answers, given, names, asked.task, activation)
    purpose = measured.limited(purpose)
    measured.write_extra(asked.name, given, purpose, answers)
    metrics = measured.metrics(purpose, answers)
    told: Mapping[str, str] | None = None
    if given:
        with writing(data_folder):
            told = test_file.write(given, purpose.labels, purpose.class_names, asked.name, data_folder)
    clock.lap("measure")
    _say(asked, signature.name, metrics, purpose.unmeasured, given is not None)
    return card(
        asked.name,
        digest,
        found,
        loader,
        signature,
        purpose,
        given,
        asked.examples.name if asked.examples else "no examples",
        told,
        metrics,
        keras_model.parameters(loaded) if loaded else None,
        whole_pixels=rescales is True and pictures.takes_floats(signature),
    )


def _say(
    asked: Import, signature: str, metrics: Mapping[str, Any], unmeasured: str | None, examples: bool
) -> None:
    if not examples:
        say(
            f"{asked.name} has no examples: it is published without golden examples (nobody can check that it "
            "answers as here), "
            "without warm-up requests and without metrics; --examples FILE gives them."
        )
    elif unmeasured:
        say(f"{asked.name} is not measured: {unmeasured}.")
    if examples and signature != "serving_default":
        say(f"The signature is {signature!r}: golden examples are of serving_default, so there are none.")
    if metrics:
        say(
            "examples: "
            + "  ".join(f"{key} {value:,.4g}" for key, value in metrics.items())
            + "  (exported model)"
        )


def _result(asked: Import, version: Path, card: Mapping[str, Any], *, imported: bool) -> dict[str, Any]:
    return {
        "model": asked.name,
        "version": int(version.name),
        "path": str(version),
        "imported": imported,
        "task": card["task"],
        "signature": card["signature"],
        "output": card["output"],
        "examples": card["data"]["test"]["examples"],
        "labelled": card["data"]["test"]["labelled"],
        "unmeasured": card["unmeasured"],
        "metrics": card["metrics"]["test"],
        "seconds": card["seconds"],
    }


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and bytes of a folder's files. Raises `ImportRefused` when there is none."""
    if not path.exists():
        raise ImportRefused(f"{path} does not exist.")
    if not path.is_dir():
        return file_digest(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return sha256_of(*(f"{file.relative_to(path)} {file_digest(file)}\n".encode() for file in files))
