"""The command `bench --tune`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atelier_client.cli.options import say, status_line

if TYPE_CHECKING:
    from atelier_client.bench.generator import LoadGenerator
    from atelier_client.bench.requests import Requests
    from atelier_client.client import Client


def tune(
    client: Client,
    requests: Requests,
    generator: LoadGenerator,
    version: int | None,
    options: argparse.Namespace,
) -> int:
    """Find the parameters. When the server already runs with those of an earlier run, measure their effect instead."""
    from atelier_client._files import write_text
    from atelier_client.bench.tune import WORTHWHILE, config_text, find, probe

    status_line("does the server batch already?")
    probed = probe(requests)
    earlier = _earlier(options.reports / "tuning.json", client.model)
    if probed[0] and earlier:
        return _compare(requests, generator, earlier, options)
    tuning = find(requests, generator, probed, options.p99, status_line)
    status_line("")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    path = options.reports / "batching.config"
    write_text(config_text(tuning, f"{client.model} version {version}", now), path)
    assert tuning.single
    points = [*tuning.by_rows, *tuning.by_threads, tuning.single]
    report = {
        "model": {"name": client.model, "version": version, "target": client.target},
        "measured_at": now,
        "tuning": tuning.plain(),
        "points": [point.plain() for point in points],
        "idle": tuning.idle.plain() if tuning.idle else None,
    }
    write_text(json.dumps(report, indent=1) + "\n", options.reports / "tuning.json")
    if options.json:
        print(json.dumps(report))
    else:
        from atelier_client.bench.report import print_points

        print_points(points)
    if tuning.batches is None:
        say(f"warning: whether this server batches is not known: {tuning.server_limit}.")
    elif tuning.batches:
        say(
            f"This server batches already ({tuning.server_limit}); measure without batching for the model's costs."
        )
    else:
        say("This server does not batch. Start it with the file, and run this command again for the effect:")
        say(f"  --enable_batching --batching_parameters_file={path}")
    little = "" if tuning.gain >= WORTHWHILE else "; that is little"
    say(f"Batching requests of one row can bring at most {tuning.gain:.1f} times their rate{little}.")
    say(f"Written: {path}")
    return 0


def _earlier(path: Path, model: str) -> dict[str, Any] | None:
    """The requests of one row in a measurement of this model without batching, when there is one."""
    try:
        report = json.loads(path.read_text())
        known = report["model"]["name"] == model and report["tuning"]["server_batches"] is False
        point: dict[str, Any] = report["points"][-1]
        return point if known and point["requests_per_s"] and point["latency_ms"]["mean"] else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _compare(
    requests: Requests, generator: LoadGenerator, earlier: dict[str, Any], options: argparse.Namespace
) -> int:
    """Compare the server with batching to its earlier measurement without batching."""
    from atelier_client._files import write_text
    from atelier_client.bench.tune import compare

    status_line("requests of one row, batched by the server")
    point = compare(requests, generator)
    status_line("")
    ratio = point.requests_per_s / earlier["requests_per_s"]
    report = {"without": earlier, "with": point.plain(), "ratio": round(ratio, 2)}
    write_text(json.dumps(report, indent=1) + "\n", options.reports / "tuned.json")
    if options.json:
        print(json.dumps(report))
    say(
        f"Requests of one row, {point.concurrency} at a time: {earlier['requests_per_s']:,.0f} a second without "
        f"batching (mean {earlier['latency_ms']['mean']:.2f} ms), {point.requests_per_s:,.0f} now that the server "
        f"batches (mean {point.latency_ms['mean']:.2f} ms): {ratio:.2f} times."
    )
    if ratio < 1:
        say("Batching slows this model down: its requests cost more than its executions. Serve it without.")
    say(f"Written: {options.reports}/tuned.json (batching.config is left as it is)")
    return 0
