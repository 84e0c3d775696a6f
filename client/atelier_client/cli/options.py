"""What the commands share: how a command is declared, the options of every command, the connection they describe."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atelier_client._printable import printable
from atelier_client.cli.standard_streams import drop
from atelier_client.client import Client
from atelier_client.errors import InvalidRequest, NotSupported, SettingsError
from atelier_client.tls import TLS

Run = Callable[[argparse.Namespace], int]


def add_command(
    commands: Any,
    name: str,
    run: Run,
    text: str,
    *examples: str,
    version: bool = True,
    label: bool = True,
    server: bool = True,
) -> argparse.ArgumentParser:
    """Declare a command with the options every command has.

    `version=False` is for one that names its versions otherwise, `label=False` for one that cannot ask by label,
    `server=False` for one that asks no server.
    """
    lines = "\n  ".join(examples)
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"Example: {lines}" if len(examples) == 1 else f"Examples:\n  {lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run, command=name)
    environ = os.environ
    command.add_argument("--json", action="store_true", help="one JSON document on stdout")
    command.add_argument(
        "--model",
        default=environ.get("ATELIER_MODEL") or None,
        help="the model [ATELIER_MODEL] (default: the only one that models.config lists)",
    )
    if not server:
        return command
    command.add_argument(
        "--target",
        default=environ.get("ATELIER_TARGET", "127.0.0.1:8500"),
        help="HOST:PORT, unix:/PATH or http(s)://HOST:PORT (REST); v2+grpc://HOST:PORT or v2+http(s)://HOST:PORT for "
        "the Open Inference Protocol; replicas with commas between [ATELIER_TARGET] (default: 127.0.0.1:8500)",
    )
    if version:
        which = command.add_mutually_exclusive_group()
        which.add_argument(
            "--version", type=int, help="this version (default: that of the label stable, or the newest)"
        )
        if label:
            which.add_argument("--label", help="the version of this label")
    command.add_argument(
        "--timeout", type=float, default=30.0, help="seconds a request may take (default: %(default)s)"
    )
    secure = command.add_argument_group(
        "encryption", "A token in ATELIER_TOKEN is sent with every request (TLS, or this machine, only)."
    )
    secure.add_argument("--tls", action="store_true", help="encrypt; implied by the following")
    secure.add_argument("--ca", type=Path, metavar="FILE", help="PEM of the authority to trust")
    secure.add_argument(
        "--cert", type=Path, metavar="FILE", help="PEM of the client's certificate (mutual TLS)"
    )
    secure.add_argument("--key", type=Path, metavar="FILE", help="PEM of its key")
    secure.add_argument("--server-name", metavar="NAME", help="the name in the server's certificate")
    return command


def add_folder(command: argparse.ArgumentParser, name: str, text: str) -> None:
    """A folder option with its environment variable: `--models` and ATELIER_MODELS."""
    variable = f"ATELIER_{name.upper()}"
    default = Path(os.environ.get(variable, name))
    command.add_argument(
        f"--{name}", type=Path, default=default, help=f"{text} [{variable}] (default: {name})"
    )


def models_folder(options: argparse.Namespace) -> Path:
    """The model repository: the command's option, or for a command without one the environment's."""
    return getattr(options, "models", None) or Path(os.environ.get("ATELIER_MODELS", "models"))


def choose_model(options: argparse.Namespace) -> None:
    """Set `options.model`, when it was not given, to the only model of models.config. Raises `SettingsError`."""
    if options.model:
        return
    from atelier_client.model_config import read_config

    folder = models_folder(options)
    config = read_config(folder)
    names = [entry.name for entry in config.model_config_list.config] if config else []
    if len(names) != 1:
        known = f"{folder / 'models.config'} lists {', '.join(names)}" if names else f"{folder} lists none"
        raise SettingsError(
            f"Which model is asked is not known: {known}. Give --model NAME (or ATELIER_MODEL)."
        )
    options.model = names[0]
    say(f"Model {names[0]}, the only one that {folder / 'models.config'} lists.")


def connect(options: argparse.Namespace) -> Client:
    """The client the options describe; use it as a context manager."""
    choose_model(options)
    return Client(options.target, options.model, **connection(options))


def each_server(options: argparse.Namespace) -> list[str]:
    """The targets, a name with several addresses as so many: for what is asked of each server by itself.

    A certificate is for the name, not for the addresses: with TLS `options.server_name` is set to it.
    """
    from atelier_client._targets import parse_targets
    from atelier_client.transports.addresses import each_address

    found: list[str] = []
    for target in parse_targets(options.target):
        addresses = each_address(target.address)
        if len(addresses) > 1 and (options.tls or options.ca or options.cert) and not options.server_name:
            options.server_name = target.address.rpartition(":")[0].rpartition("/")[2].removeprefix("dns:")
        found += addresses
    return found


def version_asked(options: argparse.Namespace, client: Client) -> int:
    """The number of the version that --version or --label names; by default of `stable`, else the newest one.

    A server answers requests without a version with its newest one, which may be a candidate that is being released.
    """
    if options.version is not None:
        return int(options.version)
    if options.label:
        return client.version_of(options.label)
    try:
        return client.version_of("stable")
    except NotSupported as error:
        newest = client.newest_available()
        say(f"{error} The newest version is asked, {newest}.")
        return newest
    except InvalidRequest:
        return client.newest_available()


def connection(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of `Client` or `AsyncClient` that the options describe."""
    files = (options.ca, options.cert, options.key, options.server_name)
    tls = TLS(*files) if any(files) else options.tls
    return {"timeout": options.timeout, "tls": tls, "token": os.environ.get("ATELIER_TOKEN") or None}


def say(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except BrokenPipeError:
        # Nobody reads it any more (`2>&1 | head`), which is no reason to stop the work.
        drop(2)


def status_line(text: str, number: int | None = None) -> None:
    """One line on a terminal, overwritten each time; nothing in a log."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{printable(text)}{'' if number is None else f' {number}'}")
        sys.stderr.flush()
