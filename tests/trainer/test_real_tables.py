"""Tables as people have them: categories, missing values, other separators; trained, exported and read back."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import yaml
from atelier_trainer.data import job_data
from atelier_trainer.errors import DataInvalid, JobError
from atelier_trainer.job import Job
from atelier_trainer.job_file import load_job
from atelier_trainer.publishing.exported_model import ExportedModel

from tests.support.trainer_command import trainer

ROWS = 200
CITIES = ("Köln", "Paris", "Łódź")


def table(separator: str = ";", decimal: str = ",", cities: tuple[str, ...] = CITIES) -> str:
    """Rich people of the first city buy; every seventh age and every ninth city is missing."""
    random = np.random.default_rng(5)
    lines = [separator.join(["age", "city of birth", "income", "bought"])]
    for row in range(ROWS):
        city = cities[random.integers(len(cities))]
        income = round(random.normal(3000.5, 900), 2)
        bought = "yes" if city == cities[0] and income > 2500 else "no"
        age = "NA" if row % 7 == 0 else str(row % 60 + 18)
        shown = "" if row % 9 == 0 else f" {city} "
        lines.append(separator.join([age, shown, str(income).replace(".", decimal), bought]))
    return "\n".join(lines) + "\n"


def write_job(folder: Path, **data: Any) -> Path:
    document = {
        "name": "shop",
        "model": "shop",
        "data": {"csv": "shop.csv", "label": "bought", **data},
        "network": {"hidden": [16]},
        "optimizer": {"learning_rate": 0.02},
        "fit": {"batch_size": 32, "epochs": 15},
    }
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


REAL = {
    "separator": ";",
    "decimal": ",",
    "columns": {"city of birth": "category"},
    "missing": ["", "NA"],
}


def loaded(folder: Path, **data: Any) -> Any:
    return job_data.load(load_job(str(write_job(folder, **data))), folder / "cache")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version of such a table, in Windows's encoding."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.csv").write_text(table(cities=("Köln", "Paris", "Übach")), encoding="cp1252")
    job = write_job(folder, **REAL, encoding="cp1252")
    done = trainer(
        "train", job, "--models", folder / "models", "--data", folder / "data", "--runs", folder / "runs"
    )
    assert done.returncode == 0, done.stderr
    return folder / "models" / "shop" / "1"


def ask(version: Path, **columns: list[Any]) -> dict[str, np.ndarray]:
    named = {"age": columns["age"], "city of birth": columns["city"], "income": columns["income"]}
    arrays = {
        name: np.array(values, object if name == "city of birth" else np.float32)
        for name, values in named.items()
    }
    return ExportedModel(version).predict(arrays)


def test_a_real_table_is_learned_and_served_with_one_input_a_column(published: Path) -> None:
    answer = ask(published, age=[30, 30, 30], city=["Köln", "Köln", "Paris"], income=[4000, 1000, 4000])
    assert [label.decode() for label in answer["label"]] == ["yes", "no", "no"]
    card = json.loads((published / "assets.extra" / "model_card.json").read_text())
    assert card["metrics"]["test"]["accuracy"] > 0.9
    assert card["input"] == {
        "kind": "table",
        "shape": [3],
        "columns": ["age", "city of birth", "income"],
        "label": "bought",
        "separator": ";",
        "decimal": ",",
        "encoding": "cp1252",
        "missing": ["", "NA"],
        "kinds": {"age": "number", "city of birth": "category", "income": "number"},
    }


def test_missing_and_unknown_values_have_an_answer(published: Path) -> None:
    nan = float("nan")
    answer = ask(
        published, age=[nan, 30, 30, nan], city=["Köln", "", "Rome", ""], income=[4000, 4000, nan, nan]
    )
    assert np.isfinite(answer["probabilities"]).all()
    spaced = ask(published, age=[30], city=[" Köln "], income=[4000])
    plain = ask(published, age=[30], city=["Köln"], income=[4000])
    np.testing.assert_array_equal(spaced["probabilities"], plain["probabilities"])


def test_a_missing_number_counts_as_the_mean_where_training_had_none_missing(published: Path) -> None:
    """Incomes were all there: a missing one is the mean and nothing else."""
    incomes = [float(line.split(";")[2].replace(",", ".")) for line in table().splitlines()[1:]]
    answer = ask(published, age=[30, 30], city=["Köln"] * 2, income=[float("nan"), np.mean(incomes)])
    first, second = answer["probabilities"]
    np.testing.assert_allclose(first, second, atol=0.05)


def test_the_signature_has_the_columns_names_and_dtypes(published: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    document = saved_model_pb2.SavedModel.FromString((published / "saved_model.pb").read_bytes())
    inputs = document.meta_graphs[0].signature_def["serving_default"].inputs
    shapes = {
        name: (spec.dtype, [size.size for size in spec.tensor_shape.dim]) for name, spec in inputs.items()
    }
    assert shapes == {"age": (1, [-1]), "city of birth": (7, [-1]), "income": (1, [-1])}


def test_classify_takes_an_example_with_a_feature_a_column(published: Path) -> None:
    import tensorflow as tf

    def feature(value: float | bytes) -> Any:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    features = {"age": feature(30.0), "city of birth": feature("Köln".encode()), "income": feature(4000.0)}
    examples = [
        tf.train.Example(features=tf.train.Features(feature=part)).SerializeToString()
        for part in (features, {"income": features["income"]})
    ]
    answer = ExportedModel(published).predict({"inputs": np.array(examples, object)}, "classify")
    served = ask(published, age=[30, float("nan")], city=["Köln", ""], income=[4000, 4000])
    np.testing.assert_allclose(answer["scores"], served["probabilities"], atol=1e-6)


def test_golden_examples_and_metrics_come_from_the_exported_model(published: Path) -> None:
    with np.load(published / "assets.extra" / "golden.npz", allow_pickle=False) as golden:
        assert golden["inputs/age"].dtype == np.float32
        assert golden["inputs/city of birth"].dtype.kind == "S"
        inputs = {
            name.removeprefix("inputs/"): golden[name] for name in golden.files if name.startswith("inputs/")
        }
        answer = ExportedModel(published).predict(inputs)
        np.testing.assert_allclose(answer["probabilities"], golden["outputs/probabilities"], atol=1e-6)
    card = json.loads((published / "assets.extra" / "model_card.json").read_text())
    again = trainer("evaluate", published, "--data", published.parents[2] / "data")
    assert json.loads(again.stdout) == card["metrics"]["test"]


def test_the_model_saves_and_restores(published: Path, tmp_path: Path) -> None:
    folder = published.parents[2]
    options = ["--data", folder / "data"]
    saved = trainer(
        "save", "shop", "--format", "keras", "--to", tmp_path / "a.keras", "--runs", folder / "runs", *options
    )
    assert saved.returncode == 0, saved.stderr
    restored = trainer("restore", "--from", tmp_path / "a.keras", "--evaluate", *options)
    assert json.loads(restored.stdout.splitlines()[-1])["equal"] is True, restored.stderr


def test_the_warm_up_asks_with_every_input(published: Path) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    path = str(published / "assets.extra" / "tf_serving_warmup_requests")
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(path)
    ]
    asked = [log.predict_log.request for log in logs if log.HasField("predict_log")]
    assert all(set(request.inputs) == {"age", "city of birth", "income"} for request in asked)
    assert asked


def test_streaming_reads_the_same_values_as_memory(tmp_path: Path) -> None:
    import tensorflow as tf

    (tmp_path / "shop.csv").write_text(table(), encoding="utf-8")
    rows = table().splitlines()
    (tmp_path / "test.csv").write_text("\n".join(rows[:20]) + "\n", encoding="utf-8")
    memory = loaded(tmp_path, **REAL, test="test.csv")
    with gzip.open(tmp_path / "shop.csv.gz", "wt", encoding="utf-8") as handle:
        handle.write(table().replace("\n", "\n\n"))
    (tmp_path / "shop.csv").unlink()
    stream = loaded(tmp_path, **{**REAL, "csv": "shop.csv.gz"}, test="test.csv", stream=True)
    assert stream.features == memory.features
    from atelier_trainer.training.data_spec import Spec
    from atelier_trainer.training.encoding import encoding_for
    from atelier_trainer.training.feed import stored_examples

    encoding = encoding_for(Spec.of(memory), Job.model_validate(MINIMAL).network, None)
    expected = np.asarray(stored_examples(memory.train, encoding))
    batches = list(stream.train.batches(64, tf.constant(0, tf.int64)))
    got = np.concatenate([numbers.numpy() for numbers, _ in batches])
    labels = np.concatenate([numbers.numpy() for _, numbers in batches])
    both = [
        np.column_stack([np.nan_to_num(values, nan=-99), ids])
        for values, ids in ((expected, memory.train.labels), (got, labels))
    ]
    first, second = (part[np.lexsort(part.T)] for part in both)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(Spec.of(stream).mean, Spec.of(memory).mean, rtol=1e-6)


MINIMAL: dict[str, Any] = {
    "name": "a",
    "model": "a",
    "data": {"csv": "a.csv"},
    "network": {"hidden": [4]},
    "fit": {"batch_size": 2, "epochs": 1},
}


def test_a_table_of_plain_numbers_keeps_its_one_input(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("a;b;bought\n1,5;2;x\n3;4;y\n-,5;1e-1;x\n7;8;y\n")
    data = loaded(tmp_path, separator=";", decimal=",", test_split=0.25)
    assert data.features == ()
    values = np.concatenate([data.train.inputs, data.test.inputs])
    assert sorted(values.tolist()) == [[-0.5, np.float32(0.1)], [1.5, 2], [3, 4], [7, 8]]
    assert "kinds" not in data.csv_format
    assert data.csv_format["separator"] == ";"


@pytest.mark.parametrize("separator", [";", "\t", "|", " "])
def test_separators(tmp_path: Path, separator: str) -> None:
    (tmp_path / "shop.csv").write_text("a,bought\n1,x\n2,y\n3,x\n4,y\n".replace(",", separator))
    assert len(loaded(tmp_path, separator=separator, test_split=0.25).train) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "shop.csv").write_text("größe,bought\n1,ä\n2,ö\n3,ä\n4,ö\n", encoding=encoding)
    data = loaded(tmp_path, encoding=encoding, test_split=0.25)
    assert data.class_names == ("ä", "ö")
    assert data.columns == ("größe",)


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("id,born,a,bought\nA1,2001-01-01,1,x\nA2,,2,y\nA3,x,3,x\nA4,,4,y\n")
    data = loaded(tmp_path, columns={"id": "ignore", "born": "ignore"}, test_split=0.25)
    assert data.columns == ("a",)
    assert data.features == ()


@pytest.mark.parametrize(
    ("cells", "data"),
    [
        (["1", "-999.0", "-999", "3"], {"missing": -999}),
        (["1", "-999.00", "-9.99e2", "3"], {"missing": [-999.0]}),
        (["1", "-999,5", "-999,50", "3"], {"missing": [-999.5], "separator": ";", "decimal": ","}),
        (["1", "-99.9", "-99.90", "3"], {"missing": -99.9}),
        (["1", "1e99", "1E+99", "3"], {"missing": ["1e99"]}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_number_that_is_no_value_is_none_in_any_spelling(
    tmp_path: Path, cells: list[str], data: dict[str, Any], stream: bool
) -> None:
    """pandas writes -999.0 for -999 in a column that has decimals elsewhere."""
    sign = data.get("separator", ",")
    rows = [f"{cell}{sign}{label}\n" for cell in cells for label in "xy"]
    (tmp_path / "shop.csv").write_text(f"a{sign}bought\n" + "".join(rows))
    found = loaded(tmp_path, **data, test="shop.csv", stream=stream)
    wanted = [value for value in (1, np.nan, np.nan, 3) for _ in "xy"]
    np.testing.assert_array_equal(found.test.inputs["a"], np.array(wanted, np.float32))
    if stream:
        assert found.train.mean.tolist() == [2]
        batches = [batch.numpy()[:, 0] for batch, _ in found.train.batches(3, tf.constant(1, tf.int64))]
        np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.sort(np.array(wanted, np.float32)))
    (tmp_path / "shop.csv").write_text(f"a{sign}bought\n1{sign}{cells[0]}\n2{sign}{cells[1]}\n")
    with pytest.raises(DataInvalid, match="row 2, column bought: expected a label"):
        loaded(tmp_path, **data, test="shop.csv", stream=stream)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,bought\n1,x\nred,y\n", ["row 2, column a", "a category: data.columns: {a: category}"]),
        ("a,bought\n1,x\n2024-01-31,y\n", ["row 2, column a", "a date or time", "data.columns: {a: ignore}"]),
        ("a,bought\n1,x\n31.01.2024,y\n", ["a date or time"]),
        ("a,bought\n1,x\n2024-01-31 12:30:00,y\n", ["a date or time"]),
        ("a,bought\n1,x\n12:30,y\n", ["a date or time"]),
        ("a,bought\n1,x\n,y\n", ["row 2, column a", "data.missing: ['']"]),
        ("a,bought\n1,x\nNA,y\n", ["row 2, column a", "data.missing: ['NA']"]),
        ('a,bought\n1,x\n"1,5",y\n', ["row 2, column a", 'data.decimal: ","']),
        ('a,bought\n1,x\n"1,500.25",y\n', ["between thousands"]),
        ("a;bought\n1;x\n", ["data.separator: \";\""]),
        ("a\tbought\n1\tx\n", ["data.separator: \"\\t\""]),
        (",a,bought\n0,1,x\n1,2,y\n", ["index of df.to_csv()", "index=False"]),
        ("a,bought,\n1,x,\n2,y,\n", ["column 3 of the header has no name", "at the end of the header"]),
        ("a,bought\n1,x,\n2,y,\n", ["row 1", "comma at the end"]),
        ("a,bought\n0,1,x\n1,2,y\n", ["row 1", "index=False"]),
        ("a,bought\n1_000,x\n2,y\n", ["row 1, column a"]),
        ("a,bought\n0x10,x\n2,y\n", ["row 1, column a"]),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_with_advice(tmp_path: Path, content: str, said: list[str]) -> None:
    (tmp_path / "shop.csv").write_text(content)
    with pytest.raises(DataInvalid) as error:
        loaded(tmp_path)
    for part in said:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        (
            "\ufeffa,bought\n1,x\n2,y\n".encode("utf-16-le"),
            "utf-16-le",
            "data.encoding: utf-16 takes it away",
        ),
        (
            "\ufeffa,bought\n1,x\n2,y\n".encode("utf-32-be"),
            "utf-32-be",
            "data.encoding: utf-32 takes it away",
        ),
        (
            "\ufeffbought,a\nx,1\ny,2\n".encode(),
            "cp1252",
            "the file is in UTF-8, and data.encoding is better",
        ),
        (
            "\ufeffa,bought\n1,x\n2,y\n".encode(),
            "latin-1",
            "the file is in UTF-8, and data.encoding is better",
        ),
        ("\ufeff\ufeffa,bought\n1,x\n2,y\n".encode(), "utf-8", "remove it"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_a_name(
    tmp_path: Path, content: bytes, encoding: str, said: str
) -> None:
    (tmp_path / "shop.csv").write_bytes(content)
    with pytest.raises(DataInvalid, match=f"begins with a byte order mark: {said}"):
        loaded(tmp_path, encoding=encoding)


def test_latin_1_read_as_utf_8_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_bytes("a,bought\n1,schön\n2,grün\n".encode("latin-1"))
    with pytest.raises(DataInvalid, match=r"data\.encoding: cp1252 or latin-1"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("content", "data", "said"),
    [
        ("a,c,bought\n1,x,y\n2,,n\n", {"columns": {"c": "category"}}, "row 2, column c: expected a category"),
        ("a,c,bought\n1,5,y\n2,NA\n", {"missing": "NA"}, "row 2: expected 3 cells"),
        ("a,bought\n1,x\n2,NA\n", {"missing": "NA"}, "row 2, column bought: expected a label"),
        ("a,b,bought\nNA,1,x\nNA,2,y\n", {"missing": "NA", "test_split": 0.5}, "'a' has no value in any row"),
        ("a,bought\n1,x\n2,y\n", {"columns": {"b": "category"}}, "the column 'b' is missing"),
        ("a b,a-b,bought\n1,2,x\n", {"missing": "NA"}, "the columns 'a b' and 'a-b' one name, 'a_b'"),
        ("a,bought\n1,x\n2,y\n", {"columns": {"a": "ignore"}}, "expected columns of numbers"),
    ],
)
def test_contradictions_in_a_table_are_named(
    tmp_path: Path, content: str, data: dict[str, Any], said: str
) -> None:
    (tmp_path / "shop.csv").write_text(content)
    with pytest.raises(DataInvalid, match=said):
        loaded(tmp_path, **data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"separator": ";;"}, "separator is one sign"),
        ({"decimal": ","}, "separator and decimal are both"),
        ({"encoding": "utf-99"}, "Python knows no 'utf-99'"),
        ({"encoding": "base64"}, "Python knows no 'base64'"),
        ({"columns": {"bought": "category"}}, "bought is the label"),
        ({"text": "bought"}, "text: bought is the label"),
        ({"columns": {"a": "categry"}}, "Did you mean category"),
        ({"missing": [None]}, "write it in quotes"),
        ({"text": "a", "missing": "NA"}, "missing belongs to tables"),
        ({"text": "a", "stream": True, "test": "a.csv"}, "text is kept in memory"),
    ],
)
def test_contradictions_in_a_job_are_named(tmp_path: Path, data: dict[str, Any], said: str) -> None:
    with pytest.raises(JobError, match=said):
        load_job(str(write_job(tmp_path, **data)))


def test_the_dialect_of_the_contract(tmp_path: Path) -> None:
    """Blank lines, True and False, spaces around numbers, a byte order mark, CRLF, gzip: all of them at once."""
    content = '\ufeffa,b,bought\r\n 1 ,True,x\r\n\r\n   \r\n.5,FALSE,y\r\n"-1e-3",true,x\r\n+2,0,y\r\n'
    (tmp_path / "shop.csv.gz").write_bytes(gzip.compress(content.encode()))
    data = loaded(tmp_path, csv="shop.csv.gz", test_split=0.25)
    values = np.concatenate([data.train.inputs, data.test.inputs])
    assert sorted(values.tolist()) == [[np.float32(-1e-3), 1], [0.5, 0], [1, 1], [2, 0]]
    assert data.name == "shop"


def test_rows_are_counted_without_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("a,bought\n1,x\n\n  \nfour,y\n")
    with pytest.raises(DataInvalid, match="row 2, column a"):
        loaded(tmp_path)


def test_a_truncated_gz_is_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = "".join(f"{value},{'xy'[row % 2]}\n" for row, value in enumerate(random.normal(size=500)))
    (tmp_path / "shop.csv.gz").write_bytes(gzip.compress(f"a,bought\n{rows}".encode())[:-500])
    with pytest.raises(DataInvalid, match=r"shop\.csv\.gz"):
        loaded(tmp_path, csv="shop.csv.gz")
