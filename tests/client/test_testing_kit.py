"""The shipped server in memory behaves as a real one where a client's user would notice."""

import asyncio
from typing import Any

import numpy as np
import pytest
from atelier_client import Client, Retry, State
from atelier_client.errors import InputError, InvalidRequest, ModelNotFound, NotSupported, TimedOut
from atelier_client.testing import InMemoryServer

SPEC = {"x": ("float32", (-1, 2))}


@pytest.fixture
def memory() -> Any:
    server = InMemoryServer()
    for version in (1, 2):

        def scaled(inputs: Any, factor: int = version) -> Any:
            return {"x": inputs["x"] * factor}

        server.serve(
            "m",
            scaled,
            inputs=SPEC,
            outputs=SPEC,
            version=version,
            label={1: "stable"}.get(version),
        )
    return server


def test_versions_and_labels_choose_the_function(memory: Any) -> None:
    with memory.client("m") as client:
        ones = np.ones((3, 2), np.float32)
        assert client.predict(ones)["x"].max() == 2
        assert client.predict(ones).versions == (2,)
        assert client.predict(ones, version=1)["x"].max() == 1
        assert client.predict(ones, label="stable").versions == (1,)
        assert client.wait_ready(1) == client.newest_available() == 2
        assert client.version_of("stable") == 1
        assert [entry.state for entry in client.status()] == [State.AVAILABLE] * 2


def test_what_arrived_is_recorded(memory: Any) -> None:
    with memory.client("m") as client:
        client.predict([[1, 2]])
    assert [call.method for call in memory.calls] == ["metadata", "predict"]
    assert memory.calls[1].model == "m"
    np.testing.assert_array_equal(memory.calls[1].inputs["x"], [[1, 2]])


def test_mistakes_end_as_with_a_real_server(memory: Any) -> None:
    with memory.client("m") as client:
        with pytest.raises(InputError, match="Did you mean 'x'"):
            client.predict({"xx": [[1.0, 2.0]]})
        with pytest.raises(ModelNotFound, match=r"Specific\(m, 9\)"):
            client.predict([[1.0, 2.0]], version=9)
        with pytest.raises(InvalidRequest, match="Unrecognized servable version label: best"):
            client.predict([[1.0, 2.0]], label="best")
        with pytest.raises(NotSupported):
            client.reload([])
    with memory.client("n") as client, pytest.raises(ModelNotFound, match=r"Latest\(n\)"):
        client.predict([[1.0, 2.0]])


def test_a_slow_server_times_out(memory: Any) -> None:
    with memory.client("m", timeout=0.05, retry=Retry(attempts=1)) as client:
        client.metadata()
        memory.delay(1)
        with pytest.raises(TimedOut):
            client.predict([[1.0, 2.0]])


def test_the_asynchronous_client_and_many_requests(memory: Any) -> None:
    async def ask() -> Any:
        async with memory.async_client("m") as client:
            return await client.predict(np.ones((100, 2), np.float32), rows_per_request=3)

    prediction = asyncio.run(ask())
    assert prediction["x"].shape == (100, 2)
    assert len(prediction.seconds) == 34


def test_several_servers_in_memory_are_replicas(memory: Any) -> None:
    other = InMemoryServer()
    other.serve("m", lambda inputs: inputs, inputs=SPEC, outputs=SPEC, version=7)
    servers = {"one:1": memory, "two:2": other}
    with Client(list(servers), "m", connect=lambda target: servers[target.address].connect(target)) as client:
        versions = {client.predict([[1.0, 2.0]]).versions for _ in range(4)}
        assert versions == {(2,), (7,)}
        memory.fail("UNAVAILABLE", times=1)
        other.fail("UNAVAILABLE", times=1)
        assert client.predict([[1.0, 2.0]])["x"].shape == (1, 2)


def test_signatures_that_change_are_read_again(memory: Any) -> None:
    """A new version with other inputs: what was kept of the old ones does not stand in the way."""
    with memory.client("m") as client:
        client.predict([[1.0, 2.0]])
        tensors = {"y": ("int64", (-1,))}
        memory.serve("m", lambda inputs: inputs, inputs=tensors, outputs=tensors, version=3)
        assert client.predict({"y": [1, 2]})["y"].tolist() == [1, 2]
