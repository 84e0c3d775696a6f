"""The simulated queues against what queueing theory says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulation.__main__ import tables
from benchmarks.simulation.autoscaler import Policy, run
from benchmarks.simulation.replicas import Server, latencies

SECOND = Server(fixed=0.0, each=1.0, most=1)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.75])
def test_one_server_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    """M/D/1: the mean time is 1 + load / (2 (1 - load)) service times."""
    measured = np.mean([latencies(load, 20_000, 1, SECOND, seed).mean() for seed in range(5)])
    assert measured == pytest.approx(1 + load / (2 * (1 - load)), rel=0.05)


def test_round_robin_is_better_than_chance_and_worse_than_one_queue() -> None:
    """Each of r replicas gets every r-th request: between a queue each by chance (M/D/1), and no waiting at all."""
    mean = latencies(0.8 * 4, 10_000, 4, SECOND, seed=1).mean()
    assert 1 < mean < 1 + 0.8 / (2 * 0.2)


def test_joining_carries_a_load_that_single_runs_cannot() -> None:
    joining = Server(fixed=0.9, each=0.1, most=10)
    assert joining.capacity == pytest.approx(5.26, abs=0.01)
    assert np.percentile(latencies(4, 5_000, 1, joining, seed=2), 99) < 10
    alone = latencies(4, 500, 1, Server(fixed=0.9, each=0.1, most=1), seed=2)
    assert alone.max() > 500


def test_two_measurements_give_back_the_server() -> None:
    server = Server(fixed=0.0005, each=0.0001, most=64)
    found = Server.measured(server.seconds(1), server.capacity)
    assert (found.fixed, found.each) == pytest.approx((server.fixed, server.each))


def test_every_request_gets_an_answer() -> None:
    assert len(latencies(50, 20, 3, Server(fixed=0.01, each=0.001), seed=3)) == 1000


def test_the_autoscaler_follows_the_load_up_and_down() -> None:
    """A server of 10 a second, a load of 5, then 35, then 5 again."""
    server = Server(fixed=0.0, each=0.1, most=1)
    policy = Policy(target=2, most=8)
    outcome = run(lambda now: 35.0 if 300 <= now < 900 else 5.0, 2400, server, policy, seed=4)
    at = dict(outcome.replicas)
    assert at[285.0] <= 2
    assert at[885.0] >= 4
    assert at[2385.0] <= 2
    assert outcome.p99(450, 600) < 2 < outcome.p99(300, 400)
    assert max(count for _, count in outcome.replicas) <= policy.most


def test_a_replica_less_is_taken_only_after_a_calm_time() -> None:
    """More than all replicas can carry until 600; what waits then is answered within a minute."""
    server = Server(fixed=0.0, each=0.1, most=1)
    outcome = run(lambda now: 85.0 if now < 600 else 5.0, 1200, server, Policy(target=2, most=8), seed=5)
    there = dict(outcome.replicas)
    assert there[600.0] == there[855.0] == 8
    assert there[1185.0] < 8


@pytest.mark.soak
def test_the_page_has_the_tables_as_they_are_computed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
    for table in tables():
        assert table in page
