"""The panels, row by row, each with its questions to Prometheus."""

from __future__ import annotations

from grafana_foundation_sdk.builders.common import StackingConfig, VizLegendOptions
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, StackingMode

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
MODEL = 'model_name=~"$model"'
RATE = "[$__rate_interval]"
BATCHING = ":tensorflow:serving:batching_session:"
EMBEDDED = "The embedded server only."
# A panel's width and height in Grafana's grid, which is 24 wide.
WIDTH, HEIGHT = 8, 8


def rows() -> dict[str, list[Panel]]:
    """The panels, by the title of their row."""
    return {"Traffic": traffic(), "Latency": latency(), "Batches": batches(), "Models": versions()}


def traffic() -> list[Panel]:
    """How much is asked, of whom, and how it ends."""
    labelled = f"rate(atelier_label_request_count{{{MODEL}}}{RATE})"
    return [
        panel("Requests by status", "reqps", "Both servers.").with_target(
            query(f"sum by (status) (rate(:tensorflow:serving:request_count{{{MODEL}}}{RATE}))", "{{status}}")
        ),
        panel("Share of traffic by label", "percentunit", f"By the label that requests ask by. {EMBEDDED}")
        .max(1)
        .stacking(StackingConfig().mode(StackingMode.NORMAL))
        .fill_opacity(30)
        .with_target(
            query(
                f'label_replace(sum by (label) ({labelled}) / on () group_left () sum({labelled}), "label", "no label",'
                ' "label", "")',
                "{{label}}",
            )
        ),
        panel("Alarms", "short", "Alarms that wait to fire, or fire.").with_target(
            query("sum by (alertname, alertstate) (ALERTS)", "{{alertname}} {{alertstate}}")
        ),
    ]


def latency() -> list[Panel]:
    """How long an answer takes, and where."""
    own, whole = "atelier_request_seconds_bucket", ":tensorflow:serving:request_latency_bucket"
    both = panel("Latency", "µs", "Both servers; requests that succeed.")
    versioned = panel("Latency by version", "s", EMBEDDED)
    for share in (0.5, 0.9, 0.99):
        name = f"p{share * 100:.0f}"
        both.with_target(
            query(f"histogram_quantile({share}, sum by (le) (rate({whole}{{{MODEL}}}{RATE})))", name)
        )
        versioned.with_target(
            query(
                f"histogram_quantile({share}, sum by (le, model_name, model_version) "
                f'(rate({own}{{{MODEL},status="OK"}}{RATE})))',
                f"{name} {{{{model_name}}}} {{{{model_version}}}}",
            )
        )
    stages = f"rate(atelier_stage_seconds_sum{{{MODEL}}}{RATE})"
    requests = f'rate(atelier_stage_seconds_count{{{MODEL},stage="run"}}{RATE})'
    runtime = ":tensorflow:serving:runtime_latency"
    return [
        both,
        versioned,
        panel(
            "Stages of a request",
            "s",
            f"Mean time: wait for a thread, queue for a batch, run of the session, the rest. {EMBEDDED} "
            "TensorFlow Serving's runtime latency is queue and run together.",
        )
        .with_target(query(f"sum by (stage) ({stages}) / on () group_left () sum({requests})", "{{stage}}"))
        .with_target(
            query(
                f"sum(rate({runtime}_sum{{{MODEL}}}{RATE})) / sum(rate({runtime}_count{{{MODEL}}}{RATE})) / 1e6",
                "runtime latency",
            )
        ),
    ]


def batches() -> list[Panel]:
    """How full the batches are, and how long requests wait for one. Without --enable_batching there is nothing."""
    queue = panel("Wait for a batch", "µs", "Both servers, with --enable_batching.")
    for share in (0.5, 0.99):
        queue.with_target(
            query(
                f"histogram_quantile({share}, sum by (le) (rate({BATCHING}queuing_latency_bucket{RATE})))",
                f"p{share * 100:.0f}",
            )
        )
    rows = f"rate(atelier_batch_rows_{{}}{{{{{MODEL}}}}}{RATE})"
    return [
        panel("Requests in a batch", "short", "Both servers, with --enable_batching.").with_target(
            query(
                f"sum(rate({BATCHING}queuing_latency_count{RATE})) / sum(rate({BATCHING}wrapped_run_count{RATE}))",
                "requests",
            )
        ),
        panel("Rows in a request's batch", "short", f"Mean over requests. {EMBEDDED}").with_target(
            query(
                f"sum by (model_name, model_version) ({rows.format('sum')}) "
                f"/ sum by (model_name, model_version) ({rows.format('count')})",
                "{{model_name}} {{model_version}}",
            )
        ),
        queue,
    ]


def versions() -> list[Panel]:
    """What is loaded and trained, whether the data has moved, and what it all takes."""
    named = "{{model_name}} {{model_version}}"
    return [
        panel("Versions that answer", "short", "As the console counts them, with both servers.").with_target(
            query(f"max by (model_name) (atelier_available_versions{{{MODEL}}})", "{{model_name}}")
        ),
        panel("Loads", "short", "Both servers.").with_target(
            query(
                f"sum by (status) (increase(:tensorflow:cc:saved_model:load_attempt_count{RATE}))",
                "{{status}}",
            )
        ),
        panel("Time since the last training", "s", "The newest version of a model, by its card.").with_target(
            query(
                f"time() - max by (model_name) (atelier_training_timestamp_seconds{{{MODEL}}})",
                "{{model_name}}",
            )
        ),
        panel(
            "Drift", "short", "The effect size of each column, as `atelier-client drift` last found it."
        ).with_target(
            query(
                f"max by (model_version, column) (atelier_drift{{{MODEL}}})", "{{column}} {{model_version}}"
            )
        ),
        panel(
            "Accuracy",
            "percentunit",
            "On the test examples, estimated without labels, and where labels came.",
        )
        .with_target(query(f'atelier_test_metric{{{MODEL},metric="accuracy"}}', f"test {named}"))
        .with_target(query(f"atelier_estimated_accuracy{{{MODEL}}}", f"estimated {named}"))
        .with_target(query(f"atelier_realised_accuracy{{{MODEL}}}", f"realised {named}")),
        panel("Memory", "bytes", EMBEDDED).with_target(
            query('process_resident_memory_bytes{job="serving"}', "{{instance}}")
        ),
    ]


def panel(title: str, unit: str, description: str) -> Panel:
    """Lines over time, from 0."""
    return (
        Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .datasource(SOURCE)
        .span(WIDTH)
        .height(HEIGHT)
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )


def query(expression: str, legend: str) -> Dataquery:
    """A question to Prometheus."""
    return Dataquery().expr(expression).legend_format(legend).range().datasource(SOURCE)
