"""Ray: a cluster that runs already, or a local one for as long as the work takes."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from atelier_client.errors import ClientError, SettingsError

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")
_CONNECT_SECONDS = 5.0
_NO_PROGRESS_SECONDS = 6 * 3600.0
# What passes through Ray are the counts of parts, some at a time; Ray itself would take a third of the memory.
_OBJECT_STORE_BYTES = 256 << 20
# Read by Ray when it is imported, and by the processes that it starts.
_ENVIRON = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Its C++ prints to stderr what is no matter of the user; what fails raises an error as well.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_LOCAL = {
    # By this variable, made for systems whose firewall asks about every port, Ray listens on the loopback address.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Other users of the machine cannot join; without the variable Ray would write a token into the home folder.
    "RAY_AUTH_MODE": "token",
    # A busy machine may start a process slowly.
    "RAY_gcs_server_port_wait_time_s": "120",
}


@contextlib.contextmanager
def connected(address: str | None, actors: int | None) -> Iterator[int]:
    """Be connected to a Ray until the block ends; gives how many actors it has room for.

    `address` is the HOST:PORT of a cluster's head; None starts a Ray on this machine, which listens on the loopback
    address and ends with the block. A Ray that this process is connected to already is used as it is. `actors` is how
    many are wanted, None for one a CPU. Raises `SettingsError`.
    """
    if address is not None:
        _require_answer(address)
    for name, value in (_ENVIRON | ({} if address else _LOCAL)).items():
        os.environ.setdefault(name, value)
    if address is None and os.environ["RAY_AUTH_MODE"] == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    ray = _imported()
    if ray.is_initialized():
        with contextlib.redirect_stdout(sys.stderr):
            yield _room(ray, actors)
        return
    folder = None if address else tempfile.mkdtemp(prefix="atelier-ray-")
    try:
        _connect(ray, address, actors, folder)
        # Ray prints what died to stdout, whatever it is told; a command's stdout is its document.
        with contextlib.redirect_stdout(sys.stderr):
            yield _room(ray, actors)
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def require_ray() -> None:
    """Raises `SettingsError` where Ray is not installed; it is not imported, which takes seconds."""
    with contextlib.suppress(ImportError):
        if importlib.util.find_spec("ray") and importlib.util.find_spec("pyarrow"):
            return
    raise SettingsError(
        "--engine ray needs Ray Data, which is not installed: pip install 'atelier-client[ray]'."
    )


def _imported() -> Any:
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A large part of a slow model takes its time; that servers answer and actors live is looked after in the actors.
    context.execution_no_progress_timeout_s = _NO_PROGRESS_SECONDS
    return ray


def _connect(ray: Any, address: str | None, actors: int | None, folder: str | None) -> None:
    settings: dict[str, Any] = {"address": address}
    if address is None:
        settings = {
            "address": "local",
            "num_cpus": actors,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_temp_dir": folder,
        }
    try:
        with _quiet_stderr():
            ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        where = f"The Ray cluster at {address} cannot be used" if address else "Ray could not be started here"
        raise SettingsError(
            f"{where}: {reason} "
            + (
                "The command runs on a machine of the cluster (`ray start --address`), with the cluster's versions of "
                "Ray and Python."
                if address
                else "A cluster that runs already: --ray-address HOST:PORT."
            )
        ) from None


def _room(ray: Any, actors: int | None) -> int:
    room = int(ray.cluster_resources().get("CPU", 0))
    if not 0 < (actors or 1) <= room:
        raise SettingsError(f"--actors {actors or 1}: each takes a CPU, and the Ray cluster has {room}.")
    return actors or room


def _require_answer(address: str) -> None:
    match = _HOST_PORT.fullmatch(address)
    if not match or not 0 < int(match[2]) < 65536:
        raise SettingsError(
            f"--ray-address {address}: expected HOST:PORT of a Ray cluster's head, such as 10.0.0.5:6379."
        )
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), _CONNECT_SECONDS).close()
    except OSError as error:
        raise SettingsError(
            f"No Ray cluster answers at {address} ({error}). The address is the one that `ray start --head` printed; "
            "leave --ray-address out to use this machine alone."
        ) from None


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Without what C++ code writes to the file of stderr."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def failure(error: Exception) -> ClientError:
    """What Ray raised while the work was done, as an error for the user."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return ClientError(f"Ray ended the work: {lines[-1].strip() if lines else type(error).__name__}")
