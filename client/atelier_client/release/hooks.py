"""Commands of the user's at the steps of a release. Each gets the facts as JSON on its standard input."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from atelier_client.errors import ClientError

SECONDS = 300.0
_SHOWN = 400
_SHOWN_OUTPUT = 10_000


class HookFailed(ClientError):
    """A hook did not start, took too long, or ended with another exit code than 0."""


class Hooks:
    """Commands by the name of the step. They run in the folder of the rules `gate`, without one where the caller is."""

    def __init__(
        self, commands: Mapping[str, Sequence[str]], say: Callable[[str], None], gate: Path | None = None
    ) -> None:
        self._commands = commands
        self._say = say
        self._folder = gate.parent.resolve() if gate else None

    def run(self, name: str, facts: Mapping[str, Any]) -> None:
        """Run the command of a step, if there is one. Raises `HookFailed`."""
        command = self._commands.get(name)
        if not command:
            return
        self._say(f"Hook {name}: {' '.join(command)}")
        try:
            code, output, complaint = _run(command, json.dumps(dict(facts)).encode(), self._folder)
        except OSError as error:
            raise HookFailed(f"hook {name} did not start: {command[0]}: {error.strerror or error}.") from None
        except subprocess.TimeoutExpired:
            raise HookFailed(f"hook {name} took longer than {SECONDS:g} s.") from None
        if len(output) > _SHOWN_OUTPUT:
            self._say(f"  (the first {len(output) - _SHOWN_OUTPUT:,} characters of its output are left out)")
        for line in output[-_SHOWN_OUTPUT:].splitlines():
            self._say(f"  {line}")
        if code:
            said = complaint.strip()[-_SHOWN:]
            raise HookFailed(f"hook {name} ended with exit code {code}" + (f": {said}" if said else "."))

    def labels_moved(self, model: str, labels: Mapping[str, int]) -> None:
        """Run `after_labels` with the version by label; what fails is said, and stops nothing."""
        try:
            self.run("after_labels", {"event": "after_labels", "model": model, "labels": dict(labels)})
        except HookFailed as failure:
            self._say(f"warning: {failure}")


def _run(command: Sequence[str], given: bytes, folder: Path | None) -> tuple[int, str, str]:
    """Run a command; return its exit code and what it wrote. Raises `OSError` and `subprocess.TimeoutExpired`.

    It writes to files: a pipe ends only with the last process that a hook has left in the background.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaint:
        done = subprocess.run(
            list(command),
            input=given,
            stdout=output,
            stderr=complaint,
            timeout=SECONDS,
            check=False,
            cwd=folder,
        )
        texts = []
        for file in (output, complaint):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return done.returncode, texts[0], texts[1]
