"""A collector of OpenTelemetry's traces, as far as a test needs one: OTLP over HTTP, kept in memory."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class CollectedSpan:
    """One span, with the service that recorded it."""

    service: str
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    linked: tuple[bytes, ...]
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]


@dataclass
class TraceCollector:
    """What came, and where to send it."""

    url: str = ""
    spans: list[CollectedSpan] = field(default_factory=list)

    def named(self, name: str) -> list[CollectedSpan]:
        return [span for span in list(self.spans) if span.name == name]


@contextmanager
def a_trace_collector() -> Iterator[TraceCollector]:
    """Listens on a free port for as long as the context lasts."""
    collector = TraceCollector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            collector.spans += _read(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


def _read(body: bytes) -> Iterator[CollectedSpan]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            yield CollectedSpan(
                service,
                span.name,
                span.trace_id,
                span.span_id,
                span.parent_span_id,
                tuple(link.trace_id for link in span.links),
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                {a.key: a.value.string_value or a.value.int_value or a.value.bool_value for a in span.attributes},
            )
