"""Releases and rollbacks of a models.config that somebody has edited, and of words that mean nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping

import pytest
from atelier_client import Client
from atelier_client.release.hooks import HookFailed, Hooks

from tests.support.releases import Releases, releases


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with releases(tmp_path_factory.mktemp("by-hand")) as found:
        yield found


@pytest.fixture
def repo(made: Releases) -> Releases:
    """Version 1 is stable and was never released."""
    made.begin()
    made.rules()
    return made


def edit(repo: Releases, policy: str, labels: Mapping[str, int]) -> None:
    """Write models.config as a person would; every server has taken it when this returns."""
    for named in ({}, labels):
        lines = "".join(f'version_labels {{ key: "{key}" value: {value} }} ' for key, value in named.items())
        repo.repository.config_path.write_text(
            f'model_config_list {{ config {{ name: "fashion" base_path: "{repo.models / "fashion"}" '
            f'model_platform: "tensorflow" {policy} {lines}}} }}\n'
        )
        with Client(repo.server.grpc, "fashion") as client:
            client.reload(repo.repository.config().SerializeToString())
            for version in labels.values():
                if (repo.repository.version_folder(version)).is_dir():
                    client.wait_ready(30, version)


@pytest.mark.parametrize("policy", ["all {}", "latest { num_versions: 3 }"])
def test_a_labelled_stable_version_stays_loaded_when_a_release_replaces_another_policy(
    repo: Releases, policy: str
) -> None:
    edit(repo, f"model_version_policy {{ {policy} }}", {"stable": 1})
    done = repo.run("release", 2)
    assert done.returncode == 0, done.stderr
    assert repo.state()["labels"] == {"stable": 2, "previous": 1}
    assert repo.state()["versions"] == {1, 2}
    assert (repo.label("stable"), repo.label("previous")) == (2, 1)


def test_a_rollback_under_another_policy_keeps_both_versions(repo: Releases) -> None:
    edit(repo, "model_version_policy { all {} }", {"stable": 2, "previous": 1})
    done = repo.run("rollback")
    assert done.returncode == 0, done.stderr
    assert repo.state()["versions"] == {1, 2}
    assert (repo.label("stable"), repo.label("previous")) == (1, 2)


def test_a_previous_that_is_stable_is_nothing_to_go_back_to(repo: Releases) -> None:
    edit(repo, "model_version_policy { specific { versions: 1 } }", {"stable": 1, "previous": 1})
    done = repo.run("rollback")
    assert (done.returncode, "no version before 1" in done.stderr) == (2, True), done.stderr


def test_a_previous_that_is_gone_is_not_made_stable(repo: Releases) -> None:
    repo.repository.config_path.write_text(
        repo.repository.config_path.read_text().replace(
            "    version_labels",
            '    version_labels { key: "previous" value: 7 }\n    version_labels',
        )
    )
    before = repo.repository.config_path.read_text()
    done = repo.run("rollback")
    assert (done.returncode, "has been removed" in done.stderr) == (2, True), done.stderr
    assert repo.repository.config_path.read_text() == before


@pytest.mark.parametrize("name", [".", "..", "../models/fashion", "fashion/"])
def test_a_path_is_no_model(repo: Releases, name: str) -> None:
    before = repo.repository.config_path.read_text()
    for command in ("release", "rollback", "history"):
        done = repo.run(command, "--model", name)
        assert (done.returncode, "is no name of a model" in done.stderr) == (2, True), done.stderr
    assert repo.repository.config_path.read_text() == before


def test_times_that_are_none_are_said_to_be_none(repo: Releases) -> None:
    assert repo.run("release", 2).returncode == 0
    for text in ("0001-01-01T00:00", "9999-12-31T23:59-12:00", "", "2999-01-01"):
        done = repo.run("history", f"--at={text}")
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert done.stderr.startswith(f"error: --at {text}: "), done.stderr
    (now,) = json.loads(repo.run("history", "--json").stdout)[-1:]
    assert now["version"] == 2


def test_a_rollback_waits_for_a_number_of_seconds(repo: Releases) -> None:
    for text in ("nan", "-1", "inf", "0"):
        done = repo.run("rollback", "--wait", text)
        assert (done.returncode, "--wait" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_release_whose_output_nobody_reads_goes_on(repo: Releases, words: tuple[str, ...]) -> None:
    with repo.start("release", 2, *words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Loading" in process.stderr.readline()
        process.stderr.close()
        assert process.wait(60) == 0
    assert repo.state()["labels"] == {"stable": 2, "previous": 1}


def test_a_name_that_is_no_text_is_recorded(repo: Releases) -> None:
    done = repo.run("release", 2, ATELIER_WHO=os.fsdecode(b"\xff\x1b[31mada"))
    assert done.returncode == 0, done.stderr
    assert repo.entries()[-1].who == "\ufffd\x1b[31mada"
    assert "\x1b[31mada" not in repo.run("history").stdout


def test_a_hook_may_leave_a_process_behind_and_write_much() -> None:
    said: list[str] = []
    script = "sleep 30 & echo $! >&2; head -c 300000 /dev/zero | tr '\\0' x; printf '\\377'; exit 3"
    began = time.monotonic()
    with pytest.raises(HookFailed, match=r"exit code 3: \d+") as failure:
        Hooks({"before_gate": ["sh", "-c", script]}, said.append).run("before_gate", {})
    os.kill(int(str(failure.value).split(": ")[-1]), signal.SIGKILL)
    # Not the half minute of the process that it has left.
    assert time.monotonic() - began < 25
    assert said[1:] == [
        "  (the first 290,001 characters of its output are left out)",
        f"  {'x' * 9_999}\ufffd",
    ]


@pytest.mark.parametrize(
    ("lead", "copies", "words"), [("\ufeff", 1, "byte order mark"), ("", 2, "lists the model fashion twice")]
)
def test_a_file_that_no_server_takes_is_not_changed(
    repo: Releases, lead: str, copies: int, words: str
) -> None:
    entry = f'config {{ name: "fashion" base_path: "{repo.models / "fashion"}" }}\n'
    written = f"{lead}model_config_list {{\n{entry * copies}}}\n"
    repo.repository.config_path.write_text(written, encoding="utf-8")
    for command in ("release", "rollback"):
        done = repo.run(command)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert repo.repository.config_path.read_text(encoding="utf-8") == written


# The last one: the server goes on trying to load version 4 for a while.
def test_a_previous_that_does_not_load_is_not_made_stable(repo: Releases) -> None:
    broken = repo.repository.version_folder(4)
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"no model")
    text = repo.repository.config_path.read_text()
    labelled = text.replace(
        "    version_labels", '    version_labels { key: "previous" value: 4 }\n    version_labels'
    )
    repo.repository.config_path.write_text(
        labelled.replace("        versions: 1\n", "        versions: 1\n        versions: 4\n")
    )
    done = repo.run("rollback", "--wait", 2)
    # The server tries to load it again for longer than that.
    assert (done.returncode, "Version 4 was not ready" in done.stderr) == (3, True), done.stderr
    assert repo.repository.served().stable == 1
    assert repo.label("stable") == 1
