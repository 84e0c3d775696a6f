"""atelier-client: ask a model server, and find out how good its answers are.

atelier-client evaluate
atelier-client diff 1 2
atelier-client predict shoe.jpg
atelier-client bench --concurrency 1,4,16 --batch 1,32 --p99 20
atelier-client status --wait 60 --version 2
atelier-client metadata --target 127.0.0.1:8500 --model shoes
atelier-client release --ramp 1,10,50,100
atelier-client rollback
atelier-client history
atelier-client log requests --to requests.csv
atelier-client drift --log .atelier/requests
atelier-client doctor
"""

# argparse, and imports where they are needed: of a command that takes half a second in all, a richer command-line
# library would be a fifth. Each command has a module of its own.

from __future__ import annotations

import argparse
import errno
import signal
import sys
from collections.abc import Sequence

from atelier_client import __version__
from atelier_client._files import check_folder
from atelier_client.cli import (
    bench,
    diff,
    doctor,
    drift,
    evaluate,
    history,
    log,
    predict,
    release,
    rollback,
    status,
)
from atelier_client.cli.options import say
from atelier_client.cli.standard_streams import open_closed_streams
from atelier_client.errors import ClientError

_ROOM = " Make room there, or name another place."
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: " Name another place.",
    errno.EACCES: " Name another place, or allow this user to write there.",
}


def main() -> None:
    """The console script: exit codes as in docs/contracts.md, no stack traces for user mistakes."""
    open_closed_streams()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(run(sys.argv[1:]))
    except ClientError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        say(f"error: {_sentence(error)}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("Interrupted.")
        sys.exit(130)


def _sentence(error: OSError) -> str:
    """Which file, what is wrong with it, and what to do; as it is where no file is named."""
    if error.filename is None or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}.{_REMEDIES.get(error.errno or 0, '')}"


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. Raises `ClientError`."""
    options = _parser().parse_args(arguments)
    if "reports" in options:
        # Before the user has waited for what goes there.
        check_folder(options.reports)
    code: int = options.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("atelier-client", description=__doc__, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (evaluate, diff, predict, bench, status, release, rollback, history, log, drift, doctor):
        module.register(commands)
    return parser
