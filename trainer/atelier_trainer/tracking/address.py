"""Where runs are tracked: the address as the user gives it, checked before anything is sent."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from atelier_trainer.errors import TrackingRefused

SQLITE = "sqlite"
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc")


def resolved(address: str, runs: Path) -> str:
    """MLflow's tracking URI. `sqlite` alone is a database in the folder of the runs. Raises `TrackingRefused`."""
    if address == SQLITE:
        return f"sqlite:///{runs.resolve() / 'mlflow.db'}"
    scheme = re.match(r"([a-z][a-z0-9-]*)(\+[a-z0-9]+)?:", address)
    if address != "databricks" and (scheme is None or scheme[1] not in _SCHEMES):
        raise TrackingRefused(
            f"{shown(address)} is no tracking address: expected http://HOST:PORT of an MLflow server, sqlite:///FILE, "
            "or sqlite for a database in the folder of the runs. MLflow keeps no runs in plain files any more."
        )
    return address


def shown(address: str) -> str:
    """The address without a password that it may hold."""
    try:
        parts = urlsplit(address)
        if not parts.password and not parts.username:
            return address
    except ValueError:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def artifact_folder(uri: str) -> str | None:
    """Where artefacts of a database on this machine go: beside it. None when the server or MLflow decides."""
    path = uri.removeprefix("sqlite:///")
    if path == uri:
        return None
    return (Path(path).resolve().parent / "mlflow-artifacts").as_uri()
