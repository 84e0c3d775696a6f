"""20 releases, 20 rollbacks and 5 rejected candidates under load; a server killed at every write of a release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.release_load import Loaded
from tests.support.releases import Releases, releases
from tests.support.server_kills import ServerKilled

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with releases(tmp_path_factory.mktemp("loaded")) as found:
        yield found


def test_nobody_notices_releases_rollbacks_and_rejections(repo: Releases) -> None:
    loaded = Loaded(repo, releases=20, rejected=5)
    loaded.run()
    print(
        f"{loaded.watch.answered.total()} answers, {len(loaded.watch.wrong)} failed or wrong: {loaded.watch.answered}"
    )
    assert loaded.watch.wrong == []


def test_a_release_goes_on_when_the_server_was_killed_at_any_write(repo: Releases) -> None:
    killed = ServerKilled(repo)
    points = [(number, bool(number % 2)) for number in range(1, killed.writes + 1)]
    assert killed.failures(points) == []
    print(f"the server was killed at {len(points)} writes; the releases ended with {Counter(killed.codes)}")
