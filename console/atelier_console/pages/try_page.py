"""The page Try, and the questions of its script."""

from __future__ import annotations

from typing import Any

from atelier_client._layout import Layout
from atelier_client.errors import ClientError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from atelier_console.feedback.save import save
from atelier_console.inputs.skeleton import skeleton
from atelier_console.models.served_model import STABLE, ServedModel
from atelier_console.pages.console import console_of
from atelier_console.texts import say
from atelier_console.trying.answer import TOP
from atelier_console.trying.attempt import attempt, shown
from atelier_console.web.bodies import read_json


async def start(request: Request) -> Response:
    """The address without a path."""
    return RedirectResponse("/try", 303)


def show(request: Request) -> Response:
    """The page. A server that is away is said on it; what the model repository knows is there all the same."""
    console = console_of(request)
    model = console.catalog.model(request.query_params.get("model"))
    problem, version, signatures = None, None, {}
    try:
        version = model.asked()[0].version
        signatures = dict(model.signatures(version))
    except ClientError as error:
        problem = str(error)
    values = _known(model, version)
    classes = values["classes"]
    return console.templates.page(
        "try.html.j2",
        page="/try",
        title=say("try_title", model=model.name),
        names=console.catalog.names(),
        model=model.name,
        problem=values.pop("problem") or problem,
        version=version,
        signatures={name: skeleton(signature) for name, signature in signatures.items()},
        bars=min(TOP, len(classes)) if classes else 0 if values["regression"] else TOP,
        stable=STABLE,
        feedback=console.settings.feedback,
        **values,
    )


def _known(model: ServedModel, version: int | None) -> dict[str, Any]:
    """What the repository says of the version: its kind, its classes, its columns; and what is wrong with that."""
    values: dict[str, Any] = {
        "kind": "json",
        "classes": (),
        "columns": [],
        "size": None,
        "problem": None,
        "regression": False,
    }
    if version is None:
        return values
    try:
        card = model.card(version)
        values["kind"] = model.kind(version)
        if card is not None:
            values |= {
                "classes": card.class_names,
                "regression": card.task == "regression",
                "columns": _columns(card.layout),
                "size": card.layout.shape,
            }
    except ClientError as error:
        values["problem"] = str(error)
    return values


def _columns(layout: Layout) -> list[dict[str, Any]]:
    """The form's fields: name, kind (number or category) and whether the cell may be empty."""
    if layout.kind != "table":
        return []
    return [
        {
            "name": name,
            "kind": layout.kinds.get(name, "number"),
            "missing": bool(layout.kinds) and bool(layout.missing),
        }
        for name in layout.columns
    ]


def examples(request: Request) -> Response:
    """Ten test examples: number, label, and a picture, a text or a row of cells to show."""
    model = console_of(request).catalog.model(request.path_params["model"])
    found = [
        {
            "number": example.number,
            "name": say("example_name", number=example.number, label=example.label),
            "label": example.label,
            "picture": shown(example.picture) if example.picture else None,
            "text": example.text,
            "row": example.row,
        }
        for example in model.examples(model.asked()[0].version)
    ]
    return JSONResponse({"examples": found})


async def feedback(request: Request) -> Response:
    """Save an example with its right label."""
    console = console_of(request)
    given = await read_json(request)
    model = await run_in_threadpool(console.catalog.model, request.path_params["model"])
    sentence = await run_in_threadpool(save, console.settings, model, given)
    return JSONResponse({"saved": sentence})


async def ask(request: Request) -> Response:
    """Answer a try."""
    console = console_of(request)
    given = await read_json(request)
    model = await run_in_threadpool(console.catalog.model, request.path_params["model"])
    return JSONResponse(await run_in_threadpool(attempt, console.settings, model, given))
