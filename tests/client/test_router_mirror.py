"""A mirror compares a second version in the background, and no caller ever waits for it."""

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import AsyncClient, Prediction
from atelier_client._targets import parse_targets
from atelier_client.async_client import make_async_transport
from atelier_client.client import make_transport
from atelier_client.routing import mirror as mirror_module
from atelier_client.routing.differences import compare, differing_rows
from atelier_client.routing.mirror import MOST_BYTES, MOST_COPIES, Mirror
from atelier_client.routing.mirror_record import EXAMPLES
from atelier_client.routing.snapshot import snapshot
from atelier_client.testing import InMemoryServer

from tests.support.labelled_toys import KINDS, routed, save_toys, serving_toys
from tests.support.page_layout import what_overflows
from tests.support.small_server import small_server


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    save_toys(folder)
    return folder


@pytest.fixture(scope="module")
def server(toys: Path) -> Iterator[Any]:
    with serving_toys(toys) as running:
        yield running


@pytest.fixture(scope="module")
def other(toys: Path) -> Iterator[Any]:
    """A second server of the same versions, to be halted."""
    with serving_toys(toys) as running:
        yield running


@contextlib.contextmanager
def halted(server: Any) -> Iterator[None]:
    """The server's process does nothing until the block ends."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def callers_to(server: Any, other: Any, shell: str, protocol: str) -> Any:
    """`connect` of a client whose own connection goes to one server, and that of its mirror to another."""
    targets = iter([getattr(server, protocol), getattr(other, protocol)])
    make = make_transport if shell == "threads" else make_async_transport
    return lambda _: make(parse_targets(next(targets))[0], False, None, False)


@pytest.mark.parametrize(("shell", "protocol"), KINDS)
def test_the_report_shows_exactly_the_rows_that_differ(
    server: Any, tmp_path: Path, shell: str, protocol: str
) -> None:
    """0 times 1 is 0 times 2; every other row differs, by itself."""
    random = np.random.default_rng(3)
    different: list[float] = []
    with routed(shell, getattr(server, protocol), mirror="canary") as opened:
        for _ in range(10):
            x = np.where(random.random(5) < 0.2, random.integers(1, 9, 5), 0).astype(np.float32)
            different += x[x != 0].tolist()
            assert opened.predict(x)["y"].tolist() == x.tolist()
        opened.predict({"text": ["a", "b"], "number": [1, 2]}, signature="echo", outputs=["text", "number"])
        opened.close()
        report = opened.router.report()
        opened.write_report(tmp_path / "reports")
        assert set(opened.router.statistics()) == {"stable"}
    assert report["rows"] == {"compared": 52, "different": len(different)}
    assert report["requests"] == {
        "copied": 11, "dropped": 0, "unfinished": 0, "compared": 11,
        "different": report["requests"]["different"], "failed": {}, "last_error": None,
    }  # fmt: skip
    assert report["outputs"]["y"] == {
        "rows": 50, "different": len(different), "largest_difference": max(different), "not_comparable": None,
    }  # fmt: skip
    for name in ("text", "number"):
        assert report["outputs"][name] == {
            "rows": 2, "different": 0, "largest_difference": None, "not_comparable": None,
        }  # fmt: skip
    shown = report["examples"]
    assert sorted(example["inputs"]["inputs"] for example in shown) == sorted(different)
    assert all(example["fallback"]["y"] == example["inputs"]["inputs"] for example in shown)
    assert all(example["mirror"]["y"] == 2 * example["inputs"]["inputs"] for example in shown)
    told = [[1], [2]] if protocol == "grpc" else [[], []]
    assert [report["answered_by"][side]["versions"] for side in ("fallback", "mirror")] == told
    assert all(side["p50_ms"] > 0 for side in report["answered_by"].values())
    written = json.loads((tmp_path / "reports" / "mirror.json").read_text())
    assert written | {"at": None} == report | {"at": None}
    page = (tmp_path / "reports" / "mirror.html").read_text()
    assert what_overflows(page) == []
    assert f"{len(different)} of 52 rows" in page
    assert page.count("<figure>") == len(different)
    assert "http" not in page.replace(f"<code>{getattr(server, protocol)}</code>", "")


@pytest.mark.parametrize(("shell", "protocol"), KINDS)
def test_callers_are_answered_while_the_mirror_is_halted(
    server: Any, other: Any, shell: str, protocol: str
) -> None:
    """Not one copy is answered in that time; then those that were held are."""
    connect = callers_to(server, other, shell, protocol)
    asked = MOST_COPIES + 50
    x = np.zeros(3, np.float32)
    with routed(shell, getattr(server, protocol), connect=connect, mirror="canary") as opened:
        with halted(other):
            for _ in range(asked):
                assert opened.predict(x)["y"].tolist() == [0, 0, 0]
            during = opened.router.report()["requests"]
        opened.close()
        after = opened.router.report()
    assert (during["compared"], during["failed"]) == (0, {})
    assert (during["copied"], during["dropped"]) == (MOST_COPIES, asked - MOST_COPIES)
    assert after["requests"]["compared"] == MOST_COPIES
    assert after["rows"] == {"compared": 3 * MOST_COPIES, "different": 0}


def test_what_the_caller_writes_to_its_arrays_afterwards_does_not_reach_the_copy(
    server: Any, other: Any
) -> None:
    x = np.zeros((4,), np.float32)
    rows = [0.0, 0.0]
    connect = callers_to(server, other, "threads", "grpc")
    with routed("threads", server.grpc, connect=connect, mirror="canary") as opened:
        with halted(other):
            for inputs in (x, {"x": x}, rows, {"x": rows}):
                opened.predict(inputs)["y"][:] = 7
            x[:] = 5
            rows[:] = [5.0]
        opened.close()
        report = opened.router.report()
    assert report["requests"]["compared"] == 4
    assert report["rows"] == {"compared": 12, "different": 0}


@pytest.mark.parametrize("shell", ["threads", "asyncio"])
def test_closing_does_not_wait_for_a_mirror_that_hangs(
    server: Any, other: Any, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four copies are under way and six wait: all are told as unfinished, and stay that."""
    module = f"atelier_client.routing.{'router' if shell == 'threads' else 'async_router'}"
    monkeypatch.setattr(f"{module}.CLOSE_SECONDS", 0.3)
    connect = callers_to(server, other, shell, "grpc")
    with halted(other), routed(shell, server.grpc, connect=connect, mirror="canary") as opened:
        for _ in range(10):
            opened.predict([1.0])
        started = time.monotonic()
        opened.close()
        # The mirror's own timeout is 10 s.
        assert time.monotonic() - started < mirror_module.TIMEOUT / 2
        counts = opened.router.report()["requests"]
        time.sleep(0.2)
        opened.close()
        assert opened.router.report()["requests"] == counts
    assert (counts["copied"], counts["unfinished"], counts["compared"], counts["failed"]) == (10, 10, 0, {})


@pytest.mark.parametrize(("shell", "protocol"), [("threads", "grpc"), ("asyncio", "rest")])
def test_a_mirror_that_dies_is_counted(
    server: Any, toys: Path, tmp_path: Path, shell: str, protocol: str
) -> None:
    with serving_toys(toys) as doomed:
        connect = callers_to(server, doomed, shell, protocol)
        with routed(shell, getattr(server, protocol), connect=connect, mirror="canary") as opened:
            opened.predict([0.0])
            deadline = time.monotonic() + 20
            while not opened.router.report()["requests"]["compared"]:
                assert time.monotonic() < deadline
                opened.predict([0.0])
            doomed.process.kill()
            doomed.process.wait()
            for _ in range(50):
                assert opened.predict([1.0])["y"].tolist() == [1]
            opened.close()
            counts = opened.router.report()["requests"]
            opened.write_report(tmp_path)
    assert counts["failed"]["UNAVAILABLE"] >= 50
    assert counts["copied"] == counts["compared"] + sum(counts["failed"].values())
    assert counts["dropped"] == counts["unfinished"] == 0
    assert "Cannot reach a model server" in counts["last_error"]
    assert "UNAVAILABLE. The last one: Cannot reach" in (tmp_path / "mirror.html").read_text()


def test_a_mirror_without_its_label_is_counted_and_leaves_the_clients_signatures(server: Any) -> None:
    with routed("threads", server.grpc, mirror="shadow") as opened:
        for _ in range(20):
            opened.predict([1.0])
        opened.close()
        counts = opened.router.report()["requests"]
    assert counts["failed"] == {"INVALID_ARGUMENT": 20}
    assert "Unrecognized servable version label: shadow" in counts["last_error"]


def serving(canary: Any, outputs: Any = None) -> InMemoryServer:
    """`toy`: stable answers y as it is asked; canary is the given function."""
    memory = InMemoryServer()
    spec = {"x": ("float32", (-1,))}
    memory.serve(
        "toy",
        lambda inputs: {"y": inputs["x"]},
        inputs=spec,
        outputs={"y": ("float32", (-1,))},
        label="stable",
    )
    memory.serve(
        "toy", canary, inputs=spec, outputs=outputs or {"y": ("float32", (-1,))}, version=2, label="canary"
    )
    return memory


@pytest.mark.parametrize("shell", ["threads", "asyncio"])
def test_no_more_than_four_copies_are_under_way_and_none_is_sent_twice(shell: str) -> None:
    """A version that never answers, on the same server: the threads it holds are the server's."""
    release = threading.Event()
    under_way: list[int] = []
    most = [0]

    def hang(inputs: Any) -> Any:
        under_way.append(1)
        most[0] = max(most[0], len(under_way))
        release.wait(20)
        under_way.pop()
        return {"y": inputs["x"]}

    memory = serving(hang)
    with small_server(memory) as running, routed(shell, running.address, mirror="canary") as opened:
        for _ in range(30):
            assert opened.predict([1.0])["y"].tolist() == [1]
        deadline = time.monotonic() + 10
        while most[0] < 4 and time.monotonic() < deadline:
            opened.predict([1.0])
            time.sleep(0.01)
        assert opened.router.report()["requests"]["compared"] == 0
        release.set()
        opened.close()
        counts = opened.router.report()["requests"]
    assert most[0] == 4
    assert counts["compared"] == counts["copied"] >= 30
    sent = sum(call.method == "predict" for call in memory.calls)
    assert sent == 2 * counts["copied"] + counts["dropped"]


def test_a_second_version_of_another_form_is_told(tmp_path: Path) -> None:
    """More columns and another output; then one that answers what no client can join."""
    memory = serving(
        lambda inputs: {"y": np.zeros((len(inputs["x"]), 2)), "z": inputs["x"]},
        {"y": ("float32", (-1, 2)), "z": ("float32", (-1,))},
    )
    with small_server(memory) as running, routed("threads", running.address, mirror="canary") as opened:
        opened.predict([1.0, 2.0])
        opened.predict([1.0, 2.0], outputs=["y"], rows_per_request=1)
        opened.close()
        report = opened.router.report()
        opened.write_report(tmp_path)
    assert report["rows"] == {"compared": 4, "different": 4}
    assert report["outputs"]["y"]["not_comparable"] == "float32[2] and float32[2, 2]"
    assert report["outputs"]["z"]["not_comparable"] == "only one of the two answers has it"
    assert "float32[2] and float32[2, 2]" in (tmp_path / "mirror.html").read_text()


def test_inputs_that_cannot_be_copied_cost_the_caller_nothing() -> None:
    """They can be read as often as the client needs to, and no more once it is answered."""
    answered: list[int] = []

    class Stream:
        def __array__(self, *_: Any, **__: Any) -> Any:
            if answered:
                raise OSError("read to its end")
            return np.ones(2, np.float32)

    def answer(inputs: Any) -> Any:
        answered.append(1)
        return {"y": inputs["x"]}

    memory = serving(lambda inputs: {"y": inputs["x"]})
    spec = {"x": ("float32", (-1,))}
    memory.serve("toy", answer, inputs=spec, outputs={"y": ("float32", (-1,))}, label="stable")
    with small_server(memory) as running, routed("threads", running.address, mirror="canary") as opened:
        assert opened.predict(Stream())["y"].tolist() == [1, 1]
        opened.close()
        counts = opened.router.report()["requests"]
    assert counts["failed"] == {"OSError": 1}
    assert (counts["copied"], counts["unfinished"]) == (1, 0)


def test_only_what_the_fallback_answered_is_copied(server: Any) -> None:
    with routed("threads", server.grpc, {"stable": 1, "canary": 1}, mirror="canary", seed=5) as opened:
        answers = [int(opened.predict([1.0])["y"][0]) for _ in range(60)]
        opened.close()
        copied = opened.router.report()["requests"]["copied"]
    assert copied == answers.count(1)
    assert 0 < copied < 60


def test_examples_and_held_bytes_are_bounded(server: Any) -> None:
    with routed("threads", server.grpc, mirror="canary") as opened:
        opened.predict(np.ones(500, np.float32))
        opened.close()
        report = opened.router.report()
    assert len(report["examples"]) == EXAMPLES
    assert report["rows"]["different"] == 500
    mirror = Mirror("canary", "stable")
    answer = Prediction(y=np.zeros(1))
    big = np.zeros(MOST_BYTES // 2, np.uint8)
    first = mirror.take(big, "serving_default", (), None, answer)
    assert first is not None
    assert mirror.take(big, "serving_default", (), None, answer) is None
    assert mirror.report()["requests"]["dropped"] == 1
    mirror.release(first.size)
    assert mirror.take(big, "serving_default", (), None, answer) is not None


def test_many_callers_of_one_asynchronous_router(server: Any) -> None:
    """All at once on one loop: every answer is the caller's own, and every copy is accounted for."""

    async def ask() -> Any:
        from atelier_client import AsyncRouter

        async with AsyncClient(server.grpc, "toy") as client, AsyncRouter(client, mirror="canary") as router:
            answers = await asyncio.gather(*(router.predict([float(number)]) for number in range(200)))
            await router.close()
            return [answer["y"].tolist() for answer in answers], router.report()["requests"]

    answers, counts = asyncio.run(ask())
    assert answers == [[float(number)] for number in range(200)]
    assert counts["copied"] + counts["dropped"] == 200
    assert counts["compared"] == counts["copied"]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("ours", "theirs", "differing", "largest"),
    [
        ([1.0, 2.0], [1.0, 2.0], [False, False], 0.0),
        ([1.0, 2.0], [1.00009, 2.1], [False, True], 0.1),
        ([10_000.0], [10_000.9], [False], 0.9),
        ([10_000.0], [10_002.0], [True], 2.0),
        ([NAN, NAN, 1.0], [NAN, 1.0, NAN], [False, True, True], 0.0),
        ([INF, INF, -INF], [INF, -INF, 1.0], [False, True, True], 0.0),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.5]], [False, True], 0.5),
        ([1, 2], [1, 3], [False, True], None),
        ([True, False], [True, True], [False, True], None),
        (3.0, 4.0, [True], 1.0),
        (3, 3, [False], None),
        ([], [], [], 0.0),
        (np.zeros((2, 0)), np.zeros((2, 0)), [False, False], 0.0),
        (np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), [False, True], None),
        (np.array([1, 2], np.float32), np.array([1, 2], np.float64), [False, False], 0.0),
        ([1, 2], [1.0, 2.0], [True, True], None),
        ([1, 2], [1, 2, 3], [True, True], None),
    ],
)
def test_answers_are_compared_row_by_row(ours: Any, theirs: Any, differing: Any, largest: Any) -> None:
    differences = compare({"y": np.asarray(ours)}, {"y": np.asarray(theirs)})
    assert differences["y"].differing.tolist() == differing
    assert differences["y"].largest == (None if largest is None else pytest.approx(largest, abs=1e-6))
    assert differing_rows(differences).tolist() == differing


def test_rows_of_several_outputs_are_taken_together() -> None:
    one = {"a": np.array([1, 2, 3]), "b": np.array([1, 2, 3])}
    two = {"a": np.array([1, 9, 3]), "b": np.array([9, 2, 3])}
    assert differing_rows(compare(one, two)).tolist() == [True, True, False]
    assert differing_rows(compare(one | {"c": np.array(1)}, two | {"c": np.array(1)})).tolist() == [True]
    assert differing_rows(compare({}, {})).tolist() == [False]


def test_a_snapshot_has_nothing_of_the_callers() -> None:
    array = np.zeros(3)
    inputs = {"array": array, "rows": [[1, 2], [3]], "text": ["a"], "arrays": [array, array], "number": 3}
    kept = snapshot(inputs)
    array[:] = 1
    inputs["rows"][0][0] = inputs["text"][0] = "other"  # type: ignore[index]
    assert kept["array"].tolist() == kept["arrays"][1].tolist() == [0, 0, 0]
    assert (kept["rows"], kept["text"], kept["number"]) == ([[1, 2], [3]], ["a"], 3)
