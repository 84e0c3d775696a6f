"""The client against the usual client loop, and what it weighs."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from benchmarks.row import BIN, ROOT, Row, timed
from benchmarks.served import Served, served_model

NOTE = (
    "The usual client loop is `benchmarks/usual_client.py`: the official stubs, `tf.make_tensor_proto`, one image a "
    "request. Both sides are timed from process start to the numbers."
)


def measure() -> Iterator[Row]:
    """Every row, as it is measured."""
    yield import_time()
    yield installed_size()
    with served_model("--enable_serialization_as_tensor_content=true") as served:
        yield accuracy(served)
        yield evaluate_against_the_usual_loop(served)


def accuracy(served: Served) -> Row:
    """Served accuracy against the trainer's own evaluation of the exported model."""
    by_client = json.loads(timed(_evaluate(served))[1])["metrics"]["accuracy"]
    command = [BIN / "atelier-trainer", "evaluate", served.models / "fashion" / "1", "--data", served.data]
    own = json.loads(timed(command)[1])
    return Row(
        "Served accuracy on the 10,000 test images; the trainer's own evaluation of the export",
        f"{by_client:.4f}; {own['accuracy']:.4f}",
        "0.88 or better; equal to the last example",
        by_client >= 0.88 and round(by_client * 10_000) == round(own["accuracy"] * own["examples"]),
    )


def import_time() -> Row:
    """`import atelier_client` in a fresh interpreter, the interpreter's own start taken off; median of 7."""
    seconds = statistics.median(timed([sys.executable, "-c", "import atelier_client"])[0] for _ in range(7))
    seconds -= statistics.median(timed([sys.executable, "-c", "pass"])[0] for _ in range(7))
    check = "import sys, atelier_client; print(any(name.startswith('tensorflow') for name in sys.modules))"
    clean = timed([sys.executable, "-c", check])[1] == "False\n"
    text = f"{seconds:.2f} s, TensorFlow {'absent' if clean else 'present'}"
    return Row("`import atelier_client`", text, "under 0.3 s, without TensorFlow", seconds < 0.3 and clean)


def installed_size() -> Row:
    """What the client and its locked dependencies add to a Python, in a virtual environment without pip."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder)
        pip = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python", "install", "--quiet"]
        timed([*pip, "--require-hashes", "-r", ROOT / "client" / "requirements.lock"])
        timed([*pip, "--no-deps", "--no-build-isolation", ROOT / "client"])
        size = sum(
            path.stat().st_size
            for path in Path(folder).rglob("*")
            if path.is_file() and not path.is_symlink()
        )
    return Row(
        "The client with its dependencies, on disk", f"{size / 1e6:.0f} MB", "under 150 MB", size < 150e6
    )


def evaluate_against_the_usual_loop(served: Served) -> Row:
    """Process start to report data, against the usual client loop on the same server; median of 5 and of 3."""
    mine = statistics.median(timed(_evaluate(served))[0] for _ in range(5))
    usual = [sys.executable, "-m", "benchmarks.usual_client", served.server.grpc, served.data]
    theirs = statistics.median(timed(usual)[0] for _ in range(3))
    return Row(
        "`atelier-client evaluate --json` over 10,000 images; the usual client loop; ratio",
        f"{mine:.2f} s; {theirs:.1f} s; {theirs / mine:.0f} times",
        "under 0.6 s; at least 30 times faster",
        mine < 0.6 and theirs / mine >= 30,
    )


def _evaluate(served: Served) -> list[object]:
    folders = [
        "--models",
        served.models,
        "--data",
        served.data,
        "--reports",
        served.models.parent / "reports",
    ]
    return [BIN / "atelier-client", "evaluate", "--json", "--target", served.server.grpc, *folders]
