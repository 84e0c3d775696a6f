"""The console script `atelier-client`, run as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).parent / "atelier-client")


def command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    options = {"env": os.environ, **options}
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False, **options
    )


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command, its output and errors in pipes."""
    return subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
