"""The page Models: versions, cards, releases, reports; and two versions side by side."""

from __future__ import annotations

import json
from typing import Any

from atelier_client.release.record import Record
from starlette.requests import Request
from starlette.responses import Response

from atelier_console.models import comparison, history, reports
from atelier_console.models.versions import Overview, VersionRow, overview
from atelier_console.pages.console import console_of
from atelier_console.problems import NotFound, Problem
from atelier_console.texts import say

# A report is one file with its style and pictures within; it has no script, and gets none.
_REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def show(request: Request) -> Response:
    """All versions of a model."""
    console = console_of(request)
    settings = console.settings
    model = console.catalog.model(request.query_params.get("model"))
    found = overview(settings, model)
    damaged: list[str] = []
    entries = Record(settings.models, damaged.append).entries(model.name)
    return console.templates.page(
        "models.html.j2",
        page="/models",
        title=say("models_title", model=model.name),
        names=console.catalog.names(),
        model=model.name,
        problems=[*([found.problem] if found.problem else []), *damaged],
        rows=found.rows,
        card_json=_card_json,
        entries=entries[::-1],
        reports=reports.links(settings.reports),
        plot=(history.WIDTH, history.HEIGHT),
    )


def compare(request: Request) -> Response:
    """Two versions side by side: `a` and `b` of the query."""
    console = console_of(request)
    model = console.catalog.model(request.query_params.get("model"))
    found = overview(console.settings, model)
    first, second = (_named(found, request.query_params.get(name), name) for name in ("a", "b"))
    return console.templates.page(
        "compare.html.j2",
        page="/models",
        title=say("compare_title", model=model.name, first=first.number, second=second.number),
        model=model.name,
        problem=found.problem,
        first=first,
        second=second,
        metrics=comparison.metric_pairs(first, second),
        keys=comparison.differing_keys(first, second),
        plot=(history.WIDTH, history.HEIGHT),
    )


def report(request: Request) -> Response:
    """A report that a command has written."""
    page = reports.read(console_of(request).settings.reports, request.path_params["name"])
    return Response(page, media_type="text/html", headers={"content-security-policy": _REPORT_POLICY})


def _named(found: Overview, text: str | None, name: str) -> VersionRow:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 19:
        raise Problem(say("no_number", name=name, text=text or ""))
    row = found.row(int(text))
    if row is None:
        raise NotFound(
            say("no_version", version=text, versions=", ".join(str(row.number) for row in found.rows))
        )
    return row


def _card_json(row: VersionRow) -> str:
    document: Any = row.card.document if row.card else {}
    return json.dumps(document, indent=1, ensure_ascii=False)
