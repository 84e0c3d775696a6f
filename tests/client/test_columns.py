"""Columns become inputs by their names and arrays by their axes; what would be a guess is an error or is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from atelier_client._layout import Layout
from atelier_client.data.binding import Binding
from atelier_client.data.image_file import for_input
from atelier_client.data.open import open_reader
from atelier_client.data.shapes import fitted
from atelier_client.errors import DataError
from atelier_client.signature import Signature, TensorSpec
from PIL import Image

SIZES = Layout("table", (2,), "label", None, ("width", "height"))


def signature(*specs: TensorSpec) -> Signature:
    return Signature("serving_default", "", {spec.name: spec for spec in specs}, {}, frozenset())


TABLE = signature(TensorSpec("features", "float32", (-1, 2)))


def bound(path: Path, served: Signature, said: list[str] | None = None, **settings: Any) -> tuple[Any, Any]:
    """The inputs, and the labels as class numbers of a, b, c."""
    layout = settings.get("layout", Layout())
    reader = open_reader(path, layout)
    binding = Binding(served, reader.name, say=(said if said is not None else []).append, **settings)
    [table] = reader.tables(100)
    return binding.inputs(table, 0), binding.labels(table, 0, ("a", "b", "c"), 3).tolist()


def written(folder: Path, text: str, name: str = "file.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def test_the_card_names_the_label(tmp_path: Path) -> None:
    path = written(tmp_path, "x,y,species\n1,2,b\n3,4,c\n")
    layout = Layout("table", (2,), "species", None, ("x", "y"))
    inputs, labels = bound(path, TABLE, layout=layout)
    assert inputs["features"].tolist() == [[1, 2], [3, 4]]
    assert labels == [1, 2]
    with pytest.raises(DataError, match=r"has no column 'kind'\. Did you mean 'Kind'"):
        bound(written(tmp_path, "x,y,Kind\n1,2,b\n"), TABLE, layout=Layout(label="kind", columns=("x", "y")))


def test_a_guessed_label_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    bound(written(tmp_path, "x,z,class\n1,2,b\n"), TABLE, said)
    assert any("the label is taken from the column 'class'" in line for line in said)
    assert any("the columns x, z are taken in their order" in line for line in said)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_are_found_by_name_in_any_order(tmp_path: Path, kind: str) -> None:
    said: list[str] = []
    path = tmp_path / f"file.{kind}"
    if kind == "csv":
        path.write_text("region,height,label,width\nnorth,2,a,1\n")
    else:
        columns = {"region": ["north"], "height": [2.0], "label": ["a"], "width": [1.0]}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    inputs, _ = bound(path, TABLE, said, layout=SIZES)
    assert inputs["features"].tolist() == [[1, 2]]
    assert said == ["file: the model does not take the columns region; they are passed over."]


@pytest.mark.parametrize("header", ["Height,Width", "height,Width", "height,widht", "a,b", "height, width"])
def test_a_missing_column_is_never_replaced_by_position(tmp_path: Path, header: str) -> None:
    path = written(tmp_path, f"{header},label\n2,1,a\n")
    with pytest.raises(
        DataError, match=r"has no column 'width'.*The model was trained on width, height"
    ) as told:
        bound(path, TABLE, layout=SIZES)
    assert ("Did you mean" in str(told.value)) == (header != "a,b")


def test_a_missing_input_among_several_is_told_with_the_nearest(tmp_path: Path) -> None:
    served = signature(TensorSpec("age", "float32", (-1,)), TensorSpec("city", "string", (-1,)))
    with pytest.raises(DataError, match=r"no column for the input age: .* Did you mean 'Age'\?"):
        bound(written(tmp_path, "Age,city,label\n1,x,a\n"), served)


@pytest.mark.parametrize(
    ("got", "wanted", "fits"),
    [
        ((28, 28), (28, 28), True), ((784,), (28, 28), True), ((28, 28), (784,), True), ((28, 28, 1), (28, 28), True),
        ((28, 28), (28, 28, 1), True), ((1, 28, 28), (28, 28), True), ((), (1,), True), ((1,), (), True),
        ((3, 8, 4), (8, 4, 3), False), ((4, 8), (8, 4), False), ((3, 8, 4), (96,), False), ((2, 2), (2, 2, 2), False),
        ((3, 8, 4), (-1, -1, 3), False), ((8, 4, 3), (-1, -1, 3), True), ((6,), (2, 2), False), ((3, 2), (1, 6), False),
    ],
)  # fmt: skip
def test_only_flat_rows_and_axes_of_one_are_fitted(got: Any, wanted: Any, fits: bool) -> None:
    array = np.arange(2 * np.prod(got, dtype=int)).reshape(2, *got)
    result = fitted(array, TensorSpec("x", "int64", (-1, *wanted)))
    assert (result is not None) == fits
    if result is not None:
        np.testing.assert_array_equal(result.ravel(), array.ravel())


def test_pictures_with_color_first_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", images=np.zeros([2, 3, 8, 4], np.uint8), labels=np.array([0, 1]))
    with pytest.raises(DataError, match=r"takes \[8, 4, 3\] a row, it has \[3, 8, 4\].*transpose"):
        bound(tmp_path / "p.npz", signature(TensorSpec("x", "uint8", (-1, 8, 4, 3))))


@pytest.mark.parametrize(
    ("spec", "layout"),
    [
        (TensorSpec("x", "float32", (-1, 4)), Layout()),
        (TensorSpec("x", "float32", (-1, 4)), Layout("table", (4,))),
        (TensorSpec("x", "float32", (-1, 2, 2)), Layout("table", (4,))),
        (TensorSpec("x", "string", (-1, 2, 2)), Layout()),
        (TensorSpec("x", "float32", (-1,)), Layout()),
        (TensorSpec("x", "float32", None), Layout()),
    ],
)
def test_a_picture_is_refused_by_what_is_no_image_model(
    tmp_path: Path, spec: TensorSpec, layout: Layout
) -> None:
    Image.fromarray(np.zeros([8, 8], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: a picture does not fit an input of shape"):
        for_input((tmp_path / "a.png").read_bytes(), spec, layout, "a.png")


def test_the_card_tells_that_a_flat_input_is_a_picture(tmp_path: Path) -> None:
    pixels = np.arange(32, dtype=np.uint8).reshape(4, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    spec, layout = TensorSpec("x", "float32", (-1, 32)), Layout("image", (4, 8))
    picture = for_input((tmp_path / "a.png").read_bytes(), spec, layout, "a.png")
    np.testing.assert_array_equal(picture.pixels, pixels.ravel())


WIDE = Layout(
    "table", (2,), "bought", None, ("alter", "stadt"), ";", ",", "latin-1", ("", "NA"),
    {"alter": "number", "stadt": "category"},
)  # fmt: skip


def test_the_card_says_how_a_table_is_written(tmp_path: Path) -> None:
    served = signature(TensorSpec("alter", "float32", (-1, 1)), TensorSpec("stadt", "string", (-1,)))
    text = "stadt;bought;alter\n Köln ;b;1,5\nNA;a;NA\n;a;\n"
    path = written(tmp_path, text, encoding="latin-1")
    inputs, labels = bound(path, served, layout=WIDE)
    np.testing.assert_array_equal(inputs["alter"], np.array([[1.5], [np.nan], [np.nan]], np.float32))
    assert inputs["stadt"].tolist() == ["Köln", "", ""]
    assert labels == [1, 0, 0]
    for cell, said in (("1.5", "expected a number, got '1.5'"), ("x", "expected a number, got 'x'")):
        with pytest.raises(DataError, match=f"row 1, column alter: {said}"):
            bound(written(tmp_path, f"stadt;bought;alter\nx;b;{cell}\n"), served, layout=WIDE)
    strict = Layout(**{**vars(WIDE), "missing": ("NA",)})
    for row, column in ((";b;1", "stadt"), ("x;b;", "alter")):
        with pytest.raises(DataError, match=rf"row 1, column {column}: .*data: missing"):
            bound(written(tmp_path, f"stadt;bought;alter\n{row}\n"), served, layout=strict)


def test_bytes_of_another_encoding_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, "width,height,label\n1,2,ä\n", encoding="latin-1")
    with pytest.raises(DataError, match="it is no utf-8 text"):
        bound(path, TABLE, layout=SIZES)


def test_inputs_with_an_axis_of_one_take_columns(tmp_path: Path) -> None:
    served = signature(TensorSpec("text", "string", (-1, 1)))
    inputs, _ = bound(written(tmp_path, "label,text\na,hello\nb,\n"), served)
    assert inputs["text"].tolist() == [["hello"], [""]]
    served = signature(TensorSpec("width", "float32", (-1, 1)), TensorSpec("height", "int64", (-1, 1)))
    inputs, _ = bound(written(tmp_path, "label,width,height\na,1,2\n"), served)
    assert inputs["width"].shape == inputs["height"].shape == (1, 1)
