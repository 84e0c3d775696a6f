"""`predict` takes images as people have them, text, JSON lines and files of rows."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client._layout import Layout
from atelier_client.data.binding import Binding
from atelier_client.data.image_file import decode
from atelier_client.data.prediction_inputs import of_json_lines
from atelier_client.errors import DataError
from atelier_client.signature import Signature, TensorInfo
from atelier_client.testing import InMemoryServer
from numpy.typing import NDArray
from PIL import Image

from tests.support.client_command import COMMAND, command
from tests.support.idx_files import write_split
from tests.support.small_server import small_server


def drawing(size: Any = 28, ground: Any = 0, ink: Any = 255) -> Any:
    """A filled ring, off the middle, as gray pixels."""
    y, x = np.mgrid[:size, :size] / size
    radius = np.hypot(x - 0.45, y - 0.55)
    return np.where((radius > 0.15) & (radius < 0.35), ink, ground).astype(np.uint8)


@pytest.fixture(scope="module")
def target() -> Iterator[Any]:
    memory = InMemoryServer()
    memory.serve(
        "table",
        lambda inputs: {"total": inputs["features"].sum(axis=1)},
        inputs={"features": ("float32", (-1, 2))},
        outputs={"total": ("float32", (-1,))},
    )
    memory.serve(
        "reviews",
        lambda inputs: {"probabilities": np.array([[0.25, 0.75]] * len(inputs["text"]), np.float32)},
        inputs={"text": ("string", (-1,))},
        outputs={"probabilities": ("float32", (-1, 2))},
    )
    with small_server(memory) as running:
        yield running.address


def predict(target: str, *arguments: Any, **kwargs: Any) -> Any:
    done = command("predict", *arguments, "--target", target, "--json", **kwargs)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["predictions"]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16", "LA"])
def test_every_kind_of_png_gives_the_same_gray_pixels(mode: Any, tmp_path: Path) -> None:
    pixels = drawing()
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels.astype(np.uint16) << 8) if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "image.png")
    picture = decode((tmp_path / "image.png").read_bytes(), [28, 28], "image.png")
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_a_photo_becomes_what_the_model_knows() -> None:
    """A large photo, dark on light, in color, not square, lying on its side: the same ring as the model's own."""
    wide = np.full((600, 800), 240, np.uint8)
    wide[:, 100:700] = drawing(600, ground=240, ink=20)
    image = Image.fromarray(np.stack([wide] * 3, axis=2)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, quality=95)
    picture = decode(buffer.getvalue(), [28, 28, 1], "photo.jpg", dark=True)
    assert picture.pixels.shape == (28, 28, 1)
    steps = " ".join(picture.steps)
    for words in (
        "grayscale",
        "inverted (the model knows dark backgrounds)",
        "padded to 800 x 800",
        "resized from",
    ):
        assert words in steps
    # The ring of 600 of 800 pixels, in the middle.
    wanted = np.zeros((28, 28))
    wanted[3:24, 3:24] = drawing(21)
    correlation = np.corrcoef(picture.pixels.ravel(), wanted.ravel())[0, 1]
    assert correlation > 0.9
    assert picture.pixels[0].max() < 40


def test_a_photo_that_lies_on_its_side_is_turned_and_that_is_said() -> None:
    for orientation, turned in ((1, False), (6, True)):
        buffer, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(drawing()).save(buffer, "JPEG", exif=exif)
        assert ("turned upright" in decode(buffer.getvalue(), [28, 28], "photo.jpg").steps) == turned


def test_a_long_picture_takes_no_more_memory_than_a_square_one_of_as_many_pixels() -> None:
    """40,000 x 1,500 pixels: padded before it is scaled, it would take 1.6 GB."""
    script = (
        "import io, resource, sys; from PIL import Image; from atelier_client.data.image_file import decode\n"
        "buffer = io.BytesIO(); Image.new('L', (int(sys.argv[1]), int(sys.argv[2])), 9).save(buffer, 'PNG')\n"
        "assert decode(buffer.getvalue(), [28, 28], 'it').pixels.shape == (28, 28)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)"
    )
    square, wide, high = (
        int(subprocess.run([sys.executable, "-c", script, *size], capture_output=True, check=True).stdout)
        for size in (("7746", "7746"), ("40000", "1500"), ("1500", "40000"))
    )
    assert max(wide, high) < square + 100


@pytest.mark.parametrize(
    ("size", "shape", "said"),
    [
        ((200_000, 1), [28, 28], "200000 x 1 pixels are too long and thin"),
        ((1, 200_000), [28, 28, 1], "Cut the picture"),
        ((1, 200_000), [-1, 28], "it would have 28 x 5600000 pixels: too many"),
    ],
)
def test_a_picture_of_next_to_no_width_is_one_message(
    size: tuple[int, int], shape: list[int], said: str
) -> None:
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, "PNG")
    with pytest.raises(DataError, match=r"^it: .*pixels") as caught:
        decode(buffer.getvalue(), shape, "it")
    assert said in str(caught.value)


def test_transparent_drawings_stand_out_from_what_fills_them() -> None:
    for ink in (0, 255):
        pixels = np.zeros((28, 28, 4), np.uint8)
        pixels[..., :3], pixels[..., 3] = ink, drawing()
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        got = decode(buffer.getvalue(), [28, 28], "icon.png", dark=True).pixels
        np.testing.assert_array_equal(got, drawing())


def test_an_image_file_is_classified_as_its_pixels_are(
    server: Any, models: Path, images: NDArray[Any], tmp_path: Path
) -> None:
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 4:24] = images[0, 4:24, 4:24]
    Image.fromarray(pixels).save(tmp_path / "dark.png")
    Image.fromarray(np.stack([pixels] * 3, axis=2)).save(tmp_path / "color.png")
    np.save(tmp_path / "pixels.npy", pixels[None])
    printed = [
        predict(server.grpc, tmp_path / name, "--models", models, "--top", 5)
        for name in ("dark.png", "color.png", "pixels.npy")
    ]
    assert printed[0][0]["top"] == printed[1][0]["top"] == printed[2][0]["top"]
    assert len(printed[0][0]["top"]) == 5
    assert printed[0][0]["row"] == str(tmp_path / "dark.png")
    both = predict(server.grpc, tmp_path / "dark.png", tmp_path / "color.png", "--models", models)
    assert [row["label"] for row in both] == [printed[0][0]["label"]] * 2


def test_the_picture_is_shown_in_a_terminal(server: Any, models: Path, tmp_path: Path) -> None:
    Image.fromarray(drawing(100)).save(tmp_path / "ring.png")
    arguments = ["predict", tmp_path / "ring.png", "--target", server.grpc, "--models", models]
    main, other = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "100"}
    with subprocess.Popen(
        [COMMAND, *map(str, arguments)], stdout=other, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        os.close(other)
        shown = b""
        while True:
            try:
                block = os.read(main, 1 << 16)
            except OSError:
                break
            if not block:
                break
            shown += block
        os.close(main)
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    assert shown.decode().count("▀") == 28 * 14
    assert "resized from 100 x 100 to 28 x 28" in errors


def test_rows_of_every_kind_of_file(
    server: Any, models: Path, data: Path, images: NDArray[Any], tmp_path: Path
) -> None:
    idx = data / "fashion-mnist" / "t10k-images-idx3-ubyte"
    np.save(tmp_path / "rows.npy", images[:6])
    np.savez(tmp_path / "rows.npz", images=images[:6])
    header = ",".join(f"p{index}" for index in range(784))
    np.savetxt(tmp_path / "rows.csv", images[:6].reshape(6, -1), "%d", ",", header=header, comments="")
    printed = [
        predict(server.grpc, file, "--rows", "2:5", "--models", models)
        for file in (idx, tmp_path / "rows.npy", tmp_path / "rows.npz", tmp_path / "rows.csv")
    ]
    assert printed[0] == printed[1] == printed[2] == printed[3]
    assert [row["row"] for row in printed[0]] == [2, 3, 4]
    last = predict(server.grpc, tmp_path / "rows.npy", "--rows=-1:", "--models", models)
    assert [row["row"] for row in last] == [5]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"features": [1, NaN]}', "NaN is no number there"),
        ("[-Infinity, 1]", "-Infinity is no number there"),
        ('{"features": [1, 2], "features": [3, 4]}', "the name 'features' is there twice"),
    ],
)
def test_json_lines_that_a_trained_model_would_answer_wrongly_are_refused(line: str, told: str) -> None:
    info = TensorInfo("features", "float32", (-1, 2))
    served = Signature("serving_default", "", {"features": info}, {}, frozenset())
    layout = Layout("table", (2,))
    binding = Binding(served, "stdin", layout=layout)
    with pytest.raises(DataError, match=f"stdin, line 1: .*{told}"):
        list(of_json_lines([line], binding, served, layout, slice(None)))


def from_lines(text: str, inputs: dict[str, TensorInfo], layout: Layout) -> tuple[dict[str, Any], list[str]]:
    served = Signature("serving_default", "", inputs, {}, frozenset())
    said: list[str] = []
    binding = Binding(served, "stdin", layout=layout, say=said.append)
    [batch] = of_json_lines(text.splitlines(), binding, served, layout, slice(None))
    return batch.inputs, said


def test_json_lines_are_what_training_read() -> None:
    inputs = {"age": TensorInfo("age", "float32", (-1,)), "city": TensorInfo("city", "string", (-1,))}
    kinds = {"age": "number", "city": "category"}
    layout = Layout("table", (2,), "label", None, ("age", "city"), missing=("", "NA"), kinds=kinds)
    lines = [{"age": 1, "city": city} for city in (" Bern ", "NA", "", None, "bern")]
    given, _ = from_lines("\ufeff" + "\n".join(map(json.dumps, lines)), inputs, layout)
    assert given["city"].tolist() == ["Bern", "", "", "", "bern"]


@pytest.mark.parametrize("last", [200, 200.0])
def test_pixels_in_json_lines_are_scaled_as_those_of_a_file(last: float) -> None:
    layout = Layout("image", (2, 2))
    scaled = {"pixels": TensorInfo("pixels", "float32", (-1, 4))}
    given, said = from_lines(f"[0, 51, 102, {last}]", scaled, layout)
    np.testing.assert_allclose(given["pixels"], [[0, 0.2, 0.4, 200 / 255]], rtol=1e-6)
    assert said == ["stdin: the pixels 0..255 are divided by 255, as the input takes them."]
    given, said = from_lines("[0, 0.5, 0.4, 1]", scaled, layout)
    np.testing.assert_array_equal(given["pixels"], [[0, 0.5, 0.4, 1]])
    assert not said
    for line in ("[0, 51.5, 102, 200]", "[0, 1, 2, 300]", "[0, 0.5, 0.5, -1]"):
        with pytest.raises(DataError, match=r"expected pixels in \[0,1\], or whole numbers from 0 to 255"):
            from_lines(line, scaled, layout)
    _, said = from_lines("[[0, 1], [1, 0]]", {"images": TensorInfo("images", "uint8", (-1, 2, 2))}, layout)
    assert said == ["stdin: no pixel is above 1, where the model was trained on 0 (black) to 255 (white)."]


def test_json_lines_of_objects_or_of_the_only_inputs_values(target: str) -> None:
    lines = '{"features": [1, 2]}\n\n{"features": [0.5, -4]}\n'
    rows = predict(target, "-", "--model", "table", input=lines)
    assert [row["outputs"]["total"] for row in rows] == [3.0, -3.5]
    assert predict(target, "-", "--model", "table", input="[1, 2]\n[0.5, -4]\n") == rows


def test_text_from_the_command_a_file_and_a_csv(target: str, tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("good\nbad\n")
    (tmp_path / "some.csv").write_text("label,text\n0,good\n1,bad\n")
    printed = [
        predict(target, *arguments, "--model", "reviews")
        for arguments in (
            ["--text", "good", "--text", "bad"],
            [tmp_path / "some.txt"],
            [tmp_path / "some.csv"],
        )
    ]
    assert printed[0] == printed[1] == printed[2]
    assert [row["top"][0] for row in printed[0]] == [["1", 0.75]] * 2


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        (["-", "--model", "table"], "", "stdin is empty: expected one JSON value a line"),
        (["-", "--model", "table"], "[1, 2]\n{oops\n", "stdin, line 2: it is no JSON"),
        (["-", "--model", "table"], '{"feature": [1, 2]}\n', "stdin, line 1: there is no input 'feature'"),
        (["-", "--model", "table"], "[1, 2]\n[1]\n", "the values differ in shape"),
        (["-", "--model", "table"], '["a", "b"]\n', "but 'a' came, which is no number (str)"),
        (["-", "--model", "table"], "[1, null]\n", "but 'None' came, which is no number (NoneType)"),
        (["-", "--model", "table"], "[1, 1e400]\n", "1e400 is beyond a double"),
        (["-", "--model", "table"], "[1, 2, 3]\n", "array of shape [1,3] came"),
        (["--text", "x", "--model", "table"], "", "that is no text"),
        (["nowhere.jpg", "--model", "table"], "", "nowhere.jpg does not exist"),
        (["nowhere.csv", "--model", "table"], "", "nowhere.csv does not exist"),
        (["a.csv", "b.csv", "--model", "table"], "", "only when all are images"),
        (["--text", "x", "--top", "0", "--model", "reviews"], "", "expected 1 or more"),
        (["a.csv", "--rows", "a:b", "--model", "table"], "", "expected A:B"),
        (["-", "--rows", "7:9", "--model", "table"], "[1, 2]\n", "--rows 7:9 names no row"),
    ],
)
def test_a_mistake_is_one_message(target: str, arguments: list[Any], text: str, said: str) -> None:
    done = command("predict", *arguments, "--target", target, input=text)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_image_is_one_message(server: Any, target: str, tmp_path: Path) -> None:
    Image.fromarray(drawing()).save(tmp_path / "good.png")
    done = command("predict", tmp_path / "good.png", "--target", target, "--model", "table")
    assert done.returncode == 2
    assert "a picture does not fit an input of shape [2]" in done.stderr
    done = command("predict", tmp_path / "good.png", "--target", target, "--model", "reviews")
    assert "that is no image" in done.stderr
    for name, data in (("text.png", b"no picture"), ("cut.jpg", b"\xff\xd8\xff\xe0\0"), ("empty.png", b"")):
        (tmp_path / name).write_bytes(data)
        done = command("predict", tmp_path / name, "--target", server.grpc)
        assert done.returncode == 2
        assert f"{name} cannot be read as PNG or JPEG: it is" in done.stderr
        assert "BytesIO" not in done.stderr
        assert "Traceback" not in done.stderr


def test_without_a_file_it_shows_the_models_own_test_examples(
    server: Any, models: Path, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, [5, 28, 28], np.uint8)
    write_split(tmp_path, images, np.zeros(5, np.uint8))
    rows = predict(server.grpc, "--rows", "1:3", "--models", models, "--data", tmp_path)
    assert [row["row"] for row in rows] == [1, 2]
