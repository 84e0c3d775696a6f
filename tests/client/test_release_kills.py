"""A release or a rollback that is killed at any of its writes, and given again, ends as an undisturbed one.

The users never notice: `stable` answers all the time, over gRPC and REST, with what the version says that it names.
Here at some of the writes, in a random order; `make soak` tries each of them (tests/soak/test_release_kills.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kills import SCENARIOS, Killed, failures, sample
from tests.support.releases import Releases, releases

# Of the ways to die at a write.
_SHARE = {"back": 0.3, "back to one that is not loaded": 0.2}
_OTHERS = 0.06


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with releases(tmp_path_factory.mktemp("kills")) as found:
        yield found


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_command_that_was_killed_and_is_given_again_ends_in_the_same_state(
    repo: Releases, name: str
) -> None:
    killed = Killed(repo, SCENARIOS[name])
    assert failures(killed, sample(killed.points(), _SHARE.get(name, _OTHERS))) == []
