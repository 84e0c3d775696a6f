"""Events of the record of releases, as lines across every panel."""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from deploy.observe.dashboard.panels import SOURCE


class Annotation(Builder[models.AnnotationQuery]):
    """Events at the times that are a metric's values, in seconds since 1970."""

    def __init__(self, name: str, color: str, metric: str, title: str) -> None:
        self._query = _AnnotationQuery(
            name=name, datasource=SOURCE, icon_color=color, expr=f"{metric} * 1000"
        )
        self._query.title = title

    def build(self) -> models.AnnotationQuery:
        """The query."""
        return self._query


class _AnnotationQuery(models.AnnotationQuery):
    """With the fields of Grafana's data source for Prometheus, which the SDK's model does not have."""

    title = ""

    def to_json(self) -> dict[str, object]:
        return {
            **super().to_json(),
            "titleFormat": self.title,
            "tagKeys": "model_name,verdict",
            "useValueForTime": "on",
        }
