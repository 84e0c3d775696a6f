"""The client against the usual client loop, and what it weighs."""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from atelier_client import Client
from atelier_client.data.idx import read_idx

from benchmarks.canned_server import canned
from benchmarks.row import BIN, ROOT, Row, run, timed
from benchmarks.served import Served, served_model

EXAMPLES = 10_000_000
PLOTTING = ("matplotlib", "plotly", "bokeh", "seaborn", "altair")
NOTE = (
    "The usual client loop is `benchmarks/usual_client.py`: the official stubs, `tf.make_tensor_proto`, one image a "
    "request. Both sides are timed from process start to the numbers. Requests of one image are "
    "`benchmarks/one_process.py`: 64 in flight with AsyncClient, the others at their better of 8 and 64 threads. "
    "Client and server share the cores, so a ratio of rates is nearer to 1 than that of the clients' own CPU, which "
    "is what bounds one process whose server has cores of its own; grpcio alone shows how much the server leaves."
)


def measure() -> Iterator[Row]:
    """Every row, as it is measured."""
    yield import_time()
    yield installed_size()
    with served_model("--enable_serialization_as_tensor_content=true") as served:
        yield accuracy(served)
        yield evaluate_against_the_usual_loop(served)
        yield rate_over_the_wire(served)
        yield memory_of_ten_million(served)
        yield single_rows(served)


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
        plotting = [name for name in PLOTTING if any(Path(folder).rglob(name))]
    return Row(
        "The client with its dependencies, on disk; plotting libraries among them",
        f"{size / 1e6:.0f} MB; {', '.join(plotting) or 'none'}",
        "under 150 MB; none",
        size < 150e6 and not plotting,
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


def rate_over_the_wire(served: Served) -> Row:
    """10,000 images through the library against the same SavedModel called in a process of its own, without a wire."""
    command = [sys.executable, "-m", "benchmarks.in_process", served.models / "fashion" / "1", served.data]
    # As the trainer exports and the server serves: sums in their plain order (docs/decisions.md).
    alone = json.loads(run(command, {"TF_ENABLE_ONEDNN_OPTS": "0"}).stdout)
    images = read_idx(served.data / "fashion-mnist" / "t10k-images-idx3-ubyte")
    seconds: list[list[float]] = [[], []]
    with (
        canned(served.server.grpc) as ready,
        Client(served.server.grpc, "fashion") as model,
        Client(ready, "fashion") as answers,
    ):
        for _ in range(25):
            for client, taken in zip((model, answers), seconds, strict=True):
                started = time.perf_counter()
                client.predict(images, outputs=["probabilities"])
                taken.append(time.perf_counter() - started)
    rate, transport = (len(images) / statistics.median(taken[5:]) for taken in seconds)
    same, best = alone["510"], max(alone.values())
    return Row(
        "10,000 uint8 images over gRPC, images/s; the same model in process, in batches of 510; at its best batch "
        "size; ratios. The same bytes to a grpcio server that has its answers ready: what the wire leaves",
        f"{rate:,.0f}; {same:,.0f}; {best:,.0f}; {rate / same:.2f}, {rate / best:.2f}. {transport:,.0f}",
        "at least 0.6",
        rate / best >= 0.6,
    )


def memory_of_ten_million(served: Served) -> Row:
    """Peak memory of `evaluate` over 10 million images (a sparse file: 7.8 GB of zeros), and of 10,000 as a peer."""
    few = run(_evaluate(served)).peak_mb
    with tempfile.TemporaryDirectory() as folder:
        _zeros(Path(folder, "t10k-images-idx3-ubyte"), EXAMPLES, 28, 28)
        _zeros(Path(folder, "t10k-labels-idx1-ubyte"), EXAMPLES)
        ended = run([*_evaluate(served), folder])
    counted = json.loads(ended.stdout)["dataset"]["examples"]
    return Row(
        "`evaluate` over 10 million images: seconds; peak memory; peak memory over 10,000",
        f"{ended.seconds:.0f} s; {ended.peak_mb:.0f} MB; {few:.0f} MB",
        "under 500 MB, each example counted",
        ended.peak_mb < 500 and counted == EXAMPLES,
    )


def _zeros(path: Path, *shape: int) -> None:
    """An IDX file of that shape without its blocks on disk."""
    with open(path, "wb") as handle:
        handle.write(bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes())
        handle.truncate(handle.tell() + math.prod(shape))


def single_rows(served: Served) -> Row:
    """Requests of one image from one process, each API at its best of 8 and 64 in flight; median of 3 rounds."""
    kinds = [("asyncio", 64), *itertools.product(("blocking", "official"), (8, 64)), ("bare", 8)]
    rounds: dict[tuple[str, int], list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(3):
        for which, in_flight in kinds:
            command = [sys.executable, "-m", "benchmarks.one_process", which, served.server.grpc, in_flight]
            rounds[which, in_flight].append(json.loads(timed(command)[1]))
    best: dict[str, dict[str, float]] = {}
    for (which, _), measured in rounds.items():
        found = {name: statistics.median(run[name] for run in measured) for name in ("per_s", "cpu_us")}
        best[which] = max(best.get(which, found), found, key=lambda item: item["per_s"])
    rates = {which: item["per_s"] for which, item in best.items()}
    cpu = {which: item["cpu_us"] for which, item in best.items()}
    names = ("asyncio", "blocking", "official", "bare")
    ratios = [rates[name] / rates["official"] for name in ("asyncio", "blocking")]
    return Row(
        "Requests a second of one image from one process: AsyncClient; Client; the official stubs in threads; grpcio "
        "alone, with bytes made once. The first two to the stubs. Client CPU a request of the four; to the stubs",
        f"{'; '.join(f'{rates[name]:,.0f}' for name in names)}. {ratios[0]:.2f}, {ratios[1]:.2f}. "
        f"{', '.join(f'{cpu[name]:.0f}' for name in names)} µs; "
        f"{cpu['asyncio'] / cpu['official']:.2f}, {cpu['blocking'] / cpu['official']:.2f}",
        "1.5 times",
        max(ratios) >= 1.5,
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
    return [
        BIN / "atelier-client",
        "evaluate",
        "--json",
        "--model",
        "fashion",
        "--target",
        served.server.grpc,
        *folders,
    ]
