"""How a release changes models.config: one model's versions and labels, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from atelier_client.errors import DataError
from atelier_client.release import config_text
from atelier_client.release.repository import Interfered, Repository
from atelier_client.release.served_versions import ServedVersions
from google.protobuf import text_format

LISTED = """# the models of this machine
model_config_list {
  config {
    name: "other"  # not ours
    base_path: "/m/other"
    model_platform: "tensorflow"
    logging_config { sampling_config { sampling_rate: 0.5 } }
    model_version_policy { latest { num_versions: 2 } }
  }
  config {
    name: "shoes"
    base_path: "/m/shoes"
    # decided on Monday }
    model_version_policy {
      specific {
        versions: 1  # the first one
      }
    }
    version_labels { key: "stable" value: 1 }  # the good one
    version_labels { key: "nightly" value: 1 }
  }
}
# the end }
"""
ODD = [
    'model_config_list: < config: < name: "sh" \'oes\', base_path: "/m/shoes"; > >',
    'model_config_list { config: [{name: "a" base_path: "/a"}, {name: "shoes" base_path: "/m/shoes"}] }',
    'model_config_list { config { name: "shoes" base_path: "/x" model_version_policy { specific { versions: [1, 2] } } '
    'version_labels: [{ key: "stable" value: 1 }, { key: "b" value: 0x2 }] } }',
    'model_config_list { config { name: "shoes" base_path: "/x" model_version_policy { all { } } } }',
    "model_config_list { }",
    "# nothing but a comment",
    "",
    'model_config_list { config { name: "x # \\" } y" base_path: "/q" } }',
]


def served(versions: set[int], **labels: int) -> ServedVersions:
    return ServedVersions(frozenset(versions), labels)


def change(text: str, wanted: ServedVersions) -> str:
    return config_text.changed(text, "models.config", "shoes", "/m/shoes", wanted)


def read(text: str) -> ServedVersions:
    return ServedVersions.of(config_text.entry_of(config_text.read(text, "models.config"), "shoes"))


def test_only_what_changes_is_touched() -> None:
    text = change(LISTED, served({1, 2}, stable=2, previous=1, nightly=1))
    before = LISTED.splitlines()
    after = text.splitlines()
    gone = [line for line in before if line not in after]
    assert gone == ['    version_labels { key: "stable" value: 1 }  # the good one']
    assert '    version_labels { key: "stable" value: 2 }  # the good one' in after
    assert "        versions: 1  # the first one" in after
    assert "        versions: 2" in after


def test_what_is_not_wanted_goes_with_its_line() -> None:
    text = change(change(LISTED, served({1, 2}, stable=1, canary=2)), served({1}, stable=1))
    assert "canary" not in text
    assert "nightly" not in text
    assert [line for line in LISTED.splitlines() if line not in text.splitlines()] == [
        '    version_labels { key: "nightly" value: 1 }'
    ]


@pytest.mark.parametrize("text", [LISTED, *ODD])
def test_any_way_of_writing_it_takes_any_change(text: str) -> None:
    """Random walks of changes, from every way of writing the file; the parser decides what it says."""
    randomly = random.Random(1)
    others = [e for e in config_text.read(text, "").model_config_list.config if e.name != "shoes"]
    comments = [
        line.partition("#")[2]
        for line in text.splitlines()
        if "#" in line and '"' not in line.partition("#")[2]
    ]
    for _ in range(60):
        versions = set(randomly.sample(range(1, 9), randomly.randrange(1, 5)))
        labels = {
            name: randomly.choice(sorted(versions))
            for name in ("stable", "canary", "q'\"uote")
            if randomly.random() < 0.6
        }
        wanted = ServedVersions(frozenset(versions), labels)
        text = change(text, wanted)
        assert read(text) == wanted
        config = config_text.read(text, "")
        assert [e for e in config.model_config_list.config if e.name != "shoes"] == others
        assert all(comment in text for comment in comments)
        assert change(text, wanted) == text


def test_a_file_that_is_none_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "models.config"
    for text, word in (
        ("model_config_list {", "text proto"),
        ('model_config_list { config { nmae: "x" } }', "nmae"),
        ("custom_model_config { }", "custom_model_config"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=word):
            Repository(tmp_path, "shoes").update(lambda found: found.adding(1))
        assert path.read_text() == text


def test_fields_that_are_not_ours_go_to_the_servers_too() -> None:
    """A configuration that is sent replaces the servers' own: what the client did not know would be switched off."""
    from tensorflow_serving.config import model_server_config_pb2 as official

    text = """model_config_list { config { name: "a" base_path: "/a" model_type: TENSORFLOW logging_config {
      log_collector_config { type: "t" filename_prefix: "/p" } sampling_config { sampling_rate: 0.25 attributes: 1 } }
    } }"""
    sent = config_text.read(text, "").SerializeToString(deterministic=True)
    wanted = text_format.Parse(text, official.ModelServerConfig())
    assert official.ModelServerConfig.FromString(sent) == wanted


def test_a_change_by_somebody_else_is_seen(tmp_path: Path) -> None:
    repository = Repository(tmp_path, "shoes")
    (tmp_path / "models.config").write_text(LISTED)
    before = repository.served()
    (tmp_path / "models.config").write_text(LISTED.replace('"stable" value: 1', '"stable" value: 2'))
    with pytest.raises(Interfered, match="changed by somebody else"):
        repository.change(before, before.adding(3))
    assert repository.served().stable == 2


def test_a_hand_edit_during_a_change_is_kept(tmp_path: Path) -> None:
    """An editor takes no lock: the change is made anew on what it has written."""
    path = tmp_path / "models.config"
    path.write_text(LISTED)
    calls: list[ServedVersions] = []

    def decide(found: ServedVersions) -> ServedVersions:
        if not calls:
            path.write_text(LISTED.replace("/m/other", "/m/elsewhere"))
        calls.append(found)
        return found.adding(2)

    Repository(tmp_path, "shoes").update(decide)
    assert len(calls) == 2
    assert "/m/elsewhere" in path.read_text()
    assert "versions: 2" in path.read_text()
