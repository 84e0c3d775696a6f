"""The README's way to the client, walked from a new environment to an answer of a real server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.checkout import ROOT, Checkout
from tests.support.models import publish_untrained
from tests.support.server import running_server


def test_the_client_is_installed_and_the_snippet_runs_as_they_stand(
    checkout: Checkout, tmp_path: Path
) -> None:
    text = (ROOT / "README.md").read_text()
    assert "\n    pip install ./client\n" in text
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 1
    environment = tmp_path / "mine"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    install = [str(environment / "bin" / "pip"), "install", "--quiet", "./client"]
    subprocess.run(install, cwd=checkout.path, check=True)
    models = tmp_path / "models"
    publish_untrained(models)
    with running_server(models) as server:
        program = snippets[0].replace("127.0.0.1:8500", server.grpc)
        run = [environment / "bin" / "python", "-W", "error", "-c", program]
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(re.findall(r"b'[^']+'", done.stdout)) == 3
