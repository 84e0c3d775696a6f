"""The alarms of deploy/observe as the resource that the Prometheus Operator reads.

python -m deploy.kubernetes.prometheus_rule
"""

from __future__ import annotations

from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parent
RULES = FOLDER.parent / "observe" / "prometheus" / "rules.yml"
WRITTEN = FOLDER / "base" / "prometheus-rule.yaml"
_HEAD = """\
# Written by `python -m deploy.kubernetes.prometheus_rule` from deploy/observe/prometheus/rules.yml: change that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: atelier
spec:
"""


def text() -> str:
    """The whole file."""
    # The text of the rules is taken as it is, comments included, two columns further in.
    lines = RULES.read_text(encoding="utf-8").splitlines()
    body = "\n".join(f"  {line}".rstrip() for line in lines if not line.startswith("#"))
    written = f"{_HEAD}{body}\n"
    assert yaml.safe_load(written)["spec"] == yaml.safe_load("\n".join(lines))
    return written


if __name__ == "__main__":
    WRITTEN.write_text(text(), encoding="utf-8")
