"""One of several server processes: a whole server on shared ports, with a channel to its supervisor.

supervisor.py runs it as `python -m atelier_serving.worker FD FLAGS...`. FD is the worker's end of the channel.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from atelier_serving import log
from atelier_serving.drain import STOP_SECONDS
from atelier_serving.flags import parse
from atelier_serving.quiet import silence_first_session, silence_startup
from atelier_serving.status import Code, ServingError
from atelier_serving.workers.channel import Channel

if TYPE_CHECKING:
    from atelier_serving.server import Server

_TELL_SECONDS = 2.0
_CANNOT_START = 255


def main() -> None:
    """Serve until the channel ends, because the supervisor has closed it or has died."""
    servers: list[Server] = []

    def stop() -> None:
        if not servers:
            os._exit(0)
        # A worker must not live longer than its supervisor. So it ends after this time, also when it cannot drain.
        last = threading.Timer(STOP_SECONDS, os._exit, [1])
        last.daemon = True
        last.start()
        servers[0].stop()

    channel = Channel(socket.socket(fileno=int(sys.argv[1])), {}, stop)
    flags = parse(sys.argv[2:])
    log.configure(flags.log_format)
    silence_startup()
    from atelier_serving.models.servable import session_config
    from atelier_serving.server import Server

    silence_first_session(session_config(flags))
    try:
        server = Server(flags, channel)
        servers.append(server)
        # Only the supervisor counts signals.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: server.stop())
        server.run()
    except (ServingError, OSError) as error:
        failure = error if isinstance(error, ServingError) else ServingError(Code.UNAVAILABLE, str(error))
        with contextlib.suppress(TimeoutError):
            channel.ask("failed", failure.code, failure.message).exception(_TELL_SECONDS)
        os._exit(_CANNOT_START)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
