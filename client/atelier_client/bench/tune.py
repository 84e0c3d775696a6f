"""Finds batching parameters for TensorFlow Serving: measures the model with more rows and with parallel requests.

The server reads the file when it starts (`--enable_batching --batching_parameters_file`), and never again. So no
parameters are tried on the running server. Instead, these measurements without batching show what a batch would cost:

1. One request at a time, with 1, 2, 4, ... rows. The rows per second grow with the batch until the model takes more
   time than the overhead of each execution. `max_execution_batch_size` is the smallest batch within 10 % of the best.
   With a limit for p99, a batch may take at most half of it: the other half is for waiting in the queue.
2. Requests of that batch, 1, 2, 4, ... at a time. `num_batch_threads` is the smallest number within 10 % of the best.
3. Requests of one row, many at a time: the rate without batching, to compare with.
4. As many calls at a time that run no model (status). Batching saves executions, not requests: the server must still
   read each request and respond. So it cannot do more requests per second than that.

The real gain is known only when the server runs with the file: then `compare` measures the third point again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from atelier_client.bench.generator import LoadGenerator
from atelier_client.bench.points import LoadPoint, Point, name
from atelier_client.bench.requests import Requests
from atelier_client.errors import ClientError, ServerError, TooLarge

# A batching server refuses a request above its max_batch_size, which is 1000 unless set.
PROBE_ROWS = 4096
LARGEST_BATCH = 1024
# Requests are kept below this size, the largest that the probe or a measurement sends.
LARGEST_REQUEST = 64_000_000
WITHIN = 0.90
CROWD = 32
# The smallest possible gain for which batching is worth the time that requests wait.
WORTHWHILE = 1.5


@dataclass
class Tuning:
    """The parameters and the measurements behind them. `batches` is what the probe found, None when it cannot tell."""

    batches: bool | None
    server_limit: str
    by_rows: list[Point] = field(default_factory=list)
    by_threads: list[Point] = field(default_factory=list)
    single: Point | None = None
    idle: Point | None = None
    execution_batch: int = 1
    threads: int = 1
    timeout_micros: int = 0
    enqueued: int = 100

    @property
    def gain(self) -> float:
        """The largest possible gain for requests of one row, as a multiple of their rate without batching."""
        assert self.single is not None
        assert self.idle is not None
        most = min(self.idle.requests_per_s, max(point.rows_per_s for point in self.by_threads))
        return most / max(self.single.rows_per_s, 1e-9)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "server_batches": self.batches,
            "max_execution_batch_size": self.execution_batch,
            "num_batch_threads": self.threads,
            "batch_timeout_micros": self.timeout_micros,
            "max_enqueued_batches": self.enqueued,
            "gain_at_most": round(self.gain, 2),
            "worthwhile": self.gain >= WORTHWHILE,
        }


def find(
    requests: Requests,
    generator: LoadGenerator,
    probed: tuple[bool | None, str],
    p99_ms: float | None,
    progress: Callable[[str], None] = lambda _: None,
) -> Tuning:
    """Measure and choose the parameters; takes a minute or two. `probed` is the result of `probe`.

    Raises `ClientError` when the server responds with errors.
    """
    tuning = Tuning(*probed)

    def measure(batch: int, concurrency: int) -> Point:
        progress(f"batch {batch}, concurrency {concurrency}")
        return _require_healthy(
            generator.measure(LoadPoint(batch, concurrency), requests.of(batch), requests.method)
        )

    batch = 1
    while batch <= LARGEST_BATCH and batch * requests.row_bytes() <= LARGEST_REQUEST:
        try:
            tuning.by_rows.append(measure(batch, 1))
        except ClientError:
            # A batching server refuses requests above its limit; the smaller ones have been measured.
            if not tuning.batches or not tuning.by_rows:
                raise
            break
        if _falling([point.rows_per_s for point in tuning.by_rows]):
            break
        batch *= 2
    tuning.execution_batch = _smallest_good(tuning.by_rows, p99_ms).batch
    threads = 1
    while threads <= CROWD:
        tuning.by_threads.append(measure(tuning.execution_batch, threads))
        if _falling([point.rows_per_s for point in tuning.by_threads]):
            break
        threads *= 2
    tuning.threads = _smallest_good(tuning.by_threads, None).concurrency or 1
    tuning.single = measure(1, CROWD)
    progress("calls that run no model")
    tuning.idle = _require_healthy(generator.measure(LoadPoint(1, CROWD), *requests.idle()))
    _decide_waiting(tuning, p99_ms)
    return tuning


def compare(requests: Requests, generator: LoadGenerator) -> Point:
    """Measure a batching server with many requests of one row at a time. Raises as `find`."""
    return _require_healthy(generator.measure(LoadPoint(1, CROWD), requests.of(1), requests.method))


def probe(requests: Requests) -> tuple[bool | None, str]:
    """Whether the server batches, and why we think so. The probe is a request above the limit of a batching server."""
    rows = min(PROBE_ROWS, LARGEST_REQUEST // requests.row_bytes())
    if rows <= 1000:
        return None, f"a row is {requests.row_bytes():,} bytes: too large to probe with more than 1000 rows"
    try:
        requests.ask(rows)
    except TooLarge as error:
        return True, error.details
    except ServerError as error:
        return None, f"a request of {rows} rows failed: {error}"
    return False, f"a request of {rows} rows was answered; a batching server has a limit, 1000 unless set"


def config_text(tuning: Tuning, model: str, measured_at: str) -> str:
    """The batching.config (session_bundle_config.proto, BatchingParameters); comments give the reasons."""
    lines = [
        f"# Batching parameters for {model}, measured {measured_at} by `atelier-client bench --tune`.",
        "# Read at start-up: --enable_batching --batching_parameters_file=batching.config",
        f"# The server measured: {_batching(tuning)}.",
        "#",
        "# One request at a time:",
        *_table(tuning.by_rows),
        f"# Requests of {tuning.execution_batch} rows:",
        *_table(tuning.by_threads),
        "# Requests of one row:",
        *_table([tuning.single] if tuning.single else []),
        "# Calls that run no model:",
        *_table([tuning.idle] if tuning.idle else []),
        f"# So batching requests of one row can bring at most {tuning.gain:.1f} times their rate. `--tune` on a server",
        "# that runs with this file measures what it does bring.",
    ]
    if tuning.gain < WORTHWHILE:
        lines.append(
            "# That is little: without batching this model is served about as well, and with less waiting."
        )
    first = tuning.by_rows[0]
    last = _of(tuning.by_rows, tuning.execution_batch)
    lines += [
        "",
        "# Larger requests are split, so that clients may go on sending them; above max_batch_size they are refused.",
        f"max_batch_size {{ value: {max(LARGEST_BATCH, tuning.execution_batch)} }}",
        "enable_large_batch_splitting { value: true }",
        "# The smallest batch within 10 % of the best rows a second of one request at a time.",
        f"max_execution_batch_size {{ value: {tuning.execution_batch} }}",
        "# The fewest requests at a time within 10 % of the best.",
        f"num_batch_threads {{ value: {tuning.threads} }}",
        f"# {tuning.execution_batch} rows take {_ratio(last, first):.1f} times as long as one row: "
        + (
            "an execution costs nearly the same however full, so it is worth waiting as long as one takes."
            if tuning.timeout_micros
            else "a batch that is not full costs less too, so nothing is gained by waiting for it to fill."
        ),
        f"batch_timeout_micros {{ value: {tuning.timeout_micros} }}",
        "# A request refused (UNAVAILABLE, which clients retry) rather than queued for longer than that.",
        f"max_enqueued_batches {{ value: {tuning.enqueued} }}",
        "",
    ]
    return "\n".join(lines)


def _require_healthy(point: Point) -> Point:
    """The point itself. Raises `ClientError` when it has errors."""
    if point.errors or not point.requests:
        said = ", ".join(f"{count} {kind}" for kind, count in point.errors.items()) or "no answers"
        raise ClientError(f"{name(point)}: {said}. Tuning needs a healthy server.")
    return point


def _batching(tuning: Tuning) -> str:
    if tuning.batches is None:
        return f"not known whether it batches ({tuning.server_limit})"
    if tuning.batches:
        return f"batches already ({tuning.server_limit}); its waiting is part of the times below"
    return "does not batch"


def _decide_waiting(tuning: Tuning, p99_ms: float | None) -> None:
    first = tuning.by_rows[0]
    chosen = _of(tuning.by_rows, tuning.execution_batch)
    if tuning.execution_batch > 1 and _ratio(chosen, first) < 2:
        wait = first.latency_ms["mean"] or 0.0
        tuning.timeout_micros = int(1000 * (min(wait, p99_ms / 4) if p99_ms else wait))
    # All threads empty the queue. It may hold the batches that they finish within the limit, or within a second.
    millis = chosen.latency_ms["mean"] or 1.0
    tuning.enqueued = max(tuning.threads, min(1000, int((p99_ms or 1000.0) / millis * tuning.threads)))


def _smallest_good(points: Sequence[Point], p99_ms: float | None) -> Point:
    """The first within 10 % of the best. With a limit, only points within half of it count, else the first point."""
    allowed = [point for point in points if p99_ms is None or _p99(point) <= p99_ms / 2] or list(points[:1])
    most = max(point.rows_per_s for point in allowed)
    return next(point for point in allowed if point.rows_per_s >= WITHIN * most)


def _p99(point: Point) -> float:
    """The 99th percentile; with few samples, the largest one."""
    return point.latency_ms["p99"] or point.latency_ms["max"] or 0.0


def _falling(rates: Sequence[float]) -> bool:
    """True when the last two rates are less than 5 % above the best one before."""
    return len(rates) >= 3 and max(rates[-2:]) < 1.05 * max(rates[:-2])


def _of(points: Sequence[Point], batch: int) -> Point:
    return next(point for point in points if point.batch == batch)


def _ratio(larger: Point, smaller: Point) -> float:
    return (larger.latency_ms["mean"] or 0.0) / max(smaller.latency_ms["mean"] or 0.0, 1e-9)


def _table(points: Sequence[Point]) -> list[str]:
    return [
        f"#   batch {point.batch:5d}  concurrency {point.concurrency:3d}  {point.rows_per_s:10,.0f} rows/s  "
        f"mean {point.latency_ms['mean'] or 0:8.2f} ms  p99 {_p99(point):8.2f} ms"
        for point in points
    ]
