"""The alarms, judged by promtool; rules_test.yml has the cases."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "observe" / "prometheus"
CASES = Path(__file__).parent / "rules_test.yml"


def alarms() -> list[dict[str, Any]]:
    """The rules of rules.yml."""
    document = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def run(promtool: Path, *words: str | Path) -> str:
    """Run promtool; return all that it says."""
    done = subprocess.run(
        [promtool, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_configuration_is_prometheus_s(prometheus_tools: Path, tmp_path: Path) -> None:
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copy(FOLDER / name, tmp_path)
    for name in ("serving", "console"):
        (tmp_path / f"{name}.json").write_text('[{"targets": ["127.0.0.1:1"]}]')
    (tmp_path / "console.token").touch()
    said = run(prometheus_tools / "promtool", "check", "config", tmp_path / "prometheus.yml")
    assert f"{len(alarms())} rules found" in said
    assert "WARNING" not in said


def test_each_alarm_fires_when_it_should_and_not_else(prometheus_tools: Path) -> None:
    assert "SUCCESS" in run(prometheus_tools / "promtool", "test", "rules", CASES)


def test_each_alarm_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    for fires in (True, False):
        assert {case["alertname"] for case in cases if bool(case["exp_alerts"]) is fires} == {
            rule["alert"] for rule in alarms()
        }


def test_the_alarms_of_the_tensorflow_mixin_are_there() -> None:
    assert {"TensorFlowServingModelRequestHighErrorRate", "TensorFlowHighBatchQueuingLatency"} < {
        rule["alert"] for rule in alarms()
    }
    for rule in alarms():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
