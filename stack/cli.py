"""The command line: one command a run, settings from the environment (see `make help`)."""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from stack import clean, loop, model_image, replicas, service
from stack.console import note
from stack.engines import development
from stack.errors import StackError
from stack.settings import Settings, read_settings

COMMANDS: dict[str, Callable[[Settings], None]] = {
    "up": loop.up,
    "evaluate": service.evaluate,
    "study": loop.study,
    "predict": service.predict,
    "drift": service.drift,
    "release": service.release,
    "rollback": service.rollback,
    "history": service.history,
    "restart": replicas.restart,
    "logs": service.logs,
    "ps": service.ps,
    "down": service.down,
    "clean": clean.clean,
    "image": model_image.image,
    "venv": lambda settings: note(f"Ready: {development.ensure(settings)}"),
}


def main() -> int:
    """Run one command; return the exit code. A user's mistake is one message, never a stack trace."""
    _open_standard_streams()
    parser = argparse.ArgumentParser(prog="python3 -m stack", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_args().command
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Under `nohup` SIGHUP is ignored, and stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        COMMANDS[command](read_settings(Path(__file__).resolve().parent.parent, os.environ))
        sys.stdout.flush()
    except StackError as error:
        if str(error):
            print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nInterrupted. `make ps` shows what runs; `make up` goes on from here.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has stopped reading, as in `make logs | head`. With stdout on the null device Python can
        # flush it at exit without an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        print(f"error: {_explain(error)}", file=sys.stderr)
        return 1
    return 0


def _explain(error: OSError) -> str:
    """A sentence for a file that could not be read or written: which, why, and what to do."""
    name = f"{error.filename}: " if error.filename else ""
    advice = {
        errno.EROFS: " make works in the checkout's folder: copy it to a place that can be written.",
        errno.EACCES: " make works in the checkout's folder: it must belong to you.",
        errno.EPERM: " make works in the checkout's folder: it must belong to you.",
        errno.ENOSPC: " Make room on that disk; the same command then goes on.",
        errno.EDQUOT: " Make room within your quota; the same command then goes on.",
    }
    return f"{name}{error.strerror or error}.{advice.get(error.errno or 0, '')}"


def _open_standard_streams() -> None:
    """Open the null device for each standard stream that is closed. Else the next file opened would get its number.

    Under make that has happened to a closed stderr already: the number belongs to a file of make's, open for reading.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            usable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE in (mode, os.O_RDWR)
        except OSError:
            usable = False
        if not usable:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, descriptor)
            if null != descriptor:
                os.close(null)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
