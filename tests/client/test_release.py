"""The commands `release`, `rollback` and `history`, against a real server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.releases import FLAGS, Releases, releases
from tests.support.server import running_server


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with releases(tmp_path_factory.mktemp("releases")) as found:
        yield found


@pytest.fixture
def repo(made: Releases) -> Releases:
    """Version 1 is stable and was never released; versions 2 (better) and 3 (worse) are published."""
    made.begin()
    made.rules()
    return made


def test_a_better_version_becomes_stable_and_the_one_before_stays_loaded(repo: Releases) -> None:
    done = repo.run("release", 2)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("Version 2 is blessed against version 1") == 1
    assert repo.state()["labels"] == {"stable": 2, "previous": 1}
    assert (repo.label("stable"), repo.label("previous")) == (2, 1)
    assert repo.loaded() == {1, 2}
    *_, promoted = repo.entries()
    assert [entry.event for entry in repo.entries()] == ["taken_over", "started", "gated", "promoted"]
    assert (promoted.from_version, promoted.to_version, promoted.verdict) == (1, 2, "blessed")
    assert set(promoted.digests) == {"1", "2"}
    assert promoted.who.count("@") == 1
    # The same command again has nothing to do.
    again = repo.run("release", 2)
    assert (again.returncode, "stable already" in again.stderr) == (0, True)
    assert repo.stable_versions() == [1, 2]


def test_a_worse_version_is_rejected_and_taken_out(repo: Releases) -> None:
    before = (repo.models / "models.config").read_text()
    done = repo.run("release", 3, "--json")
    assert done.returncode == 1, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["event"], outcome["stable"]) == ("rejected", 1)
    assert "Version 3 is rejected" in done.stderr
    assert "Version 1 stays stable" in done.stderr
    assert (repo.models / "models.config").read_text() == before
    repo.wait_loaded(1)
    # An earlier decision holds, until somebody asks anew.
    assert "was rejected" in repo.run("release", 3, "--if-needed").stderr


def test_a_server_that_is_just_starting_is_waited_for(repo: Releases) -> None:
    """Also when nothing is left to decide: what follows asks the stable version."""
    assert repo.run("release").returncode == 1
    port = free_port()
    late = repo.start(
        "release", "--if-needed", "--wait", 60, ATELIER_TARGET=f"127.0.0.1:{port}", ATELIER_GATE=""
    )
    with late:
        assert late.stderr is not None
        assert late.stderr.readline().endswith(f"127.0.0.1:{port}: it does not answer yet\n")
        flags = (f"--model_config_file={repo.models / 'models.config'}", *FLAGS)
        with running_server(repo.models, *flags, port=port):
            assert late.wait(60) == 0
        assert "version 1 is stable" in late.stderr.read()
    gone = repo.run("release", "--if-needed", "--wait", 1, ATELIER_TARGET=f"127.0.0.1:{port}")
    assert gone.returncode == 3, gone.stderr
    assert "was not ready" in gone.stderr


def test_an_equal_version_is_decided_by_the_rule(repo: Releases) -> None:
    shutil.copytree(repo.models / "fashion" / "1", repo.models / "fashion" / "4")
    held = repo.run("release")
    assert held.returncode == 4, held.stderr
    assert "Version 4 is held" in held.stderr
    repo.wait_loaded(1)
    repo.rules("metrics: {accuracy: {change_threshold: {absolute: -0.05}}}\n")
    assert repo.run("release").returncode == 0
    assert repo.label("stable") == 4


def test_the_first_version_has_no_baseline(repo: Releases) -> None:
    repo.begin(stable=False)
    done = repo.run("release", 1)
    assert done.returncode == 0, done.stderr
    assert "there is no baseline to compare with" in done.stderr
    assert repo.state()["labels"] == {"stable": 1}


@pytest.mark.parametrize("policy", ["", "model_version_policy { latest { num_versions: 1 } }", "specific"])
def test_a_repository_without_releases_is_taken_over(repo: Releases, policy: str, tmp_path: Path) -> None:
    """The version that answers goes on answering, whatever the policy was."""
    policy = "model_version_policy { specific { versions: 2 } }" if policy == "specific" else policy
    away = repo.models / "fashion" / "3"
    away.rename(tmp_path / "3")
    (repo.models / "models.config").write_text(
        f'model_config_list {{ config {{ name: "fashion" base_path: "{repo.models / "fashion"}" '
        f'model_platform: "tensorflow" {policy} }} }}'
    )
    repo.wait_loaded(2)
    (tmp_path / "3").rename(away)
    if "specific" not in policy:
        # The server takes it by itself: the release begins with what answers then.
        repo.wait_loaded(3)
    done = repo.run("release", 3, "--force", "--reason", "to see")
    assert done.returncode == 0, done.stderr
    assert repo.stable_versions() == ([3] if "specific" not in policy else [2, 3])
    assert repo.entries()[0].event == "taken_over"
    assert repo.label("stable") == 3


def test_a_forced_release_says_so_in_the_record(repo: Releases) -> None:
    assert repo.run("release", 3, "--force").returncode == 2
    done = repo.run("release", 3, "--force", "--reason", "the shop needs it")
    assert done.returncode == 0, done.stderr
    promoted = repo.entries()[-1]
    assert (promoted.verdict, promoted.reason) == ("rejected", "the shop needs it")


def test_examples_that_are_not_those_of_training_decide_nothing(repo: Releases) -> None:
    """The candidate's own test split, with other labels than its card has the digest of."""
    repo.gate.write_text("metrics: {}\n")
    shutil.copytree(repo.data / "labelled" / "fashion-mnist", repo.data / "fashion-mnist", dirs_exist_ok=True)
    done = repo.run("release", 2)
    assert done.returncode == 1, done.stderr
    assert "not those of training" in done.stderr
    assert (repo.entries()[-1].event, repo.entries()[-1].verdict) == ("held", "not_evaluated")
    assert repo.label("stable") == 1


def test_examples_that_are_not_there_are_told_before_anything_is_loaded(repo: Releases) -> None:
    repo.gate.write_text("examples: away.npz\nmetrics: {}\n")
    done = repo.run("release", 2)
    assert done.returncode == 2, done.stderr
    assert "away.npz does not exist" in done.stderr
    assert repo.entries() == []
    assert repo.state()["labels"] == {"stable": 1}


def test_a_version_with_a_flipped_byte_is_named_and_never_loaded(repo: Releases) -> None:
    folder = shutil.copytree(repo.models / "fashion" / "2", repo.models / "fashion" / "4")
    path = folder / "variables" / "variables.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = repo.run("release", 4)
    assert done.returncode == 1
    assert "variables/variables.data-00000-of-00001 has other bytes" in done.stderr
    assert repo.entries()[-1].event == "rejected"
    assert repo.loaded() == {1}


def test_a_version_that_answers_its_golden_examples_wrongly_is_rejected(repo: Releases) -> None:
    """Another model's golden examples, with a card that has their digest: the files are whole, the answers are not."""
    import hashlib

    folder = shutil.copytree(repo.models / "fashion" / "2", repo.models / "fashion" / "4")
    golden = repo.models / "fashion" / "3" / "assets.extra" / "golden.npz"
    shutil.copy(golden, folder / "assets.extra" / "golden.npz")
    card_path = folder / "assets.extra" / "model_card.json"
    card = json.loads(card_path.read_text())
    card["files"]["assets.extra/golden.npz"]["sha256"] = hashlib.sha256(golden.read_bytes()).hexdigest()
    card_path.write_text(json.dumps(card))
    done = repo.run("release", 4)
    assert done.returncode == 1, done.stderr
    assert "golden examples wrongly" in done.stderr
    assert repo.state()["labels"] == {"stable": 1}
    repo.wait_loaded(1)


def test_a_rollback_is_one_step_and_can_be_taken_back(repo: Releases) -> None:
    assert repo.run("release", 2).returncode == 0
    done = repo.run("rollback", "--reason", "complaints")
    assert done.returncode == 0, done.stderr
    assert (repo.label("stable"), repo.label("previous")) == (1, 2)
    assert (repo.entries()[-1].event, repo.entries()[-1].reason) == ("rolled_back", "complaints")
    assert repo.run("rollback").returncode == 0
    assert repo.stable_versions() == [1, 2, 1, 2]
    # To one that is not loaded any more, by its number; never to one that no gate has seen.
    assert repo.run("release", 3, "--force", "--reason", "r").returncode == 0
    repo.wait_loaded(2, 3)
    assert repo.run("rollback", 1).returncode == 0
    assert repo.label("stable") == 1
    repo.wait_loaded(1, 3)


def test_a_rollback_without_anything_before_is_an_error(repo: Releases) -> None:
    done = repo.run("rollback")
    assert done.returncode == 2
    assert "no version before 1" in done.stderr
    refused = repo.run("rollback", 3)
    assert refused.returncode == 2
    assert "was never stable" in refused.stderr


def test_a_rollback_ends_a_release_under_way(repo: Releases) -> None:
    assert repo.run("release", 2).returncode == 0
    with repo.start("release", 3, "--force", "--reason", "r", "--ramp", "50", "--hold", "60s") as release:
        while repo.state()["labels"].get("canary") != 3 or not (repo.models / "traffic.json").exists():
            assert release.poll() is None
            time.sleep(0.05)
        assert repo.run("rollback").returncode == 0
        _, err = release.communicate(timeout=20)
    assert release.returncode == 1, err
    assert "The release of version 3 is ended" in err
    assert repo.state()["labels"] == {"stable": 1, "previous": 2}
    # Two processes write these: either may be the last.
    assert {entry.event for entry in repo.entries()[-2:]} == {"aborted", "rolled_back"}
    assert json.loads((repo.models / "traffic.json").read_text()) == {}
    repo.wait_loaded(1, 2)


def test_only_one_release_at_a_time(repo: Releases) -> None:
    with repo.start("release", 2, "--ramp", "50", "--hold", "60s") as release:
        while repo.state()["labels"].get("canary") != 2:
            assert release.poll() is None
            time.sleep(0.05)
        second = repo.run("release", 3)
        assert second.returncode == 1
        assert "under way" in second.stderr
        assert f"process {release.pid}" in second.stderr
        release.send_signal(signal.SIGINT)
        _, err = release.communicate(timeout=20)
    assert release.returncode == 130, err
    assert "Traceback" not in err
    assert repo.state()["labels"] == {"stable": 1}
    repo.wait_loaded(1)


def test_a_hand_edit_during_a_release_is_kept(repo: Releases) -> None:
    config = repo.models / "models.config"
    with repo.start("release", 2, "--ramp", "50", "--hold", "3s") as release:
        while repo.state()["labels"].get("canary") != 2:
            assert release.poll() is None
            time.sleep(0.05)
        text = config.read_text()
        config.write_text(
            f"# mine\n{text}".replace('platform: "tensorflow"', 'platform: "tensorflow"  # note')
        )
        _, err = release.communicate(timeout=60)
    assert release.returncode == 0, err
    assert config.read_text().startswith("# mine\n")
    assert "# note" in config.read_text()
    assert repo.label("stable") == 2


def test_a_ramp_says_how_long_it_takes_and_what_it_saw(repo: Releases) -> None:
    done = repo.run("release", 2, "--ramp", "10,50,100", "--hold", "1s")
    assert done.returncode == 0, done.stderr
    assert "The ramp takes 3 s at least" in done.stderr
    assert "0 failed" in done.stderr
    assert repo.label("stable") == 2


def test_a_candidate_that_is_too_slow_is_rolled_back_by_the_ramp(repo: Releases) -> None:
    """The bound is one that no answer can hold; the gate itself only observes the time of its own requests."""
    repo.rules("latency_p99_ms: {value_threshold: {upper_bound: 0.01}}\n")
    done = repo.run("release", 2, "--force", "--reason", "r", "--ramp", "50,100", "--hold", "8s")
    assert done.returncode == 1, done.stderr
    assert "99th percentile" in done.stderr
    assert repo.state()["labels"] == {"stable": 1}


@pytest.mark.parametrize(
    "wrong", [("0,5",), ("5,1",), ("101",), ("a",), ("10", "--hold", "1y"), ("10", "--hold", "0s")]
)
def test_wrong_ramps_are_refused_before_anything_is_done(repo: Releases, wrong: tuple[str, ...]) -> None:
    done = repo.run("release", 2, "--ramp", *wrong)
    assert done.returncode == 2
    assert "expected" in done.stderr
    assert [entry.event for entry in repo.entries()] == []


def test_the_time_of_a_step_needs_a_ramp(repo: Releases) -> None:
    done = repo.run("release", 2, "--hold", "5s")
    assert done.returncode == 2
    assert "give --ramp too" in done.stderr


def test_hooks_get_the_facts_and_the_ones_before_can_hold(repo: Releases, tmp_path: Path) -> None:
    note = f"import sys; open({str(tmp_path / 'facts')!r}, 'a').write(sys.stdin.read() + chr(10))"
    hook = json.dumps(["python3", "-c", note])
    names = ("before_gate", "before_promotion", "after_promotion", "after_rollback")
    repo.rules("hooks:\n" + "".join(f"  {name}: {hook}\n" for name in names))
    assert repo.run("release", 2).returncode == 0
    assert repo.run("rollback").returncode == 0
    facts = [json.loads(line) for line in (tmp_path / "facts").read_text().splitlines()]
    assert [fact["event"] for fact in facts] == list(names)
    assert [(fact["from"], fact["to"]) for fact in facts] == [(1, 2), (1, 2), (1, 2), (2, 1)]
    assert facts[1]["verdict"] == "blessed"
    assert facts[1]["metrics"]
    # A script that lies beside the rules.
    script = repo.gate.parent / "no.sh"
    script.write_text("#!/bin/sh\necho not today >&2\nexit 3\n")
    script.chmod(0o755)
    for name in names[:2]:
        repo.begin()
        repo.rules(f"hooks: {{{name}: ./no.sh}}\n")
        held = repo.run("release", 2)
        assert held.returncode == 4, held.stderr
        assert "not today" in held.stderr
        assert repo.state()["labels"] == {"stable": 1}
        assert repo.entries()[-1].event == "held"


def test_a_hook_hears_of_each_move_of_the_labels_and_cannot_stop_one(repo: Releases, tmp_path: Path) -> None:
    note = (
        f"import sys; open({str(tmp_path / 'facts')!r}, 'a').write(sys.stdin.read() + chr(10)); sys.exit(5)"
    )
    repo.rules(f"hooks: {{after_labels: {json.dumps(['python3', '-c', note])}}}\n")
    assert repo.run("release", 3).returncode == 1
    released = repo.run("release", 2)
    assert released.returncode == 0, released.stderr
    assert "warning: hook after_labels ended with exit code 5" in released.stderr
    assert repo.run("rollback").returncode == 0
    told = [json.loads(line) for line in (tmp_path / "facts").read_text().splitlines()]
    assert [fact["labels"] for fact in told] == [
        {"stable": 1, "canary": 3},
        {"stable": 1},
        {"stable": 1, "canary": 2},
        {"stable": 2, "previous": 1},
        {"stable": 1, "previous": 2},
    ]
    assert {fact["event"] for fact in told} == {"after_labels"}


def test_old_versions_are_deleted_and_used_ones_are_not(repo: Releases) -> None:
    copies = shutil.copytree(repo.models, repo.models.parent / "copies", dirs_exist_ok=True)
    try:
        done = repo.run("release", 2, "--keep", "1")
        assert done.returncode == 0, done.stderr
        # 1 is `previous`, 2 is stable, 3 is the newest.
        assert repo.repository.versions() == [1, 2, 3]
        assert repo.run("release", 3, "--force", "--reason", "r", "--keep", "1").returncode == 0
        repo.wait_loaded(2, 3)
        assert repo.run("release", 3, "--keep", "1").returncode == 0
        assert repo.repository.versions() == [2, 3]
        assert "retired" in [entry.event for entry in repo.entries()]
    finally:
        if not (repo.models / "fashion" / "1").exists():
            shutil.copytree(copies / "fashion" / "1", repo.models / "fashion" / "1")


def test_a_release_needs_every_server(repo: Releases) -> None:
    from tests.support.ports import free_port

    dead = f"{repo.server.grpc},127.0.0.1:{free_port()}"
    done = repo.run("release", 2, "--wait", "4", ATELIER_TARGET=dead)
    assert done.returncode == 3, done.stderr
    assert "Waiting up to 4 s" in done.stderr
    assert repo.state()["labels"] == {"stable": 1}
    # A rollback does not wait for a server that is gone.
    assert repo.run("release", 2).returncode == 0
    back = repo.run("rollback", ATELIER_TARGET=dead)
    assert back.returncode == 0, back.stderr
    assert "does not answer" in back.stderr
    assert repo.label("stable") == 1


def test_history_tells_what_was_stable_when(repo: Releases) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    assert repo.run("release", 2).returncode == 0
    between = datetime.now(UTC)
    assert repo.run("rollback", "--reason", "boots").returncode == 0
    rows = json.loads(repo.run("history", "--json").stdout)
    told = [(row["version"], row["event"], row["before"]) for row in rows]
    assert told == [(1, "taken_over", None), (2, "promoted", 1), (1, "rolled_back", 2)]
    assert [row["until"] for row in rows] == [rows[1]["from"], rows[2]["from"], None]
    for moment, version in ((between, 2), (datetime.now(UTC), 1)):
        [row] = json.loads(repo.run("history", "--json", "--at", moment.isoformat()).stdout)
        assert row["version"] == version
    assert repo.run("history", "--at", before.isoformat()).returncode == 2
    assert "expected a time" in repo.run("history", "--at", "noon").stderr
    assert "boots" in repo.run("history").stdout
    states = {row["version"]: row["labels"] for row in json.loads(repo.run("status", "--json").stdout)}
    assert (states[1], states[2]) == (["stable"], ["previous"])


def test_a_hand_edit_of_the_labels_is_seen_by_history(repo: Releases) -> None:
    assert repo.run("release", 2).returncode == 0
    config = repo.models / "models.config"
    served = repo.repository.served()
    repo.repository.change(served, served.labelled(stable=1, previous=2))
    assert "changed by hand" in repo.run("history").stderr
    assert repo.run("rollback").returncode == 0
    assert [entry.event for entry in repo.entries()[-3:]] == ["taken_over", "rolling_back", "rolled_back"]
    assert repo.stable_versions() == [1, 2, 1, 2]
    assert config.exists()


def test_a_torn_last_line_of_the_record_is_mended(repo: Releases) -> None:
    assert repo.run("release", 2).returncode == 0
    path = repo.models / "rollouts.jsonl"
    # Half a line goes; a line that only lacks its end stays.
    line = path.read_bytes().splitlines()[0]
    for torn, kept in ((b'{"time": "2026-', b""), (line, line + b"\n")):
        whole = path.read_bytes()
        path.write_bytes(whole + torn)
        assert repo.run("history").returncode == 0
        assert repo.run("rollback").returncode == 0
        assert path.read_bytes().startswith(whole + kept)
        assert all(json.loads(line) for line in path.read_bytes().splitlines())
    # Any other line that is none is an error; only a rollback goes on.
    path.write_bytes(b'{"time": "then"}\n' + path.read_bytes())
    for command in (["history"], ["release", 2]):
        done = repo.run(*command)
        assert done.returncode == 2
        assert "line 1 is no entry of a release ('event' is missing)" in done.stderr
    repo.gate.write_text("metrics: 3\n")
    done = repo.run("rollback")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("line 1") == 1
    assert "no hook is run" in done.stderr


def test_a_label_of_a_version_that_is_not_listed_is_named(repo: Releases) -> None:
    config = repo.models / "models.config"
    config.write_text(config.read_text().replace("value: 1", "value: 9"))
    done = repo.run("release", 2)
    assert done.returncode == 2
    assert "labels version 9 of fashion stable, and does not list it" in done.stderr


def test_a_full_disk_ends_a_release_in_a_sentence(repo: Releases) -> None:
    """A read-only models.config stands for it: nothing can be written, and nothing is served otherwise."""
    if os.getuid() == 0:
        # Root writes everywhere; a folder in the file's place cannot be replaced by a file even so.
        (repo.models / ".models.config.lock").unlink(missing_ok=True)
        (repo.models / ".models.config.lock").mkdir()
    try:
        done = repo.run("release", 2)
        assert done.returncode == 2, done.stderr
        assert ".models.config.lock" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        (repo.models / ".models.config.lock").rmdir()
    assert repo.label("stable") == 1
