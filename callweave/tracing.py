"""Traces from push to row, by OpenTelemetry (the extra `otel`), exported as OTLP over HTTP.

The rule: off unless TRACES__ENDPOINT is set, and then nothing of OpenTelemetry is even imported. Export happens in a
thread of the SDK; a collector that is away costs spans, never a push.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from callweave import __version__
from callweave.settings import MisconfiguredError, Settings
from schemas.metrics import Role
from schemas.tracing import TRACE_HEADER, Tracing

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SpanExporter

EXPORT_SECONDS_MAX: Final = 2.0
"""A role that stops waits this long at most for a collector that does not answer."""
_NANOSECONDS: Final = 1_000_000_000


def tracing_of(settings: Settings, role: Role) -> Tracing | None:
    """Who records this process's spans; None where nobody asked for traces."""
    endpoint = settings.traces.endpoint
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  (optional)
    except ImportError as exc:
        raise MisconfiguredError(
            "CALLWEAVE_TRACES__ENDPOINT is set and OpenTelemetry is not installed: pip install 'callweave[otel]'"
        ) from exc
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS_MAX)
    return open_telemetry(role, exporter, sample_ratio=settings.traces.sample_ratio)


def open_telemetry(role: Role, exporter: "SpanExporter", *, sample_ratio: float = 1.0) -> "OpenTelemetryTracing":
    """Record spans for an exporter. Of all pushes so many are traced; whoever comes later follows the first."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  (optional)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415

    resource = Resource.create({"service.name": f"callweave-{role.value}", "service.version": __version__})
    provider = TracerProvider(resource=resource, sampler=ParentBasedTraceIdRatio(sample_ratio))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OpenTelemetryTracing(provider.get_tracer("callweave", __version__))


class OpenTelemetryTracing:
    """`schemas.tracing.Tracing` over an OpenTelemetry tracer."""

    def __init__(self, tracer: "trace.Tracer") -> None:
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415  (optional)
            TraceContextTextMapPropagator,
        )

        self._tracer = tracer
        self._w3c = TraceContextTextMapPropagator()

    def begin(
        self, name: str, *, parents: Sequence[bytes] = (), began_at: float | None = None, **attributes: str | int | bool
    ) -> "OpenTelemetrySpan":
        """Begin a span below the last of its parents, linked to the others; what is no trace context is no parent."""
        from opentelemetry.context import Context  # noqa: PLC0415
        from opentelemetry.trace import Link, get_current_span  # noqa: PLC0415

        contexts = [
            self._w3c.extract({TRACE_HEADER: parent.decode("ascii", "replace")}, Context()) for parent in parents
        ]
        span = self._tracer.start_span(
            name,
            context=contexts[-1] if contexts else Context(),
            links=[Link(get_current_span(context).get_span_context()) for context in contexts[:-1]],
            start_time=None if began_at is None else int(began_at * _NANOSECONDS),
            attributes=_named(attributes),
        )
        return OpenTelemetrySpan(span)


class OpenTelemetrySpan:
    """`schemas.tracing.Span` over one of OpenTelemetry's."""

    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    @property
    def context(self) -> bytes | None:
        """W3C's `traceparent`."""
        context = self._span.get_span_context()
        if not context.trace_flags.sampled:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}".encode()

    def end(self, **attributes: str | int | bool) -> None:
        """End it now."""
        self._span.set_attributes(_named(attributes))
        self._span.end()


def _named(attributes: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
    return {f"callweave.{name}": value for name, value in attributes.items()}
