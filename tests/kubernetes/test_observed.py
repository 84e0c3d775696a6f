"""One source for the alarms and for the metrics' switch; and the metric that the autoscaler asks for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from deploy.kubernetes import prometheus_rule
from tests.support.manifests import FOLDER, Manifest, one, templates, waiting_series
from tests.support.prometheus import tools

OBSERVE = FOLDER.parent / "observe"
ADAPTER = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text(encoding="utf-8"))


def test_the_alarms_are_those_of_the_stack(base: list[Manifest]) -> None:
    assert prometheus_rule.WRITTEN.read_text(encoding="utf-8") == prometheus_rule.text(), (
        "run python -m deploy.kubernetes.prometheus_rule"
    )
    rules = yaml.safe_load((OBSERVE / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    assert one(base, "PrometheusRule", "atelier")["spec"] == rules


def test_the_servers_metrics_are_switched_on_by_the_stacks_file(base: list[Manifest]) -> None:
    pod = dict(templates(base))["serving"]["spec"]
    (volume,) = (item for item in pod["volumes"] if item["name"] == "monitoring")
    text = one(base, "ConfigMap", volume["configMap"]["name"])["data"]["monitoring.config"]
    assert text == (OBSERVE / "monitoring.config").read_text(encoding="utf-8")
    path = one(base, "ServiceMonitor", "serving")["spec"]["endpoints"][0]["path"]
    assert f'path: "{path}"' in text


def test_the_autoscaler_asks_for_the_metric_that_the_adapter_makes(base: list[Manifest]) -> None:
    (metric,) = one(base, "HorizontalPodAutoscaler", "serving")["spec"]["metrics"]
    (rule,) = ADAPTER["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]


def test_the_metric_counts_the_requests_that_are_there(tmp_path: Path) -> None:
    """Twenty requests a second that stay 0.4 seconds each are eight at a time."""
    (rule,) = ADAPTER["rules"]["custom"]
    series = waiting_series()
    query = (
        rule["metricsQuery"]
        .replace("<<.Series>>", series)
        .replace("<<.LabelMatchers>>", 'namespace="atelier",pod=~"a|b"')
        .replace("<<.GroupBy>>", "pod")
    )
    (tmp_path / "rules.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "a", "rules": [{"record": "waiting", "expr": query}]}]})
    )
    # Two ways to ask pod a, 10 of the requests a second each; nobody asks pod b. Every 10 seconds 100 x 0.4 s more.
    labels = 'namespace="atelier", model_name="m"'
    inputs = [
        {"series": f'{series}{{{labels}, pod="a", API="Predict"}}', "values": "0+40000000x30"},
        {"series": f'{series}{{{labels}, pod="a", API="predict"}}', "values": "0+40000000x30"},
        {"series": f'{series}{{{labels}, pod="b", API="Predict"}}', "values": "7+0x30"},
    ]
    expected = [{"labels": f'waiting{{pod="{pod}"}}', "value": value} for pod, value in (("a", 8), ("b", 0))]
    case = {
        "interval": "10s",
        "input_series": inputs,
        "promql_expr_test": [{"expr": "waiting", "eval_time": "4m", "exp_samples": expected}],
    }
    cases = {"rule_files": ["rules.yml"], "evaluation_interval": "10s", "tests": [case]}
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases))
    done = subprocess.run(
        [tools(tmp_path) / "promtool", "test", "rules", "cases.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
