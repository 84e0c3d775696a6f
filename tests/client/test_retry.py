"""What is sent again, how often, and what never is."""

import asyncio
import random
import time
from typing import Any

import numpy as np
import pytest
from atelier_client import Retry, ServedModel
from atelier_client.errors import (
    InputError,
    NotReachable,
    Overloaded,
    ServerError,
    SettingsError,
    TimedOut,
    TooLarge,
)
from atelier_client.retry import RetryBudget
from atelier_client.testing import InMemoryServer

from tests.support.small_server import small_server

ROWS = np.arange(3, dtype=np.float32)
QUICK = Retry(first=0.001, most=0.01)


@pytest.fixture
def server() -> Any:
    """Doubles its input."""
    memory = InMemoryServer()
    memory.serve(
        "double",
        lambda inputs: {"y": inputs["x"] * 2},
        inputs={"x": ("float32", (-1,))},
        outputs={"y": ("float32", (-1,))},
    )
    return memory


def sent(server: Any) -> Any:
    return [call.method for call in server.calls].count("predict")


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_passing_failure_is_not_seen(server: Any, code: int) -> None:
    with server.client("double", retry=QUICK) as client:
        client.metadata()
        server.fail(code, times=3)
        np.testing.assert_array_equal(client.predict(ROWS)["y"], ROWS * 2)
    assert sent(server) == 4


def test_the_asynchronous_client_retries_alike(server: Any) -> None:
    async def ask() -> Any:
        async with server.async_client("double", retry=QUICK) as client:
            await client.metadata()
            server.fail("UNAVAILABLE", times=3)
            return await client.predict(ROWS)

    np.testing.assert_array_equal(asyncio.run(ask())["y"], ROWS * 2)
    assert sent(server) == 4


@pytest.mark.parametrize(
    "code", ["INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED", "CANCELLED"]
)
def test_what_a_retry_does_not_help_is_sent_once(server: Any, code: str) -> None:
    with server.client("double", retry=QUICK) as client:
        client.metadata()
        server.fail(code)
        with pytest.raises(ServerError) as error:
            client.predict(ROWS)
    assert error.value.code == code
    assert sent(server) == 1


def test_a_message_that_is_too_large_stays_too_large(server: Any) -> None:
    with server.client("double", retry=QUICK) as client:
        client.metadata()
        server.fail("RESOURCE_EXHAUSTED", "Received message larger than max (9 vs. 8)", times=9)
        with pytest.raises(TooLarge, match="rows_per_request"):
            client.predict(ROWS)
    assert sent(server) == 1


def test_attempts_are_bounded_and_counted_in_the_message(server: Any) -> None:
    with server.client("double", retry=QUICK) as client:
        client.metadata()
        server.fail("UNAVAILABLE", times=99)
        with pytest.raises(NotReachable, match=r"\(5 attempts\)"):
            client.predict(ROWS)
    assert sent(server) == 5


def test_a_full_batching_queue_is_overload_and_not_a_dead_server(server: Any) -> None:
    with server.client("double", retry=Retry(attempts=1)) as client:
        client.metadata()
        server.fail("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full")
        with pytest.raises(Overloaded, match="queue"):
            client.predict(ROWS)


def test_the_deadline_holds_with_all_retries(server: Any) -> None:
    with server.client("double", timeout=0.3, retry=Retry(attempts=1000, first=0.02, most=0.02)) as client:
        client.metadata()
        server.fail("UNAVAILABLE", times=10_000)
        started = time.monotonic()
        with pytest.raises(NotReachable):
            client.predict(ROWS)
        assert time.monotonic() - started < 0.6
        assert sent(server) > 5
        server._failures.clear()
        server.delay(5)
        started = time.monotonic()
        with pytest.raises(TimedOut, match=r"within 0\.3 s"):
            client.predict(ROWS)
        assert time.monotonic() - started < 0.6


def test_the_budget_of_all_requests_runs_out_and_is_earned_back(server: Any) -> None:
    retry = Retry(attempts=3, first=0, most=0, budget=5, refill=0.5)
    with server.client("double", retry=retry) as client:
        client.metadata()
        server.fail("UNAVAILABLE", times=1000)
        for _ in range(10):
            with pytest.raises(NotReachable):
                client.predict(ROWS)
        # Ten first attempts, and no more retries than the budget, however many requests fail.
        assert sent(server) == 10 + 5
        server._failures.clear()
        client.predict(ROWS)
        client.predict(ROWS)
        server.fail("UNAVAILABLE")
        client.predict(ROWS)


def test_pauses_are_random_and_grow_to_a_limit() -> None:
    random.seed(1)
    retry = Retry(first=0.1, most=1.0)
    for failures, limit in ((1, 0.1), (2, 0.2), (3, 0.4), (9, 1.0)):
        pauses = [retry.pause(failures) for _ in range(300)]
        assert max(pauses) <= limit
        assert max(pauses) > 0.9 * limit
        assert min(pauses) < 0.1 * limit
    budget = RetryBudget(Retry(budget=2))
    assert [budget.spend() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_deadline_that_is_none_is_refused(server: Any, timeout: Any) -> None:
    with pytest.raises(SettingsError, match="timeout"):
        server.client("double", timeout=timeout)
    with pytest.raises(SettingsError, match="attempts"):
        Retry(attempts=0)


MODELS = [ServedModel("double", "/models/double", versions=(1, 2), labels={"stable": 1})]


@pytest.mark.parametrize(
    ("code", "details"), [("UNAVAILABLE", "Socket closed"), ("RESOURCE_EXHAUSTED", ""), ("UNAVAILABLE", "")]
)
def test_a_reload_the_server_may_have_seen_is_never_sent_again(server: Any, code: int, details: Any) -> None:
    with small_server(server) as running:
        from atelier_client import Client

        with Client(running.address, "double", retry=QUICK) as client:
            server.fail(code, details, times=5)
            with pytest.raises(ServerError):
                client.reload(MODELS)
    assert [call.method for call in server.calls] == ["reload"]


def test_a_reload_that_never_left_is_sent_once_the_server_is_there(server: Any) -> None:
    details = "failed to connect to all addresses; last error: Connection refused"
    with server.client("double", retry=QUICK) as client:
        server.fail("UNAVAILABLE", details, times=2)
        with pytest.raises(ServerError, match="UNIMPLEMENTED"):
            client.reload(MODELS)
    assert [call.method for call in server.calls] == ["reload"] * 3


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (ServedModel("", "/m"), "needs a name"),
        (ServedModel("m", "models/m"), "absolute"),
        (ServedModel("m", "/m", latest=0), "latest"),
        (ServedModel("m", "/m", versions=(1,), labels={"stable": 2}), r"not served: \[2\]"),
    ],
)
def test_a_reload_every_server_refuses_is_not_sent(server: Any, model: str, said: str) -> None:
    with server.client("double") as client, pytest.raises(InputError, match=said):
        client.reload([model])
    with server.client("double") as client, pytest.raises(InputError, match="more than once"):
        client.reload([ServedModel("m", "/m"), ServedModel("m", "/n")])
    assert not server.calls
