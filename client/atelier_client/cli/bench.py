"""The command `bench`."""

from __future__ import annotations

import argparse
import json
import math
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier_client.cli.options import add_command, add_folder, connect, connection, say, status_line

if TYPE_CHECKING:
    from atelier_client.bench.generator import LoadGenerator
    from atelier_client.bench.points import Point
    from atelier_client.bench.requests import Requests
    from atelier_client.client import Client


def register(commands: Any) -> None:
    """Declare the command."""
    command = add_command(
        commands,
        "bench",
        _bench,
        "load-test what is served: rates, latencies, errors; or find batching parameters",
        "atelier-client bench --concurrency 1,4,16 --batch 1,32 --p99 20",
        "atelier-client bench --rate 100,500,1000          # Poisson arrivals: queueing is not hidden",
        "atelier-client bench --tune                       # writes batching.config for TensorFlow Serving",
        "atelier-client bench --target v2+grpc://127.0.0.1:8001 --model shoes --batch 1,32",
    )
    command.add_argument(
        "--concurrency",
        type=_counts,
        default=[1, 4, 16],
        metavar="N,...",
        help="requests at a time (default: 1,4,16)",
    )
    command.add_argument(
        "--batch", type=_counts, default=[1, 32], metavar="N,...", help="rows a request (default: 1,32)"
    )
    command.add_argument(
        "--rate", type=_rates, default=[], metavar="R,...", help="requests a second, at random times, instead"
    )
    command.add_argument(
        "--p99",
        type=_positive,
        metavar="MS",
        help="name the best point within this p99; exit 1 when there is none",
    )
    command.add_argument(
        "--tune", action="store_true", help="find batching parameters, write batching.config"
    )
    command.add_argument(
        "--input", type=Path, metavar="FILE", help="rows to send, .npy or .npz (default: random ones)"
    )
    command.add_argument("--signature", default="serving_default", help="default: %(default)s")
    command.add_argument(
        "--window", type=_positive, default=1.0, metavar="S", help="seconds of a window (default: 1)"
    )
    command.add_argument(
        "--warm-up", type=_positive, default=1.0, metavar="S", help="seconds that do not count (default: 1)"
    )
    add_folder(command, "reports", "where bench.json, bench.csv, bench.html and batching.config go")


def _bench(options: argparse.Namespace) -> int:
    from atelier_client.bench.generator import LoadGenerator
    from atelier_client.bench.requests import Requests, read_rows

    inputs = read_rows(options.input) if options.input else None
    with connect(options) as client:
        requests = Requests(client, options.signature, options.version, options.label, inputs)
        # Send one request first, so that a wrong target or model gives one message instead of a table of errors.
        version = next(iter(requests.ask(1).versions), options.version)
        settings = connection(options)
        with LoadGenerator(
            options.target, settings, window=options.window, warm_up=options.warm_up
        ) as generator:
            if options.tune:
                from atelier_client.cli.tune import tune

                return tune(client, requests, generator, version, options)
            return _sweep(client, requests, generator, version, options)


def _sweep(
    client: Client,
    requests: Requests,
    generator: LoadGenerator,
    version: int | None,
    options: argparse.Namespace,
) -> int:
    from atelier_client._files import write_text
    from atelier_client.bench.points import best, load_points, name, warnings
    from atelier_client.bench.report import print_points, to_csv, to_html

    points: list[Point] = []
    planned = load_points(options.batch, options.concurrency, options.rate)
    interrupted = dead = False
    for number, load in enumerate(planned, 1):
        what = f"batch {load.batch}, " + (
            f"{load.rate:g}/s" if load.rate else f"concurrency {load.concurrency}"
        )
        try:
            points.append(
                generator.measure(
                    load,
                    requests.of(load.batch),
                    requests.method,
                    progress=partial(status_line, f"{number}/{len(planned)} {what}: window"),
                )
            )
        except KeyboardInterrupt:
            interrupted = True
            break
        if not points[-1].requests:
            dead = True
            break
    status_line("")
    chosen = best(points, options.p99) if options.p99 else None
    verdict = None
    if options.p99:
        limit = f"p99 <= {options.p99:g} ms"
        verdict = (
            f"Best under {limit}: {name(chosen)} with {chosen.rows_per_s:,.0f} rows/s "
            f"(p99 {chosen.latency_ms['p99']:.2f} ms)."
            if chosen
            else f"Nothing measured stays under {limit}, stable and without errors."
        )
    report = {
        "model": {"name": client.model, "version": version, "target": client.target},
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "partial": interrupted or dead,
        "points": [point.plain() for point in points],
        "p99_limit_ms": options.p99,
        "best": chosen.plain() if chosen else None,
        "verdict": verdict,
        "warnings": warnings(points),
    }
    write_text(json.dumps(report, indent=1) + "\n", options.reports / "bench.json")
    if options.json:
        print(json.dumps(report))
    else:
        write_text(to_csv(points), options.reports / "bench.csv")
        write_text(to_html(report, points, warnings(points)), options.reports / "bench.html")
        print_points(points)
        say(f"Written: {options.reports}/bench.json, bench.csv, bench.html")
    for text in warnings(points):
        say(f"warning: {text}")
    if interrupted:
        raise KeyboardInterrupt
    if dead:
        said = ", ".join(points[-1].errors) or "no answer within the timeout"
        say(
            f"error: {client.target} gave no answer at {name(points[-1])} ({said}); the rest was not measured."
        )
        return 3
    if verdict:
        say(verdict)
        return 0 if chosen else 1
    return 0


def _counts(text: str) -> list[int]:
    return [int(value) for value in _numbers(text, whole=True)]


def _rates(text: str) -> list[float]:
    return _numbers(text, whole=False)


def _positive(text: str) -> float:
    return _numbers(text, whole=False)[0]


def _numbers(text: str, whole: bool) -> list[float]:
    kind = "whole numbers" if whole else "numbers"
    try:
        values = [float(int(part)) if whole else float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 < value < math.inf for value in values):
        raise argparse.ArgumentTypeError(f"expected {kind} above 0, with commas between, not {text!r}")
    return values
