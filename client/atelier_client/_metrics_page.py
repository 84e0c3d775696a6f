"""The metrics page of a server, in Prometheus' text format
(https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from atelier_client._targets import parse_targets
from atelier_client.errors import NotReachable, ServerFailure

PATH = "/monitoring/prometheus/metrics"
# TensorFlow Serving begins its names with a colon.
_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\S+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_MOST_BYTES = 32 << 20


@dataclass(frozen=True)
class Sample:
    """One line of the page."""

    name: str
    labels: Mapping[str, str]
    value: float


def read_metrics(rest: str, timeout: float, token: str | None = None) -> list[Sample]:
    """The samples of the server at `rest`, http(s)://HOST:PORT.

    The token is sent as the client sends it: encrypted, or on this machine. Raises `NotReachable` when there is no
    connection within `timeout` seconds, and `ServerFailure` for an answer that is no such page.
    """
    url = rest.rstrip("/") + PATH
    request = urllib.request.Request(url)
    if token and (rest.startswith("https:") or parse_targets(rest)[0].local):
        request.add_header("authorization", f"Bearer {token}")
    # No proxy of the environment: the server is meant.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            text = answer.read(_MOST_BYTES).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            raise ServerFailure(
                f"{url} answered {error.code}: expected the metrics. TensorFlow Serving has them only with "
                "--monitoring_config_file (prometheus_config { enable: true })."
            ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NotReachable(f"Cannot read the server's metrics at {url} ({reason}).") from None
    return list(parse(text))


def parse(text: str) -> Iterator[Sample]:
    """The samples of a page; comments, and lines that are none, are passed over."""
    for line in text.splitlines():
        found = _LINE.fullmatch(line.strip())
        if found is None:
            continue
        name, labels, value = found.groups()
        try:
            number = float(value)
        except ValueError:
            continue
        pairs = {key: re.sub(r'\\[\\"n]', _unescaped, raw) for key, raw in _LABEL.findall(labels or "")}
        yield Sample(name, pairs, number)


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES[found[0]]
