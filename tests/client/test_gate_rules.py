"""gate.yaml: what it may say, and that each mistake in it is one sentence with its place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from atelier_client.errors import ClientError, DataError, SettingsError
from atelier_client.gate.rule import LATENCY, PAIRED, SIZE, ChangeThreshold, Rule, ValueThreshold
from atelier_client.gate.rules import Hooks, Rules, read_rules

EVERYTHING = """
examples: data/holdout.csv
metrics:
  accuracy:
    value_threshold: {lower_bound: 0.80, upper_bound: 1}
    change_threshold: {direction: higher_is_better, absolute: -0.01}
    slices:
      "label == 'Shirt'": {value_threshold: {lower_bound: 0.5}}
      region: {change_threshold: {relative: -0.05}, observe: true}
  loss: {observe: true}
  macro_f1:
    slices: {"row < 10": {value_threshold: {lower_bound: 0.1}}}
latency_p99_ms: {value_threshold: {upper_bound: 50}, change_threshold: {relative: 0.5}}
size_mb: {change_threshold: {absolute: 20, direction: lower_is_better}}
hooks:
  before_gate: [./check.sh, "5", a b]
  after_rollback: notify --text 'rolled back'
"""
# Eight lines that stand for a hundred million values.
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]\n"
    for last, name in zip("abcdefg", "bcdefgh", strict=True)
)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "gate.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_without_a_file_only_what_is_better_passes_and_all_else_is_shown() -> None:
    rules = read_rules(None)
    assert rules.for_task("classification") == (Rule("accuracy", change=ChangeThreshold(absolute=0.0)),)
    assert rules.for_task("regression") == (Rule("mae", change=ChangeThreshold(absolute=0.0)),)
    assert rules.latency == Rule(LATENCY, observe=True)
    assert rules.size == Rule(SIZE, observe=True)
    assert (rules.source, rules.examples, rules.slices, rules.hooks) == (None, None, (), Hooks())


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_file_is_as_none(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    assert read_rules(path) == Rules(source=path)


def test_every_key_is_read(tmp_path: Path) -> None:
    rules = read_rules(written(tmp_path, EVERYTHING))
    assert rules.examples == tmp_path / "data/holdout.csv"
    assert rules.for_task("classification") == (
        Rule("accuracy", None, ValueThreshold(0.8, 1.0), ChangeThreshold(absolute=-0.01)),
        Rule("accuracy", "label == 'Shirt'", ValueThreshold(0.5)),
        Rule("accuracy", "region", None, ChangeThreshold(relative=-0.05), observe=True),
        Rule("loss", observe=True),
        Rule("macro_f1", "row < 10", ValueThreshold(0.1)),
    )
    assert rules.slices == ("label == 'Shirt'", "region", "row < 10")
    assert rules.latency == Rule(
        LATENCY, value=ValueThreshold(upper_bound=50.0), change=ChangeThreshold(relative=0.5)
    )
    assert rules.size == Rule(SIZE, change=ChangeThreshold(absolute=20.0))
    assert rules.hooks.before_gate == ("./check.sh", "5", "a b")
    assert rules.hooks.after_rollback == ("notify", "--text", "rolled back")
    assert rules.hooks.before_promotion == ()


def test_the_rule_of_the_accuracy_stands_until_the_file_names_the_accuracy(tmp_path: Path) -> None:
    kept = read_rules(written(tmp_path, "metrics: {loss: {observe: true}}"))
    assert kept.for_task("classification")[0] == Rule("accuracy", change=ChangeThreshold(absolute=0.0))
    replaced = read_rules(written(tmp_path, "metrics: {accuracy: {observe: true}}"))
    assert replaced.for_task("classification") == (Rule("accuracy", observe=True),)


def test_aliases_that_repeat_a_threshold_are_fine(tmp_path: Path) -> None:
    text = (
        "metrics: {accuracy: {value_threshold: &low {lower_bound: 0.5}}, macro_f1: {value_threshold: *low}}"
    )
    assert [rule.value for rule in read_rules(written(tmp_path, text)).for_task("classification")] == [
        ValueThreshold(0.5)
    ] * 2


def one(metric: str, text: str) -> str:
    return f"metrics: {{{metric}: {{{text}}}}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exampels: a.csv", "there is no key 'exampels'. Did you mean 'examples'? There are: examples,"),
        ("- 1", "expected a mapping (key: value), got a list"),
        ("accuracy", "expected a mapping (key: value), got the text 'accuracy'"),
        ("examples: 3", "examples: expected the path of labelled examples, got 3"),
        ("examples:", "examples: expected the path of labelled examples, got nothing"),
        ("metrics:", "metrics: expected a mapping (key: value), got nothing"),
        ("metrics: {acuracy: {observe: true}}", "metrics: there is no key 'acuracy'. Did you mean 'accuracy'?"),
        ("metrics: {macro_roc_auc: {observe: true}}", "`evaluate` measures it; the gate does not"),
        ("metrics: {accuracy: {}}", "metrics.accuracy: expected value_threshold, change_threshold or `observe"),
        ("metrics: {accuracy: {observe: false}}", "metrics.accuracy: expected value_threshold"),
        ("metrics: {accuracy: 0.8}", "metrics.accuracy: expected a mapping (key: value), got 0.8"),
        (one("accuracy", "treshold: 1"), "metrics.accuracy: there is no key 'treshold'. Did you mean '"),
        (one("accuracy", "observe: 1"), "metrics.accuracy.observe: expected true or false, got 1"),
        (one("accuracy", "value_threshold: {}"), "value_threshold: expected a lower_bound or an upper_bound"),
        (
            one("accuracy", "value_threshold: {lower_bound: 88}"),
            "metrics.accuracy.value_threshold.lower_bound: expected a number from 0 to 1 (0.88, not 88), got 88",
        ),
        (one("accuracy", "value_threshold: {lower_bound: .nan}"), "(0.88, not 88), got nan"),
        (one("loss", "value_threshold: {upper_bound: .inf}"), "expected a number from 0, got inf"),
        (one("accuracy", "value_threshold: {lower_bound: true}"), "(0.88, not 88), got true"),
        (one("accuracy", "value_threshold: {lower_bound: '0.8'}"), "got the text '0.8'"),
        (one("accuracy", "value_threshold: {lower_bound: 1e-3}"), "YAML reads 1e-3 as a text: write 0.001"),
        (one("loss", f"value_threshold: {{upper_bound: {'9' * 400}}}"), "expected a number from 0, got 9999"),
        (one("loss", f"value_threshold: {{upper_bound: {'9' * 5000}}}"), "no YAML: "),
        (one("accuracy", "value_threshold: {lower_bound: 2026-13-45}"), "no YAML: "),
        (one("accuracy", "value_threshold: {lower_bound: .9, upper_bound: .8}"), "no value would pass"),
        (one("accuracy", "change_threshold: {absolute: 1.5}"), "from -1 to 1 (0.01 is one point), got 1.5"),
        (one("accuracy", "change_threshold: {relative: -1}"), "above -1 (-0.01 is one percent less), got -1"),
        (one("accuracy", "change_threshold: {}"), "change_threshold: expected either absolute or relative"),
        (one("accuracy", "change_threshold: {absolute: 0, relative: 0}"), "either absolute or relative"),
        (
            one("loss", "change_threshold: {direction: higher_is_better, absolute: 0}"),
            "direction: expected lower_is_better, which is the direction of loss, got the text 'higher_is_better'",
        ),
        (one("ece", "change_threshold: {absolute: 0}"), "ece is not compared example by example"),
        ("latency_p99_ms: {value_threshold: {lower_bound: 1}}", "there is no key 'lower_bound'"),
        ("latency_p99_ms: {}", "latency_p99_ms: expected value_threshold"),
        ("size_mb: {value_threshold: {upper_bound: -1}}", "size_mb.value_threshold.upper_bound: expected"),
        (one("accuracy", "slices: {'label ==': {observe: true}}"), "slices: slice 'label ==': it is no expression"),
        (
            one("accuracy", "slices: {'confidence < 0.5': {observe: true}}"),
            "expected columns of the examples, label or row; confidence is an answer",
        ),
        (one("accuracy", "slices: {a: {lower_bound: 1}}"), "metrics.accuracy.slices.a: there is no key 'lower"),
        (
            one("accuracy", 'slices: {"a > 1": {value_threshold: {lower_bound: 5}}}'),
            "metrics.accuracy.slices['a > 1'].value_threshold.lower_bound: expected",
        ),
        ("hooks: {before_gat: a}", "hooks: there is no key 'before_gat'. Did you mean 'before_gate'?"),
        ("hooks: {before_gate: []}", "hooks.before_gate: expected a command"),
        ("hooks: {before_gate: 'a \"b'}", "hooks.before_gate: expected a command"),
        ("hooks: {before_gate: [sleep, 5]}", "hooks.before_gate[1]: expected a text (a number in quotes), got 5"),
        ("hooks: {before_gate: {a: b}}", "hooks.before_gate: expected a command"),
        ('hooks: {before_gate: ["a\\0"]}', "hooks.before_gate[0]: expected a text"),
        ("examples: a\nexamples: b", "line 2: the key 'examples' stands there twice"),
        ("metrics: {accuracy: {observe: true, observe: true}}", "the key 'observe' stands there twice"),
        ("? [a]\n: b", "line 1: expected a text as the key"),
        ("examples: !!python/object:os.system x", "line 1: no YAML: "),
        ("examples: !!set {a}", "line 1: expected a mapping, a list or a value, got the tag"),
        ("examples: [a", "line 1: no YAML: while parsing a flow sequence"),
        ("a: b\n---\nc: d", "no YAML: expected a single document"),
        ("examples: a\x07b", "no YAML: character 12 is not allowed"),
        ("a: &a [*a]", "expected at most 20 levels"),
        ("[" * 30 + "]" * 30, "expected at most 20 levels"),
        ("[" * 65_536, "nested too deeply"),
        (
            BOMB,
            "expected at most 10,000 values, aliases unfolded",
        ),
        (b"examples: a\xff", "expected UTF-8, but byte 12 is none"),
        ("examples: a".encode("utf-16"), "expected UTF-8, but byte 1 is none"),
        ("#" * 70_000, "expected at most 65,536 bytes, got 70,000"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_its_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        read_rules(path)
    message = str(caught.value)
    assert said in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < len(str(path)) + 700
    assert caught.value.exit_code == 2


def test_a_mark_of_byte_order_is_no_mistake(tmp_path: Path) -> None:
    assert read_rules(written(tmp_path, b"\xef\xbb\xbfexamples: a")).examples == tmp_path / "a"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(DataError, match="is no file"):
            read_rules(path)
    with pytest.raises(SettingsError, match=r"missing\.yaml does not exist"):
        read_rules(tmp_path / "missing.yaml")
    with pytest.raises(ClientError):
        read_rules(written(tmp_path, "examples: a") / "below")


def test_yaml_is_loaded_only_to_read_a_file() -> None:
    code = (
        "import sys, atelier_client, atelier_client.cli.main, atelier_client.gate.verdict, "
        "atelier_client.gate.measure\n"
        "from atelier_client.gate.rules import read_rules\n"
        "read_rules(None); assert 'yaml' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_metric_of_the_gate_can_be_named(tmp_path: Path) -> None:
    for metric in PAIRED:
        text = one(metric, "change_threshold: {absolute: 0}")
        assert read_rules(written(tmp_path, text)).metrics[-1].metric == metric
