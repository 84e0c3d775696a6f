"""Imported models of pictures: a PNG is divided by 255 once, by the client or by the model; what is guessed is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support.client_command import command
from tests.support.server import running_server
from tests.support.trainer_command import in_process

_PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), np.uint8)
# How each model wants pixels, and what its first layer is.
KINDS: dict[str, tuple[float, list[Any]]] = {
    "divides": (1, [keras.layers.Rescaling(1 / 255)]),
    "plain": (255, []),
    # Of pixels that are divided already.
    "centres": (255, [keras.layers.Rescaling(2.0, offset=-1.0)]),
    "saved": (255, []),
}
SAID = {
    "divides": "the model has a Rescaling layer",
    "plain": "has no Rescaling layer that does it",
    "centres": "has no Rescaling layer that does it",
    "saved": "a SavedModel does not show whether",
}


@dataclass(frozen=True)
class Served:
    folder: Path
    address: str
    answers: dict[str, Any]

    def ask(self, what: str, name: str, *arguments: Any) -> Any:
        places = ["--models", self.folder / "models", "--reports", self.folder / name][
            : 4 if what == "evaluate" else 2
        ]
        done = command(what, *arguments, "--json", "--target", self.address, "--model", name, *places)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """All kinds, and one imported without examples; the examples are a folder of pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, pixels in enumerate(_PIXELS):
        place = folder / "examples" / ("cat", "dog")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    answers = {}
    places = ["--models", folder / "models", "--data", folder / "data"]
    for name, (divisor, layers) in KINDS.items():
        keras.utils.set_random_seed(1)
        shape = keras.Input((6, 6, 3), name="picture")
        last = [keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax", name="kind")]
        model = keras.Sequential([shape, *layers, *last])
        path = folder / (name if name == "saved" else f"{name}.keras")
        model.export(path, verbose=False) if name == "saved" else model.save(path)
        answers[name] = np.asarray(model(_PIXELS / np.float32(divisor)))
        done = in_process("import", path, "--name", name, "--examples", folder / "examples", *places)
        assert done.exit_code == 0, done.message
        assert SAID[name] in done.stderr
    assert in_process("import", folder / "divides.keras", "--name", "bare", *places).exit_code == 0
    answers["bare"] = answers["divides"]
    config = f"--model_config_file={folder / 'models' / 'models.config'}"
    with running_server(folder / "models", config, model="plain") as running:
        yield Served(folder, running.grpc, answers)


@pytest.mark.parametrize("name", [*KINDS, "bare"])
def test_a_picture_is_answered_as_the_model_itself_does(served: Served, name: str) -> None:
    answer, said = served.ask("predict", name, served.folder / "examples" / "cat" / "0.png")
    (found,) = answer["predictions"][0]["outputs"].values()
    assert found == pytest.approx(served.answers[name][0].tolist(), abs=1e-5)
    assert ("divided by 255, as" in said) == (name not in ("divides", "bare"))


@pytest.mark.parametrize("name", ["divides", "plain"])
def test_the_user_s_folder_of_pictures_has_the_card_s_metrics(served: Served, name: str) -> None:
    report, _ = served.ask("evaluate", name, served.folder / "examples")
    card = served.folder / "models" / name / "1" / "assets.extra" / "model_card.json"
    trained = json.loads(card.read_text())["metrics"]["test"]
    assert report["metrics"]["loss"] == pytest.approx(trained["loss"], abs=1e-5)
