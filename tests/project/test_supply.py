"""Bills of materials, the look-up of vulnerabilities, and the one place that names TensorFlow's version."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from atelier_client.doctor.folder import SERVED_TENSORFLOW
from packaging.requirements import Requirement

from deploy.supply import sbom
from deploy.supply.audit import audit, report_of, tell
from deploy.supply.locks import ROOT, linux, locks, read
from stack.versions import NEXT_TENSORFLOW, TENSORFLOW, minor
from tests.support.ports import free_port

LINUX = [(python, machine) for python in ("3.11", "3.12", "3.13") for machine in ("x86_64", "aarch64")]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The documents by their names; making them checks them by the schema."""
    return sbom.documents()


@pytest.fixture(scope="module")
def bills(texts: dict[str, str]) -> dict[str, Any]:
    """What the documents say."""
    return {name: json.loads(text) for name, text in texts.items()}


def test_there_is_a_bill_for_every_distribution_and_every_image_built_of_locks(bills: dict[str, Any]) -> None:
    built = {path.parent.name for path in ROOT.glob("*/Dockerfile")}
    assert {image.components[0] for image in sbom.IMAGES.values()} == built
    gpu = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]["trainer"]["build"]["args"]
    assert sbom.IMAGES["atelier-trainer-gpu"].lock == gpu["REQUIREMENTS"]
    wanted = {f"atelier-{name}.cdx.json" for name in built} | {
        f"image-{name}.cdx.json" for name in sbom.IMAGES
    }
    assert set(bills) == wanted


def test_a_bill_has_what_is_locked_and_nothing_else(bills: dict[str, Any]) -> None:
    def packages(name: str) -> set[str]:
        return {part["purl"] for part in bills[name]["components"] if "purl" in part}

    for name in sbom.DISTRIBUTIONS:
        pins = read(ROOT / name / "requirements.lock")
        wanted = {f"pkg:pypi/{pin.name}@{pin.version}" for pin in pins if pin.name != "flit-core"}
        assert packages(f"atelier-{name}.cdx.json") == wanted
    # In an image there is one NumPy, and nothing of Windows.
    image = packages("image-atelier-serving.cdx.json")
    assert len([url for url in image if url.startswith("pkg:pypi/numpy@")]) == 1
    assert f"pkg:pypi/tensorflow@{TENSORFLOW}" in image
    assert not [url for url in image if "colorama" in url]
    assert any("nvidia" in url for url in packages("image-atelier-trainer-gpu.cdx.json"))
    assert packages("image-atelier-client.cdx.json") <= packages("image-atelier-console.cdx.json")


def test_a_bill_names_what_it_is_of_and_what_that_is_built_on(bills: dict[str, Any]) -> None:
    own = bills["atelier-client.cdx.json"]
    assert own["metadata"]["component"]["licenses"] == [{"expression": "Apache-2.0"}]
    project = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    asked = {Requirement(line).name for line in project["dependencies"]}
    [edges] = [
        e["dependsOn"] for e in own["dependencies"] if e["ref"] == own["metadata"]["component"]["bom-ref"]
    ]
    assert {url.removeprefix("pkg:pypi/").partition("@")[0] for url in edges} == asked
    image = bills["image-atelier-client.cdx.json"]
    assert image["metadata"]["component"]["type"] == "container"
    assert [p["version"] for p in image["components"] if p["type"] == "container"] == ["3.11-slim"]


def test_the_command_writes_the_same_bytes_again(tmp_path: Path, texts: dict[str, str]) -> None:
    command = [sys.executable, "-m", "deploy.supply.sbom", str(tmp_path / "sbom")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    written = {path.name: path.read_text() for path in (tmp_path / "sbom").iterdir()}
    assert written == texts
    assert len(done.stdout.splitlines()) == len(texts)


@pytest.mark.parametrize("lock", locks(), ids=lambda lock: f"{lock.parent.name}/{lock.name}")
def test_a_lock_file_is_for_every_python_and_both_processors(lock: Path) -> None:
    """Whether each pin has a file for them the index says: tests/soak/test_lock_platforms.py."""
    names = {}
    for python, machine in LINUX:
        pins = read(lock, linux(python, machine))
        assert pins
        assert len({pin.name for pin in pins}) == len(pins), "one version of a package in one environment"
        assert all(pin.hashes for pin in pins)
        names[python, machine] = {pin.name for pin in pins}
    for python in ("3.11", "3.12", "3.13"):
        # CUDA for the trainer is locked for both processors too.
        assert names[python, "x86_64"] ^ names[python, "aarch64"] <= {"intel-cmplr-lib-ur"}


class Service(BaseHTTPRequestHandler):
    """The answers of OSV's query API (https://google.github.io/osv.dev/post-v1-query/): rich 13.0.0 is vulnerable."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found: dict[str, Any] = {}
        if asked["package"]["name"] == "rich":
            affected = {
                "package": {"name": "rich", "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "13.0.1"}]}],
                "versions": ["13.0.0"],
            }
            found = {"vulns": [{"id": "PYSEC-1", "summary": "a", "details": "b", "affected": [affected]}]}
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def service() -> Iterator[list[list[str]]]:
    """The options by which pip-audit asks it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield [["--vulnerability-service=osv", f"--osv-url=http://127.0.0.1:{server.server_port}/v1/query"]]
        server.shutdown()


def lock_of(folder: Path, *pins: str) -> Path:
    """A lock file of a few packages."""
    path = folder / "requirements.lock"
    path.write_text("".join(f"{pin} \\\n    --hash=sha256:{'0' * 64}\n" for pin in pins))
    return path


def test_a_known_vulnerability_is_named_with_its_cure(
    service: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = lock_of(tmp_path, "rich==13.0.0", "pygments==2.19.1")
    assert tell(audit([lock], service)) == 1
    assert capsys.readouterr().out == f"rich 13.0.0: PYSEC-1, mended in 13.0.1 ({lock})\n"


def test_nothing_known_is_said_only_when_all_were_looked_up(
    service: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = lock_of(tmp_path, "pygments==2.19.1")
    assert tell(audit([lock], service)) == 0
    assert "No vulnerability is known of 1 locked packages." in capsys.readouterr().out
    silent = {"name": "pygments", "skip_reason": "Dependency not found"}
    assert tell(report_of([silent], [lock])) == 3
    assert "The service does not know 1 packages (pygments, ..)" in capsys.readouterr().err


def test_a_service_that_is_not_in_reach_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = [["--vulnerability-service=osv", f"--osv-url=http://127.0.0.1:{free_port()}/v1/query"]]
    assert tell(audit([lock_of(tmp_path, "rich==13.0.0")], nowhere)) == 3
    [sentence] = capsys.readouterr().err.splitlines()
    assert "no service could be asked about all of them" in sentence


def test_the_version_of_tensorflow_is_the_same_everywhere() -> None:
    """Compose gets it from stack/versions.py; documents, manifests for Kubernetes and `doctor` have to repeat it."""
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8") for name in files if name.endswith((".yaml", ".md"))
    }
    tags = {
        (name, tag)
        for name, text in texts.items()
        for tag in re.findall(r"tensorflow/serving:([^\s`]+)", text)
    }
    assert {tag for name, tag in tags if name == "README.md"} == {TENSORFLOW}
    assert {tag for name, tag in tags if name.endswith(".md")} <= {TENSORFLOW, NEXT_TENSORFLOW}
    assert tags
    for name, tag in tags:
        if name.startswith("compose"):
            assert tag.startswith("${TENSORFLOW_VERSION:?"), name
        elif name.endswith(".yaml"):
            assert tag == TENSORFLOW, name
    assert ".".join(map(str, SERVED_TENSORFLOW)) == minor(TENSORFLOW)


def test_each_set_of_locks_has_its_tensorflow_and_the_distributions_take_both() -> None:
    following = ROOT / "tests" / f"tensorflow-{minor(NEXT_TENSORFLOW)}.lock"
    for lock in locks():
        wanted = NEXT_TENSORFLOW if lock == following else TENSORFLOW
        for pin in read(lock):
            if pin.name in ("tensorflow", "tensorflow-serving-api"):
                assert pin.version == wanted, lock
    assert {"tensorflow", "tensorboard", "h5py"} <= {pin.name for pin in read(following)}
    for component in ("trainer", "serving"):
        project = tomllib.loads((ROOT / component / "pyproject.toml").read_text())["project"]
        asked = {item.name: item.specifier for item in map(Requirement, project["dependencies"])}
        for version in (TENSORFLOW, NEXT_TENSORFLOW):
            assert version in asked["tensorflow"]
            assert version in asked["tensorflow-serving-api"]
