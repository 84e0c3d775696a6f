"""atelier-serving: the embedded server. Its flags are TensorFlow Serving's own; `--help` lists them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from atelier_serving import __version__, log
from atelier_serving.flags import Flags, parse, usage, validated
from atelier_serving.log import printable
from atelier_serving.quiet import silence_first_session, silence_startup
from atelier_serving.standard_streams import open_closed_streams
from atelier_serving.status import Code, ServingError
from atelier_serving.workers.supervisor import Supervisor

# TensorFlow Serving exits with -1 when it cannot start (model_servers/main.cc:343-346).
_CANNOT_START = 255


def main() -> None:
    """The console script."""
    open_closed_streams()
    arguments = sys.argv[1:]
    try:
        if "--help" in arguments:
            print(usage(), flush=True)
            return
        flags = parse(arguments)
        if flags.version:
            print(f"atelier-serving {__version__} (TensorFlow Serving 2.20 API)", flush=True)
            return
        validated(flags)
        log.configure(flags.log_format)
        if flags.workers > 1:
            Supervisor(flags).run()
        else:
            _serve(flags)
    except (ServingError, OSError) as error:
        failure = error if isinstance(error, ServingError) else ServingError(Code.UNAVAILABLE, str(error))
        # What cannot be printed (a full disk behind stdout) is no reason for a stack trace.
        with contextlib.suppress(OSError):
            print(f"Failed to start server. Error: {printable(str(failure))}", flush=True)
        # Threads may still try to load versions. There is no reason to wait for them.
        os._exit(_CANNOT_START)


def _serve(flags: Flags) -> None:
    silence_startup()
    # Imported here, because `--help` and errors in flags need no TensorFlow.
    from atelier_serving.models.servable import session_config
    from atelier_serving.server import Server

    silence_first_session(session_config(flags))
    server = Server(flags)
    signals = []

    def on_signal(number: int, frame: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            os._exit(128 + number)
        server.stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    server.run()
    sys.stdout.flush()
    # The process ends without closing its sessions: an orderly end of TensorFlow takes longer than the drain.
    os._exit(0)
