"""The dashboard as a whole: its variables, the releases, its rows."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from deploy.observe.dashboard.annotation import Annotation
from deploy.observe.dashboard.panels import MODEL, SOURCE, rows

FILE = Path(__file__).parents[1] / "grafana" / "dashboards" / "atelier.json"


def build() -> models.Dashboard:
    """The dashboard."""
    board = (
        Dashboard("Atelier")
        .uid("atelier")
        .description("What is served: traffic, latency, batches, versions, drift.")
        .tags(["atelier", "tensorflow-serving"])
        .readonly()
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            QueryVariable("model")
            .label("Model")
            .datasource(SOURCE)
            .query("label_values(:tensorflow:serving:request_count, model_name)")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
        .annotation(
            Annotation(
                "Releases",
                "green",
                f'atelier_release_event_timestamp_seconds{{{MODEL},event!="gated"}}',
                "{{model_name}} {{to_version}}: {{event}}",
            )
        )
        .annotation(
            Annotation(
                "Gate",
                "blue",
                f'atelier_release_event_timestamp_seconds{{{MODEL},event="gated"}}',
                "{{model_name}} {{to_version}}: {{verdict}}",
            )
        )
    )
    for title, panels in rows().items():
        board.with_row(Row(title))
        for panel in panels:
            board.with_panel(panel)
    built = board.build()
    for number, item in enumerate(built.panels or (), start=1):
        # Grafana knows a panel by its number, and each of its questions by a letter.
        item.id_val = number
        for letter, target in zip(ascii_uppercase, getattr(item, "targets", None) or (), strict=False):
            target.ref_id = letter
    return built


def text(board: models.Dashboard) -> str:
    """The dashboard's JSON."""
    return JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False).encode(board) + "\n"
