"""Releases, rollbacks and rejected candidates under constant load, and servers that die: no user notices.

Here a few of each, `make soak` has the whole (tests/soak/test_release_load.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.release_load import Loaded
from tests.support.releases import Releases, releases
from tests.support.server_kills import ServerKilled


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with releases(tmp_path_factory.mktemp("loaded")) as found:
        yield found


def test_nobody_notices_releases_rollbacks_and_rejections(repo: Releases) -> None:
    loaded = Loaded(repo, releases=3, rejected=1)
    loaded.run()
    assert loaded.watch.wrong == []
    # Each version that was stable has answered, over both protocols (2 as a release, 1 after the rollbacks).
    assert set(loaded.watch.answered) >= {
        f"{protocol} {version}" for protocol in ("grpc", "rest") for version in (1, 2, 3)
    }


def test_a_release_goes_on_when_the_server_was_killed(repo: Releases) -> None:
    killed = ServerKilled(repo)
    points = [(killed.writes // 4, True), (killed.writes // 2, False), (3 * killed.writes // 4, True)]
    assert killed.failures(points) == []
