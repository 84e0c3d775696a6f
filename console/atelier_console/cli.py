"""atelier-console: a page to try a served model, to see its versions and releases, and to watch it.

atelier-console
atelier-console --target 127.0.0.1:8500 --models models --data data
atelier-console --host 0.0.0.0 --token "$(openssl rand -hex 16)"
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from atelier_client._files import check_folder
from atelier_client._targets import parse_targets
from atelier_client.cli.options import add_folder, say
from atelier_client.cli.standard_streams import open_closed_streams
from atelier_client.errors import ClientError, SettingsError

from atelier_console import __version__
from atelier_console.settings import Settings, guess_rest

_FOLDERS = {
    "models": "the model repository: names, cards and releases",
    "data": "the data folder, for test examples",
    "reports": "reports to link to, and drift.json",
    "runs": "the trainer's runs, for histories",
    "feedback": "where examples with their right labels are saved",
}


def main() -> None:
    """The console script: exit codes as in docs/contracts.md, no stack traces for user mistakes."""
    open_closed_streams()
    signal.signal(signal.SIGTERM, _end)
    try:
        sys.exit(run(sys.argv[1:]))
    except ClientError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("Interrupted.")
        sys.exit(130)


def run(arguments: Sequence[str]) -> int:
    """Answer until interrupted. Raises `ClientError`, and `OSError` when the port is taken."""
    settings = read_settings(arguments)
    with _listening(settings) as sock:
        # Starlette, numpy and Pillow take half a second: a wrong option is said before.
        from atelier_console.server import serve

        serve(settings, sock)
    return 0


def read_settings(arguments: Sequence[str]) -> Settings:
    """The settings of a command line; what is guessed is said. Raises `SettingsError`."""
    options = _parser().parse_args(arguments)
    parse_targets(options.target)
    rest = options.rest
    if rest is None:
        rest, guessed = guess_rest(options.target)
        if guessed:
            say(guessed)
    elif not rest.startswith(("http://", "https://")):
        raise SettingsError(f"--rest {rest}: expected http://HOST:PORT or https://HOST:PORT.")
    else:
        parse_targets(rest)
    settings = Settings(
        host=options.host,
        port=options.port,
        target=options.target,
        rest=rest.rstrip("/"),
        shown_target=options.shown_target or options.target,
        shown_rest=(options.shown_rest or rest.split(",")[0]).rstrip("/"),
        model=options.model,
        token=options.token,
        server_token=os.environ.get("ATELIER_TOKEN") or None,
        record=Path(options.record).absolute() if options.record else None,
        **{name: getattr(options, name).absolute() for name in _FOLDERS},
    )
    for folder in settings.folders.values():
        check_folder(folder)
    if not settings.models.exists():
        say(
            f"There is no folder {settings.models} yet: models are shown as soon as it is there. Train one (make up), "
            "or name another model repository (--models DIR)."
        )
    return settings


def _parser() -> argparse.ArgumentParser:
    environ = os.environ
    parser = argparse.ArgumentParser(
        "atelier-console", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; others than this machine's need a token (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=8600, help="0 takes any free one (default: %(default)s)")
    parser.add_argument(
        "--target",
        default=environ.get("ATELIER_TARGET") or "127.0.0.1:8500",
        help="the model server: HOST:PORT (gRPC) or http(s)://HOST:PORT (REST) [ATELIER_TARGET] "
        "(default: 127.0.0.1:8500)",
    )
    parser.add_argument(
        "--rest",
        metavar="URL",
        help="its REST address, for its metrics and the lines for curl; several servers' with commas between (default: "
        "guessed from --target, which is said)",
    )
    parser.add_argument(
        "--shown-target",
        metavar="TARGET",
        default=environ.get("ATELIER_SHOWN_TARGET") or None,
        help="--target in the lines to copy, where readers reach the server by another address (containers) "
        "[ATELIER_SHOWN_TARGET]",
    )
    parser.add_argument(
        "--shown-rest",
        metavar="URL",
        default=environ.get("ATELIER_SHOWN_REST") or None,
        help="--rest in the lines to copy [ATELIER_SHOWN_REST]",
    )
    parser.add_argument(
        "--model",
        default=environ.get("ATELIER_MODEL") or None,
        help="a model that models.config does not list [ATELIER_MODEL]",
    )
    for name, text in _FOLDERS.items():
        add_folder(parser, name, text)
    parser.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        default=environ.get("ATELIER_RECORD") or None,
        help="keep what the console asks in a request log, for a server that keeps none (TensorFlow Serving) "
        "[ATELIER_RECORD]",
    )
    parser.add_argument(
        "--token",
        default=environ.get("ATELIER_CONSOLE_TOKEN") or None,
        help="whoever asks must know it [ATELIER_CONSOLE_TOKEN] (default: none, for this machine alone)",
    )
    return parser


def _listening(settings: Settings) -> socket.socket:
    """A socket that listens. Raises `OSError` that names the address, and `SettingsError` for one that is none."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
    except socket.gaierror as error:
        raise SettingsError(f"--host {settings.host} is no address: {error.strerror}.") from None
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.host, settings.port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise OSError(
            error.errno,
            f"{error.strerror}: cannot listen on {settings.host}:{settings.port}. Give another port (--port N)",
        ) from None
    return sock


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    main()
