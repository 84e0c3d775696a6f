"""Two versions of the toy model, labelled stable and canary, and either client with its router."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from atelier_client import AsyncClient, AsyncRouter, Client, Router, ServedModel

from tests.support.server import RunningServer, await_versions, running_server
from tests.support.toy_models import save_toy

CONFIG = """model_config_list {{ config {{ name: "toy" base_path: "{folder}" model_platform: "tensorflow"
  model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
  version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }} }} }}
"""
LABELS = {"stable": 1, "canary": 2}
KINDS = [(shell, protocol) for shell in ("threads", "asyncio") for protocol in ("grpc", "rest")]


def save_toys(folder: Path) -> None:
    """Version 1 multiplies by 1, version 2 by 2."""
    for version in (1, 2):
        save_toy(folder, version=version, factor=float(version))
    (folder / "models.config").write_text(CONFIG.format(folder=folder / "toy"))


@contextlib.contextmanager
def serving_toys(folder: Path) -> Iterator[RunningServer]:
    """A server of the two versions with both labels."""
    flags = (
        f"--model_config_file={folder / 'models.config'}",
        "--allow_version_labels_for_unavailable_models=true",
    )
    with running_server(folder, *flags, model="toy") as server:
        await_versions(server, "toy", *LABELS.values())
        yield server


def relabel(server: RunningServer, folder: Path, labels: dict[str, int], versions: Any = (1, 2)) -> None:
    """Serve these versions under these labels from now on."""
    with Client(server.grpc, "toy") as client:
        client.reload([ServedModel("toy", str(folder / "toy"), versions=versions, labels=labels)])
        for version in versions:
            client.wait_ready(20, version)


@contextlib.contextmanager
def routed(
    shell: str,
    target: str,
    weights: Any = None,
    *,
    connect: Any = None,
    timeout: float = 30.0,
    **settings: Any,
) -> Iterator[Any]:
    """`predict`, `close`, `write_report` and the `router`: of `Router`, or of `AsyncRouter` on a loop of its own."""
    if shell == "threads":
        with (
            Client(target, "toy", connect=connect, timeout=timeout) as client,
            Router(client, weights, **settings) as router,
        ):
            yield SimpleNamespace(
                router=router,
                predict=router.predict,
                close=router.close,
                write_report=router.write_report,
            )
        return
    with asyncio.Runner() as runner:

        async def make() -> Any:
            client = AsyncClient(target, "toy", connect=connect, timeout=timeout)
            return client, AsyncRouter(client, weights, **settings)

        def blocking(function: Any) -> Any:
            return lambda *given, **named: runner.run(function(*given, **named))

        client, asynchronous = runner.run(make())
        try:
            yield SimpleNamespace(
                router=asynchronous,
                predict=blocking(asynchronous.predict),
                close=blocking(asynchronous.close),
                write_report=blocking(asynchronous.write_report),
            )
        finally:
            runner.run(asynchronous.close())
            runner.run(client.close())
