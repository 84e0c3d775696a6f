"""The client counts requests as the trainer counted its examples: one set of formulas, from both sides."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client._model_card import read_card
from atelier_client.drift.inputs import inputs_of
from atelier_client.drift.outputs import answers_of
from atelier_client.drift.pictures import features_of
from atelier_client.drift.reference import Reference, read_reference
from atelier_client.drift.schema import Schema
from atelier_client.drift.texts import features_of as text_features
from atelier_client.drift.windows import sample_of, windows
from atelier_client.request_log import read
from atelier_trainer.reference import pictures as trainers_pictures
from atelier_trainer.reference import texts as trainers_texts

from tests.support.drift_models import publish
from tests.support.request_logs import write_log

KINDS = ("pictures", "texts", "numbers", "people")


def reference_of(folder: Path) -> Reference:
    card = read_card(folder)
    assert card is not None
    reference = read_reference(folder, card)
    assert reference is not None
    return reference


def as_sent(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs as tensors: text as bytes."""
    return {
        name: np.array([item.encode() if isinstance(item, str) else item for item in array.tolist()], object)
        if array.dtype == object
        else array
        for name, array in inputs.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_trainers_own_examples_are_counted_as_the_trainer_did(tmp_path: Path, kind: str) -> None:
    published = publish(tmp_path, kind)
    reference = reference_of(published.folder)
    sent = as_sent(published.inputs)
    write_log(tmp_path / "log", sent, published.answers(published.inputs), model=kind, batch=250)
    samples = [sample_of(request, reference.schema, {}) for request in read(tmp_path / "log", kind)]
    (window,), _ = windows(samples, reference.columns, reference.calibration, 3000, datetime.now(UTC))
    assert len(reference.columns) >= 6
    for column, counts in zip(reference.columns, reference.counts, strict=True):
        found = window.counts[column.key]
        if column.group == "output" and column.kind == "number":
            # Another batch size rounds the last digits otherwise, and so moves a few across an edge.
            assert np.abs(found.cells - counts.cells).sum() <= 30, column.name
            continue
        assert found.cells.tolist() == counts.cells.tolist(), column.name
        np.testing.assert_allclose([*found.below, *found.above], [*counts.below, *counts.above], rtol=1e-9)
        assert found.total == pytest.approx(counts.total)


@pytest.mark.parametrize("shape", [(7, 9), (5, 5, 3), (1, 1), (2, 8, 1), (3, 1, 4)])
def test_pictures_have_the_same_features_on_both_sides(shape: tuple[int, ...]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, [1500, *shape], np.uint8)
    pictures[:500] //= 4
    ours, theirs = features_of(pictures), trainers_pictures.features_of(pictures)
    for name in ("mean", "contrast", "ink", "light_border"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_texts_have_the_same_words_on_both_sides() -> None:
    texts: list[bytes] = [
        b"", b"   ", b"One two,three", "Straße ÉCOLE naïve".encode(), b"it's 'quoted' isn''t", b"a<br>b<BR />c<br\t/>d",
        "non\u00a0breaking\u2003space – dash".encode(), "日本語 テキスト".encode(), b"x\x01y\x7fz", "ΣΊΣΥΦΟΣ".encode(),
        "İstanbul ǅ".encode(), b"under_score-hyphen@mail.example 12.5%",
    ]  # fmt: skip
    vocabulary = [b"one", b"it's", "école".encode(), b"b", b"12"]
    ours = text_features(texts, frozenset(vocabulary))
    theirs = trainers_texts.features_of(np.array(texts, object), vocabulary)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_texts_and_categories_of_a_file_are_those_of_the_wire() -> None:
    """A file of examples gives str where a request has bytes, and a classify request lists of one."""
    text = Schema("text", vocabulary=frozenset())
    people = Schema("table", columns=("city",), kinds={"city": "category"})
    for schema, name in ((text, "text"), (people, "city")):
        forms = [np.array(cells, object) for cells in (["Ulm", "Zürich"], [b"Ulm", "Zürich".encode()])]
        found = [inputs_of({name: form}, schema) for form in forms]
        assert len({tuple(one.digests()) for one in found if one}) == 1
        assert None not in found
    lists = np.empty(3, object)
    lists[:] = [[b" Ulm "], None, []]
    absent = inputs_of({"city": lists}, people)
    assert absent is not None
    assert absent.features(people)["input", "city"].tolist() == ["Ulm", "", ""]


PICTURE = Schema("image", (2, 3), class_names=("a", "b"), background="dark")


def test_every_signature_of_a_picture_gives_the_same_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, [4, 2, 3], np.uint8)
    forms: list[dict[str, Any]] = [
        {"images": pixels},
        {"pixels": (pixels.reshape(4, 6) / 255).astype(np.float32)},
        {"images": pixels.reshape(4, 6).astype(np.int64)},
    ]
    found = [inputs_of(form, PICTURE) for form in forms]
    assert all(one is not None for one in found)
    assert len({tuple(one.digests()) for one in found if one}) == 1
    assert inputs_of({"images": pixels[:, :1]}, PICTURE) is None


def test_answers_are_taken_from_whatever_the_log_has() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    whole = answers_of({"probabilities": probabilities}, PICTURE)
    assert {name for _, name in whole.values} == {
        "predicted class", "confidence", "probability of a", "probability of b",
    }  # fmt: skip
    labels = np.array([[b"a", b"b"]] * 2, object)
    scores = answers_of({"scores": probabilities, "classes": labels}, PICTURE)
    assert scores.predicted is not None
    assert scores.predicted.tolist() == [0, 1]
    swapped = answers_of({"scores": probabilities, "classes": labels[:, ::-1]}, PICTURE)
    assert swapped.probabilities is None
    for given in ({"class_id": np.array([0, 1])}, {"label": np.array([b"a", b"b"], object)}):
        some = answers_of(given, PICTURE)
        assert list(some.values) == [("output", "predicted class")]
        assert some.values["output", "predicted class"].tolist() == ["a", "b"]
    price = answers_of({"price": np.array([1.5, 2.5], np.float32)}, Schema(None))
    assert price.values["value", "price"].tolist() == [1.5, 2.5]


def test_an_answer_that_is_not_finite_takes_none_of_the_others_away() -> None:
    rows = np.array([[0.9, 0.1], [np.nan, 0.8], [0.2, 0.8], [np.inf, 0.0]], np.float32)
    some = answers_of({"probabilities": rows}, PICTURE)
    assert some.predicted is not None
    assert some.probabilities is not None
    assert some.predicted.tolist() == [0, -1, 1, -1]
    assert some.probabilities.shape == (2, 2)
    assert some.values["output", "predicted class"].tolist() == ["a", "", "b", ""]
    assert np.isfinite(some.values["output", "confidence"]).tolist() == [True, False, True, False]
    none = answers_of({"probabilities": rows[1::2]}, PICTURE)
    assert none.values["output", "predicted class"].tolist() == ["", ""]
    assert answers_of({"other": rows[1::2]}, PICTURE).values == {}
