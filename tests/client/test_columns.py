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
from atelier_client.signature import Signature, TensorInfo
from PIL import Image

SIZES = Layout("table", (2,), "label", None, ("width", "height"))


def signature(*infos: TensorInfo) -> Signature:
    return Signature("serving_default", "", {info.name: info for info in infos}, {}, frozenset())


TABLE = signature(TensorInfo("features", "float32", (-1, 2)))


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
    served = signature(TensorInfo("age", "float32", (-1,)), TensorInfo("city", "string", (-1,)))
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
    result = fitted(array, TensorInfo("x", "int64", (-1, *wanted)))
    assert (result is not None) == fits
    if result is not None:
        np.testing.assert_array_equal(result.ravel(), array.ravel())


def test_pictures_with_color_first_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", images=np.zeros([2, 3, 8, 4], np.uint8), labels=np.array([0, 1]))
    with pytest.raises(DataError, match=r"takes \[8, 4, 3\] a row, it has \[3, 8, 4\].*transpose"):
        bound(tmp_path / "p.npz", signature(TensorInfo("x", "uint8", (-1, 8, 4, 3))))


@pytest.mark.parametrize(
    ("info", "layout"),
    [
        (TensorInfo("x", "float32", (-1, 4)), Layout()),
        (TensorInfo("x", "float32", (-1, 4)), Layout("table", (4,))),
        (TensorInfo("x", "float32", (-1, 2, 2)), Layout("table", (4,))),
        (TensorInfo("x", "string", (-1, 2, 2)), Layout()),
        (TensorInfo("x", "float32", (-1,)), Layout()),
        (TensorInfo("x", "float32", None), Layout()),
    ],
)
def test_a_picture_is_refused_by_what_is_no_image_model(
    tmp_path: Path, info: TensorInfo, layout: Layout
) -> None:
    Image.fromarray(np.zeros([8, 8], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: a picture does not fit an input of shape"):
        for_input((tmp_path / "a.png").read_bytes(), info, layout, "a.png")


@pytest.mark.parametrize("shape", [(-1, -1, 3), (8, 8, 3)])
def test_a_picture_is_refused_where_the_first_axis_may_be_its_height(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    Image.fromarray(np.zeros([8, 8, 3], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: .*one picture without an axis of rows.*Python"):
        for_input((tmp_path / "a.png").read_bytes(), TensorInfo("x", "uint8", shape), Layout(), "a.png")


@pytest.mark.parametrize(
    ("shape", "came"),
    [((-1, -1, -1, 3), (4, 8, 3)), ((-1, -1, 16, 3), (8, 16, 3)), ((-1, 2, -1, 3), (2, 4, 3))],
)
def test_a_free_size_of_a_picture_keeps_its_proportions(
    tmp_path: Path, shape: tuple[int, ...], came: tuple[int, ...]
) -> None:
    Image.fromarray(np.zeros([4, 8, 3], np.uint8)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    assert for_input(data, TensorInfo("x", "uint8", shape), Layout(), "a.png").pixels.shape == came
    of_floats = for_input(data, TensorInfo("x", "float32", shape), Layout(), "a.png")
    assert of_floats.steps[-1].startswith("divided by 255")


def test_the_card_tells_that_a_flat_input_is_a_picture(tmp_path: Path) -> None:
    pixels = np.arange(32, dtype=np.uint8).reshape(4, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    info, layout = TensorInfo("x", "float32", (-1, 32)), Layout("image", (4, 8))
    picture = for_input((tmp_path / "a.png").read_bytes(), info, layout, "a.png")
    np.testing.assert_array_equal(picture.pixels, pixels.ravel())


WIDE = Layout(
    "table", (2,), "bought", None, ("alter", "stadt"), ";", ",", "latin-1", ("", "NA"),
    {"alter": "number", "stadt": "category"},
)  # fmt: skip


def test_the_card_says_how_a_table_is_written(tmp_path: Path) -> None:
    served = signature(TensorInfo("alter", "float32", (-1, 1)), TensorInfo("stadt", "string", (-1,)))
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


@pytest.mark.parametrize(
    ("cells", "missing", "decimal"),
    [
        (["1", "-999.0", "-999", "3"], "-999", "."),
        (["1", "-999,5", "-999,50", "3"], "-999.5", ","),
        (["1", "-99.9", "-99.90", "3"], "-99.9", "."),
        (["1", "1e99", "1E+99", "3"], "1e99", "."),
    ],
)
def test_a_number_that_is_no_value_is_none_in_any_spelling(
    tmp_path: Path, cells: list[str], missing: str, decimal: str
) -> None:
    served = signature(TensorInfo("n", "float32", (-1,)))
    layout = Layout(
        "table", (1,), "label", None, ("n",), ";", decimal, missing=(missing,), kinds={"n": "number"}
    )
    text = "n;label\n" + "".join(f"{cell};a\n" for cell in cells)
    inputs, _ = bound(written(tmp_path, text), served, layout=layout)
    np.testing.assert_array_equal(inputs["n"], np.array([1, np.nan, np.nan, 3], np.float32))
    values = [float(cell.replace(",", ".")) for cell in cells]
    for kind in (pyarrow.float64(), pyarrow.float32()):
        columns = {"n": pyarrow.array(values, kind), "label": ["a"] * 4}
        if abs(values[1]) < 1e38 or kind == pyarrow.float64():
            pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "f.parquet")
            inputs, _ = bound(tmp_path / "f.parquet", served, layout=layout)
            np.testing.assert_array_equal(inputs["n"], np.array([1, np.nan, np.nan, 3], np.float32))


def test_bytes_of_another_encoding_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, "width,height,label\n1,2,ä\n", encoding="latin-1")
    with pytest.raises(DataError, match="it is no utf-8 text"):
        bound(path, TABLE, layout=SIZES)


def test_a_file_without_the_mark_of_its_encoding_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "width,height,label\n1,2,a\n")
    with pytest.raises(DataError, match=r"file\.csv, after row 0: it is no utf-16 text"):
        list(open_reader(path, Layout(columns=("width", "height"), encoding="utf-16")).tables(10))


def test_inputs_with_an_axis_of_one_take_columns(tmp_path: Path) -> None:
    served = signature(TensorInfo("text", "string", (-1, 1)))
    inputs, _ = bound(written(tmp_path, "label,text\na,hello\nb,\n"), served)
    assert inputs["text"].tolist() == [["hello"], [""]]
    served = signature(TensorInfo("width", "float32", (-1, 1)), TensorInfo("height", "int64", (-1, 1)))
    inputs, _ = bound(written(tmp_path, "label,width,height\na,1,2\n"), served)
    assert inputs["width"].shape == inputs["height"].shape == (1, 1)


def test_one_input_that_is_a_column_is_found_by_its_name_alone(tmp_path: Path) -> None:
    served = signature(TensorInfo("city", "string", (-1,)))
    layout = Layout("table", (1,), "label", None, ("city",), missing=("",), kinds={"city": "category"})
    with pytest.raises(DataError, match=r"no column for the input city: .* Did you mean 'City'\?"):
        bound(written(tmp_path, "City,label\nx,a\n"), served, layout=layout)


@pytest.mark.parametrize("header", ["features,width,height", "width,features,height"])
def test_the_columns_of_training_go_before_one_of_the_inputs_name(tmp_path: Path, header: str) -> None:
    path = written(tmp_path, f"{header},label\n1,2,3,a\n")
    row = dict(zip(header.split(","), [1, 2, 3], strict=False))
    inputs, _ = bound(path, TABLE, layout=SIZES)
    assert inputs["features"].tolist() == [[row["width"], row["height"]]]
    own = Layout("table", (2,), "label", None, ("features", "height"))
    inputs, _ = bound(path, TABLE, layout=own)
    assert inputs["features"].tolist() == [[row["features"], row["height"]]]
    with pytest.raises(DataError, match="has no column 'depth'"):
        bound(path, TABLE, layout=Layout("table", (2,), "label", None, ("features", "depth")))
    one = signature(TensorInfo("features", "float32", (-1, 1)))
    inputs, _ = bound(path, one, layout=Layout("table", (1,), "label", None, ("height",)))
    assert inputs["features"].tolist() == [[row["height"]]]


def test_the_text_of_training_goes_before_a_column_called_text(tmp_path: Path) -> None:
    path = written(tmp_path, "text,review,label\nother,right,a\n")
    served = signature(TensorInfo("text", "string", (-1,)))
    inputs, _ = bound(path, served, layout=Layout("text", (), "label", "review"))
    assert inputs["text"].tolist() == ["right"]


def test_an_array_that_fits_does_not_replace_the_columns_of_training(tmp_path: Path) -> None:
    columns = {"embedding": [[8.0, 9.0]], "height": [2.0], "label": ["a"], "width": [1.0]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "file.parquet")
    inputs, _ = bound(tmp_path / "file.parquet", TABLE, layout=SIZES)
    assert inputs["features"].tolist() == [[1, 2]]


@pytest.mark.parametrize("others", [{"height": np.ones([2, 3])}, {"height": np.ones(2)}, {}])
def test_an_array_with_a_trained_columns_name_is_not_all_of_them(tmp_path: Path, others: Any) -> None:
    path = arrays(tmp_path, width=np.eye(2), label=LABELS, **others)
    with pytest.raises(DataError, match=r"expected one value a row, got \[2\]|has no column 'height'"):
        bound(path, TABLE, layout=SIZES)
    # Under the input's own name it is all of them.
    served = signature(TensorInfo("width", "float32", (-1, 2)))
    inputs, _ = bound(arrays(tmp_path, width=np.eye(2), label=LABELS), served, layout=SIZES)
    assert inputs["width"].tolist() == [[1, 0], [0, 1]]
    with pytest.raises(DataError, match="has no column 'height'"):
        bound(arrays(tmp_path, width=np.ones(2), label=LABELS), served, layout=SIZES)


def test_lists_of_one_value_are_columns_beside_numbers(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"width": [[1.0]], "height": [2.0], "label": ["a"]}), path)
    inputs, _ = bound(path, TABLE, layout=SIZES)
    assert inputs["features"].tolist() == [[1, 2]]
    pyarrow.parquet.write_table(pyarrow.table({"width": [[1.0, 3.0]], "height": [2.0], "label": ["a"]}), path)
    with pytest.raises(DataError, match=r"column width: expected one value a row, got \[2\]"):
        bound(path, TABLE, layout=SIZES)


def test_pixels_are_found_by_the_names_of_training(tmp_path: Path) -> None:
    served = signature(TensorInfo("images", "uint8", (-1, 1, 2)))
    layout = Layout("image", (1, 2), "label", None, ("p1", "p2"))
    inputs, _ = bound(written(tmp_path, "p2,label,p1\n9,a,5\n"), served, layout=layout)
    assert inputs["images"].tolist() == [[[5, 9]]]
    with pytest.raises(DataError, match=r"has no column 'p1'\. Did you mean 'P1'\?"):
        bound(written(tmp_path, "P1,P2,label\n5,9,a\n"), served, layout=layout)
    said: list[str] = []
    bound(written(tmp_path, "P1,P2,label\n5,9,a\n"), served, said, layout=Layout("image", (1, 2), "label"))
    assert said == ["file: the columns P1, P2 are taken in their order: no model card names them."]


def test_pictures_of_another_shape_are_not_looked_for_in_columns(tmp_path: Path) -> None:
    served = signature(TensorInfo("images", "uint8", (-1, 1, 2)))
    path = arrays(tmp_path, x_test=np.zeros([2, 3, 1, 2], np.uint8), label=LABELS)
    with pytest.raises(DataError, match="takes 2 numbers a row, the columns are x_test"):
        bound(path, served, layout=Layout("image", (1, 2), "label", None, ("p1", "p2")))


def test_a_label_column_that_is_an_input_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "width,height,label\n1,2,a\n")
    with pytest.raises(DataError, match="'width' is an input of the model, not its label"):
        bound(path, TABLE, layout=SIZES, label_column="width")


def test_whole_numbers_are_exact_beside_other_spellings(tmp_path: Path) -> None:
    served = signature(TensorInfo("n", "int64", (-1,)), TensorInfo("u", "uint64", (-1,)))
    path = written(tmp_path, f"n,u,label\n{2**53 + 1},{2**64 - 1},a\n 3.0 ,True,b\n-1e3,0,b\n")
    inputs, _ = bound(path, served)
    assert inputs["n"].tolist() == [2**53 + 1, 3, -1000]
    assert inputs["u"].tolist() == [2**64 - 1, 1, 0]
    for cell in ("3.5", str(2**63), "1e30", "nan", "inf"):
        with pytest.raises(DataError, match="row 1, column n: expected a int64 number, got "):
            bound(written(tmp_path, f"n,u,label\n{cell},1,a\n"), served)


def arrays(folder: Path, **columns: Any) -> Path:
    np.savez(folder / "file.npz", **columns)
    return folder / "file.npz"


LABELS = np.array(["a", "b"])


def test_an_array_under_another_name_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    path = arrays(tmp_path, weights=np.eye(2), label=LABELS)
    bound(path, TABLE, said, layout=SIZES)
    assert said == [
        "file: the input features: float32 [N,2] is taken from the array 'weights', the only one that fits."
    ]
    path = arrays(tmp_path, weights=np.eye(2), other=np.eye(2), label=LABELS)
    with pytest.raises(DataError, match="The model was trained on width, height"):
        bound(path, TABLE, layout=SIZES)


def test_a_picture_is_no_row_of_a_table(tmp_path: Path) -> None:
    path = arrays(tmp_path, features=np.zeros([2, 2, 2]), label=LABELS)
    served = signature(TensorInfo("features", "float32", (-1, 4)))
    with pytest.raises(DataError, match=r"takes \[4\] a row, it has \[2, 2\]"):
        bound(path, served, layout=Layout("table", (4,), "label", None, ("a", "b", "c", "d")))


@pytest.mark.parametrize("kind", ["M8[s]", "m8[s]", "c16", "V2", "M8[s] column"])
def test_times_and_other_kinds_are_not_cast_to_numbers(tmp_path: Path, kind: str) -> None:
    kind, _, column = kind.partition(" ")
    values = np.zeros([2, 2], np.int64).astype(kind) if kind != "V2" else np.zeros([2, 2], "V2")
    given = {"width": values[:, 0], "height": np.ones(2)} if column else {"features": values}
    with pytest.raises(DataError, match=r"row 1, column .*: expected numbers or texts, got "):
        bound(arrays(tmp_path, label=LABELS, **given), TABLE, layout=SIZES)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_finite_number_needs_a_model_that_takes_it(
    tmp_path: Path, kind: str, value: float
) -> None:
    path = arrays(tmp_path, features=np.array([[1, 2], [3, value]], kind), label=LABELS)
    with pytest.raises(DataError, match="row 2, column features: expected a float32 number"):
        bound(path, TABLE, layout=SIZES)
    inputs, _ = bound(path, TABLE)
    np.testing.assert_array_equal(inputs["features"], np.array([[1, 2], [3, value]], np.float32))


def test_the_values_of_a_records_feature_are_columns(tmp_path: Path) -> None:
    """The trainer calls them so: `x` of two values is x0 and x1."""
    served = signature(TensorInfo("features", "float32", (-1, 3)))
    layout = Layout("table", (3,), "label", None, ("x0", "x1", "z"))
    said: list[str] = []
    path = arrays(tmp_path, z=np.array([5.0, 6]), x=np.array([[1.0, 2], [3, 4]]), label=LABELS)
    inputs, _ = bound(path, served, said, layout=layout)
    assert inputs["features"].tolist() == [[1, 2, 5], [3, 4, 6]]
    assert said == []


def test_pixels_are_scaled_for_an_input_of_floats(tmp_path: Path) -> None:
    served = signature(TensorInfo("pixels", "float32", (-1, 2)))
    layout = Layout("image", (1, 2), "label")
    pixels = np.array([[[0, 255]], [[51, 102]]])
    expected = np.array([[0, 1], [0.2, 0.4]], np.float32)
    for given in (pixels.astype(np.uint8), pixels.astype(np.int64), (pixels / 255).astype(np.float32)):
        said: list[str] = []
        inputs, _ = bound(arrays(tmp_path, images=given, label=LABELS), served, said, layout=layout)
        np.testing.assert_allclose(inputs["pixels"], expected, rtol=1e-6)
        assert ("file: the pixels 0..255 are divided by 255, as the input takes them." in said) == (
            given.dtype.kind in "ui"
        )
    inputs, _ = bound(written(tmp_path, "p,q,label\n0,255,a\n51,102,b\n"), served, layout=layout)
    np.testing.assert_allclose(inputs["pixels"], expected, rtol=1e-6)


def test_pixels_that_were_scaled_before_are_said(tmp_path: Path) -> None:
    said: list[str] = []
    path = arrays(tmp_path, images=np.eye(2, dtype=bool)[:, None], label=LABELS)
    bound(
        path,
        signature(TensorInfo("images", "uint8", (-1, 1, 2))),
        said,
        layout=Layout("image", (1, 2), "label"),
    )
    assert any("no pixel is above 1" in line for line in said)


@pytest.mark.parametrize(
    ("name", "separator"), [("f.tsv", "\t"), ("f.tab", "\t"), ("f.data", ","), ("f.CSV", ",")]
)
def test_tables_under_other_names(tmp_path: Path, name: str, separator: str) -> None:
    path = written(tmp_path, "width,height,label\n1,2,a\n".replace(",", separator), name)
    inputs, _ = bound(path, TABLE)
    assert inputs["features"].tolist() == [[1, 2]]
    inputs, _ = bound(path, TABLE, layout=Layout(**{**vars(SIZES), "separator": separator}))
    assert inputs["features"].tolist() == [[1, 2]]


def test_another_separator_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="looks separated by ';'; expected ','"):
        bound(written(tmp_path, "width;height;label\n1;2;a\n"), TABLE, layout=SIZES)


def test_empty_cells_of_parquet_are_missing_values(tmp_path: Path) -> None:
    served = signature(
        TensorInfo("n", "float32", (-1,)), TensorInfo("k", "float32", (-1,)), TensorInfo("c", "string", (-1,))
    )
    layout = Layout(
        "table", (3,), "label", None, ("n", "k", "c"), missing=("NA",),
        kinds={"n": "number", "k": "number", "c": "category"},
    )  # fmt: skip
    columns = {"n": [1.5, None], "k": [None, 2], "c": ["x", None], "label": ["a", "b"]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "f.parquet")
    inputs, _ = bound(tmp_path / "f.parquet", served, layout=layout)
    np.testing.assert_array_equal(inputs["n"], np.array([1.5, np.nan], np.float32))
    np.testing.assert_array_equal(inputs["k"], np.array([np.nan, 2], np.float32))
    assert inputs["c"].tolist() == ["x", ""]
    columns["label"] = ["a", None]
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "f.parquet")
    with pytest.raises(DataError, match="row 2, column label: the cell is empty"):
        bound(tmp_path / "f.parquet", served, layout=layout)
    columns |= {"label": ["a", "b"], "c": [7.0, 8.0]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "f.parquet")
    with pytest.raises(DataError, match="row 1, column c: a category is a text"):
        bound(tmp_path / "f.parquet", served, layout=layout)
