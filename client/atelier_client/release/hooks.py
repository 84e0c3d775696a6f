"""Commands of the user's at the steps of a release. Each gets the facts as JSON on its standard input."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from atelier_client.errors import ClientError

SECONDS = 300.0
_SHOWN = 400


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
            done = subprocess.run(
                list(command),
                input=json.dumps(dict(facts)),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
                cwd=self._folder,
            )
        except OSError as error:
            raise HookFailed(f"hook {name} did not start: {command[0]}: {error.strerror or error}.") from None
        except subprocess.TimeoutExpired:
            raise HookFailed(f"hook {name} took longer than {SECONDS:g} s.") from None
        for line in done.stdout.splitlines():
            self._say(f"  {line}")
        if done.returncode:
            said = done.stderr.strip()[-_SHOWN:]
            raise HookFailed(
                f"hook {name} ended with exit code {done.returncode}" + (f": {said}" if said else ".")
            )
