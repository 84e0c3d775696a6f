"""`make bench`: train once, serve it, measure everything against it, write docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import measures
from benchmarks.measures import BIN, ROOT, Row
from tests.support.server import running_server


def main() -> int:
    """Run; return 1 when a target was missed, after writing what was measured."""
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        models, data = Path(folder, "models"), Path(folder, "data")
        command = [BIN / "atelier-trainer", "train", "fashion-dense", "--models", models, "--data", data]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        with running_server(models, "--enable_serialization_as_tensor_content=true") as server:
            rows = [
                measures.accuracy(server, models, data),
                measures.import_time(),
                measures.installed_size(),
                measures.evaluate_against_the_usual_loop(server, models, data),
                measures.swaps(server, models),
            ]
    text = _page(rows)
    (ROOT / "docs" / "benchmarks.md").write_text(text, encoding="utf-8")
    print(text)
    return 0 if all(row.met for row in rows) else 1


def _page(rows: list[Row]) -> str:
    lines = [f"| {row.what} | {row.measured} | {row.target} | {'yes' if row.met else 'no'} |" for row in rows]
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"Measured on {datetime.now(UTC):%Y-%m-%d} with `make bench`, all in one run, on {os.cpu_count()} cores "
            f"({platform.machine()}, no GPU), Python {platform.python_version()}, against the embedded server; "
            "client and server share the cores.",
            "",
            "| what | measured | target | met |",
            "|---|---|---|---|",
            *lines,
            "",
            "The usual client loop is `benchmarks/usual_client.py`: the official stubs, `tf.make_tensor_proto`, "
            "one image a request. Both sides are timed from process start to the numbers.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
