"""A collector of OpenTelemetry: takes OTLP over HTTP and reads it with the official messages."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What has come, and how it answers.

    Attributes:
        code: The status it answers with.
        headers: What it adds to each answer.
        refuses: How many spans of each request it says it refuses.
        slow: It answers only once this is set.
        noise: Bytes it answers with in the place of its own.
    """

    def __init__(self) -> None:
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.code = 200
        self.headers: dict[str, str] = {}
        self.refuses = 0
        self.slow = threading.Event()
        self.slow.set()
        self.noise = b""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def newest(self) -> dict[str, Metric]:
        """The metrics of the newest request by name."""
        found = {}
        for resource in self.metrics[-1].resource_metrics:
            for scope in resource.scope_metrics:
                found |= {metric.name: metric for metric in scope.metrics}
        return found

    def take(self, path: str, headers: dict[str, str], data: bytes) -> bytes:
        """Read one request; what is no message of the protocol raises here."""
        self.asked.append((path, headers))
        assert headers["content-type"] == "application/x-protobuf"
        assert headers["content-encoding"] == "gzip"
        data = gzip.decompress(data)
        self.slow.wait(20)
        if self.code != 200:
            return b""
        if path.endswith("/v1/traces"):
            self.traces.append(ExportTraceServiceRequest.FromString(data))
        else:
            assert path.endswith("/v1/metrics"), path
            self.metrics.append(ExportMetricsServiceRequest.FromString(data))
        answer = ExportTraceServiceResponse()
        if self.refuses and path.endswith("/v1/traces"):
            answer.partial_success.rejected_spans = self.refuses
            answer.partial_success.error_message = "too many"
        return self.noise or answer.SerializeToString()


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector on 127.0.0.1."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = collector.take(self.path, headers, self.rfile.read(size))
            try:
                self.send_response(collector.code)
                for name, value in collector.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
            except OSError:
                self.close_connection = True  # Who asked has given up.

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    collector.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.slow.set()
        server.shutdown()
        server.server_close()
        thread.join()


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as a dict."""
    found: dict[str, Any] = {}
    one: KeyValue
    for one in attributes:
        kind = one.value.WhichOneof("value")
        found[one.key] = getattr(one.value, kind)
    return found
