"""`--engine ray`: the work is done by several processes, of this machine or of a Ray cluster."""

from __future__ import annotations

import argparse

from atelier_client.errors import InputError


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare which engine does the work, and where."""
    group = command.add_argument_group("several processes")
    group.add_argument(
        "--engine",
        choices=("plain", "ray"),
        default="plain",
        help="plain: this process; ray: actors of Ray, to which Ray Data hands out row groups of Parquet, or parts of "
        "CSV, TFRecord or a folder of images (pip install 'atelier-client[ray]') (default: %(default)s)",
    )
    group.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="the head of a Ray cluster, whose machines all reach the files and the target by the same names (default: "
        "Ray is started on this machine, and ends with the command)",
    )
    group.add_argument(
        "--actors", type=int, metavar="N", help="so many processes ask (default: one for each CPU)"
    )


def by_ray(options: argparse.Namespace) -> bool:
    """True for `--engine ray`.

    Raises `InputError` for options that do not go with the engine, and `SettingsError` where Ray is not installed.
    """
    if options.engine == "ray":
        if options.actors is not None and options.actors < 1:
            raise InputError(f"--actors {options.actors}: expected 1 or more.")
        # Most commands need none of it.
        from atelier_client.distributed.cluster import require_ray

        require_ray()
        return True
    for name in ("ray_address", "actors"):
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} is for --engine ray; the engine is {options.engine}."
            )
    return False
