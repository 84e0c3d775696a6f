"""The manager's states by themselves: folders without models, and a loader that the test holds, fails and lets go."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from atelier_serving.models.manager import Manager
from atelier_serving.models.servable import Servable
from atelier_serving.models.settings import ModelSettings
from atelier_serving.models.version import VersionState
from atelier_serving.status import Code, ServingError, invalid

PATIENCE = 20
START, LOADING, AVAILABLE, UNLOADING, END = VersionState


class Loaded:
    """What stands for a session."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


class Loader:
    """Loads the versions that it is not told to fail, each as soon as it is let go."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.failing: set[str] = set()
        self.loaded: dict[str, Loaded] = {}
        self._held: dict[str, threading.Event] = {}

    def hold(self, version: str) -> threading.Event:
        """Keep the version loading until the event is set."""
        self._held[version] = threading.Event()
        return self._held[version]

    def __call__(self, path: Path) -> Servable:
        self.tries[path.name] += 1
        if path.name in self._held:
            assert self._held[path.name].wait(PATIENCE)
        if path.name in self.failing:
            raise invalid(f"version {path.name} is broken")
        self.loaded[path.name] = Loaded(path)
        return cast(Servable, self.loaded[path.name])


class Shop:
    """A manager and the folder of one model."""

    def __init__(self, folder: Path, attempts: int = 1) -> None:
        self.folder = folder / "m"
        self.folder.mkdir()
        self.loader = Loader()
        self.manager = Manager(
            self.loader, attempts=attempts, retry_seconds=0.0, labels_for_unavailable=False
        )

    def settings(self, **more: object) -> ModelSettings:
        return ModelSettings("m", self.folder, **more)  # type: ignore[arg-type]

    def publish(self, *versions: int) -> None:
        for version in versions:
            (self.folder / str(version)).mkdir()

    def states(self) -> dict[int, VersionState]:
        return {version.number: version.state for version in self.manager.versions("m")}

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.states()
            time.sleep(0.001)

    def reach(self, **states: VersionState) -> None:
        """Wait until the versions, named v1, v2, .., are so."""
        self.until(lambda: self.states() == {int(name[1:]): state for name, state in states.items()})

    def answering(self, label: str | None = None) -> int:
        with self.manager.use("m", None, label) as (_, version):
            return version


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    made.publish(1)
    made.manager.start([made.settings()])
    assert made.states() == {1: AVAILABLE}
    return made


def test_the_old_version_answers_until_the_new_one_does(shop: Shop) -> None:
    let_go = shop.loader.hold("2")
    shop.publish(2)
    shop.manager.poll()
    shop.reach(v1=AVAILABLE, v2=LOADING)
    assert shop.answering() == 1
    let_go.set()
    shop.reach(v1=END, v2=AVAILABLE)
    assert shop.answering() == 2
    assert shop.loader.loaded["1"].closed.is_set()


def test_a_request_keeps_its_version_from_being_closed(shop: Shop) -> None:
    with shop.manager.use("m", None, None) as (servable, version):
        assert version == 1
        shop.publish(2)
        shop.manager.poll()
        shop.reach(v1=UNLOADING, v2=AVAILABLE)
        assert not cast(Loaded, servable).closed.is_set()
        assert shop.answering() == 2
    shop.reach(v1=END, v2=AVAILABLE)
    assert shop.loader.loaded["1"].closed.is_set()


def test_a_version_that_does_not_load_ends_with_its_error_and_the_old_one_goes_on(shop: Shop) -> None:
    shop.loader.failing.add("2")
    shop.publish(2)
    shop.manager.poll()
    shop.reach(v1=AVAILABLE, v2=END)
    (failed, _) = shop.manager.versions("m")
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == (Code.INVALID_ARGUMENT, "version 2 is broken")
    # It is tried again only after its folder was gone for a poll.
    shop.manager.poll()
    assert shop.loader.tries["2"] == 1
    shop.loader.failing.clear()
    (shop.folder / "2").rmdir()
    shop.manager.poll()
    shop.publish(2)
    shop.manager.poll()
    shop.reach(v1=END, v2=AVAILABLE)


def test_a_load_is_tried_as_often_as_allowed(tmp_path: Path) -> None:
    shop = Shop(tmp_path, attempts=3)
    shop.publish(1)
    shop.loader.failing.add("1")
    with pytest.raises(ServingError, match="version 1 is broken") as raised:
        shop.manager.start([shop.settings()])
    assert raised.value.code == Code.UNKNOWN
    assert shop.loader.tries["1"] == 3


def test_when_the_newest_folder_goes_the_one_before_comes_back(shop: Shop) -> None:
    shop.publish(2)
    shop.manager.poll()
    shop.reach(v1=END, v2=AVAILABLE)
    (shop.folder / "2").rmdir()
    shop.manager.poll()
    shop.reach(v1=AVAILABLE, v2=END)
    (shop.folder / "1").rmdir()
    shop.manager.poll()
    shop.reach(v1=END, v2=END)
    with pytest.raises(ServingError, match=r"Servable not found for request: Latest\(m\)"):
        shop.answering()


def test_a_base_path_that_goes_takes_nothing_with_it(shop: Shop) -> None:
    shop.folder.rename(shop.folder.with_name("away"))
    shop.manager.poll()
    assert shop.states() == {1: AVAILABLE}


def test_a_label_of_a_version_that_does_not_answer_is_refused_and_changes_nothing(shop: Shop) -> None:
    shop.manager.configure([shop.settings(labels={"stable": 1})])
    assert shop.answering("stable") == 1
    with pytest.raises(ServingError) as raised:
        shop.manager.configure([shop.settings(labels={"stable": 2})])
    assert raised.value.code == Code.FAILED_PRECONDITION
    assert shop.answering("stable") == 1


def test_a_version_that_is_wanted_again_while_it_goes_is_loaded_anew(shop: Shop) -> None:
    with shop.manager.use("m", None, None):
        shop.publish(2)
        shop.manager.poll()
        shop.reach(v1=UNLOADING, v2=AVAILABLE)
        shop.manager.configure([shop.settings(all=True)])
        assert shop.states() == {1: UNLOADING, 2: AVAILABLE}
    shop.reach(v1=AVAILABLE, v2=AVAILABLE)
    assert shop.loader.tries["1"] == 2


def test_a_reload_waits_for_new_models_and_ends_when_a_newer_one_comes(shop: Shop, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "7").mkdir(parents=True)
    let_go = shop.loader.hold("7")
    both = [shop.settings(), ModelSettings("other", other)]
    with ThreadPoolExecutor(1) as pool:
        reload = pool.submit(shop.manager.reload, both, lambda: True)
        shop.until(lambda: [version.state for version in shop.manager.versions("other")] == [LOADING])
        assert not reload.done()
        shop.manager.configure([shop.settings()])
        with pytest.raises(ServingError) as raised:
            reload.result(PATIENCE)
        assert raised.value.code == Code.ABORTED
        let_go.set()
    # Nobody wants it any more, so it goes once it is there.
    shop.until(lambda: [version.state for version in shop.manager.versions("other")] == [END])


def test_a_reload_ends_when_its_caller_does_not_wait_any_more(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(ServingError) as raised:
        shop.manager.reload([shop.settings(), ModelSettings("other", tmp_path / "other")], lambda: False)
    assert raised.value.code == Code.DEADLINE_EXCEEDED
