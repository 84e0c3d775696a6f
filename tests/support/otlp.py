"""A receiver of OTLP over HTTP, which keeps the spans that it gets."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class OtlpReceiver:
    """`url` is the endpoint. `spans` have arrived, each with the attributes of its resource."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[tuple[Any, dict[str, Any]]] = []

    def wait(self, count: int, seconds: float = 30) -> list[Any]:
        """The spans, when so many have arrived."""
        deadline = time.monotonic() + seconds
        while len(self.spans) < count:
            assert time.monotonic() < deadline, [span.name for span, _ in self.spans]
            time.sleep(0.02)
        return [span for span, _ in self.spans]


def attributes(span: Any) -> dict[str, Any]:
    """A span's (or resource's) attributes by name."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """A receiver on a free port of this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if found:
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    resource = attributes(group.resource)
                    for scope in group.scope_spans:
                        receiver.spans += [(span, resource) for span in scope.spans]
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = OtlpReceiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
