"""`python3 -m stack COMMAND`: what the Makefile's targets run. Settings come from the environment (see `make help`)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from stack import loop, venv
from stack.console import Terminated, note
from stack.errors import StackError
from stack.settings import Settings, read_settings

COMMANDS: dict[str, Callable[[Settings], None]] = {
    "up": loop.up,
    "evaluate": loop.evaluate,
    "study": loop.study,
    "predict": loop.predict,
    "logs": loop.logs,
    "ps": loop.ps,
    "down": loop.down,
    "clean": loop.clean,
    "venv": lambda settings: note(f"Ready: {venv.ensure(settings.root, tests=True)}"),
}


def main() -> int:
    """Run one command; return the exit code. A user's mistake is one message, never a stack trace."""
    parser = argparse.ArgumentParser(prog="python3 -m stack", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_args().command
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        COMMANDS[command](read_settings(Path(__file__).resolve().parent.parent, os.environ))
    except StackError as error:
        if str(error):
            print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nInterrupted. `make ps` shows what runs; `make up` goes on from here.", file=sys.stderr)
        return 130
    return 0


def _interrupt(signum: int, frame: object) -> None:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
