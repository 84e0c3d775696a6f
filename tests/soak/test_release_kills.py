"""Every write of a release and of a rollback: killed before it, after it, and in the middle of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kills import SCENARIOS, Killed, failures, sample
from tests.support.releases import Releases, releases

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with releases(tmp_path_factory.mktemp("kills")) as found:
        yield found


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_command_that_was_killed_anywhere_ends_in_the_same_state(repo: Releases, name: str) -> None:
    killed = Killed(repo, SCENARIOS[name])
    points = killed.points()
    assert failures(killed, sample(points, 1)) == []
    print(f"{name}: killed in {len(points)} ways at {len(killed.writes)} writes, each ended as undisturbed")
