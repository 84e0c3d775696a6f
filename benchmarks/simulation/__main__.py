"""The tables of docs/scale.md: `python -m benchmarks.simulation`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.simulation.autoscaler import Policy, run
from benchmarks.simulation.replicas import Server, latencies

# docs/benchmarks.md, part serving: the answer to one request at a time, and answers a second with 64 at a time.
SERVER = Server.measured(alone=0.00052, rate=10_630, most=64)
LOADS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.97)
GROUPS = (1, 4, 16)
SECONDS = 20.0
# A day's predictions, and how much the busiest hour has of them.
DAYS = (1e6, 1e7, 1e8, 1e9, 1e10)
PEAK = 3.0
BUSY = 0.6
# The autoscaler: a load that grows threefold within a minute.
TARGET = 16.0
STARTS = (5.0, 30.0, 120.0)
BEFORE, RISE, END = 300.0, 60.0, 1260.0
# Of a slow server, so that some hundred requests a second need several replicas.
SLOW = Server(fixed=0.010, each=0.002, most=16)


def tables() -> Iterator[str]:
    """Each as Markdown."""
    yield "\n".join(_loads())
    yield "\n".join(_days())
    yield "\n".join(_autoscaler())


def _loads() -> Iterator[str]:
    yield "| load | " + " | ".join(f"p50 and p99 of {number}" for number in GROUPS) + " |"
    yield "|---|" + "---|" * len(GROUPS)
    for load in LOADS:
        cells = []
        for number in GROUPS:
            taken = (
                latencies(load * number * SERVER.capacity, SECONDS / number, number, SERVER, seed=1) * 1000
            )
            cells.append("{:.1f} and {:.1f} ms".format(*np.percentile(taken, [50, 99])))
        yield f"| {load:.0%} | " + " | ".join(cells) + " |"


def _days() -> Iterator[str]:
    yield f"| predictions a day | a second, in the busiest hour | replicas at {BUSY:.0%} |"
    yield "|---|---|---|"
    for day in DAYS:
        peak = PEAK * day / 86_400
        yield f"| {day:,.0f} | {peak:,.0f} | {max(1, int(np.ceil(peak / (BUSY * SERVER.capacity))))} |"


def _autoscaler() -> Iterator[str]:
    yield "| a replica starts in | taken away | most waiting | p99 until it has caught up | p99 afterwards |"
    yield "|---|---|---|---|---|"
    low = SLOW.capacity * 0.8

    def rate(now: float) -> float:
        return low * (1 + 2 * min(max((now - BEFORE) / RISE, 0), 1))

    for start in STARTS:
        for apart, words in ((0.0, "all at once"), (60.0, "one a minute")):
            policy = Policy(target=TARGET, most=12, start=start, apart=apart)
            outcome = run(rate, END, SLOW, policy, seed=1)
            most = max(number for _, number in outcome.waiting)
            caught_up = BEFORE + RISE + start + 60
            during, after = outcome.p99(BEFORE, caught_up), outcome.p99(caught_up, END)
            yield f"| {start:.0f} s | {words} | {most:,} | {during:.1f} s | {after:.2f} s |"


if __name__ == "__main__":
    print("\n\n".join(tables()))
