"""Traces by OpenTelemetry, and what there is of them where nobody asked."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from callweave.settings import Settings
from callweave.tracing import OpenTelemetryTracing, tracing_of
from ingest.kafka_log import KafkaPushLog
from ingest.kafka_publisher import KafkaLogOptions
from ingest.push_log import LogEntry
from schemas.metrics import Role
from schemas.tracing import TRACE_HEADER, context_in
from tests.support.events import an_event


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> OpenTelemetryTracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OpenTelemetryTracing(provider.get_tracer("test"))


def test_a_span_has_the_last_context_as_parent_and_links_to_the_others(
    tracing: OpenTelemetryTracing, exporter: InMemorySpanExporter
) -> None:
    first, second = tracing.begin("push"), tracing.begin("push")
    assert first.context is not None
    assert second.context is not None
    tracing.begin("absorb", parents=[first.context, second.context], began_at=5.0, events=2).end()

    (absorbed,) = exporter.get_finished_spans()
    assert absorbed.parent is not None
    assert f"{absorbed.parent.span_id:016x}".encode() in second.context
    assert [f"{link.context.trace_id:032x}".encode() in first.context for link in absorbed.links] == [True]
    assert absorbed.start_time == 5_000_000_000
    assert dict(absorbed.attributes or {}) == {"callweave.events": 2}


@pytest.mark.parametrize("stranger", [b"", b"00-zz-1-01", b"\xff\xfe", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"])
def test_what_is_no_trace_context_begins_a_trace_of_its_own(
    stranger: bytes, tracing: OpenTelemetryTracing, exporter: InMemorySpanExporter
) -> None:
    tracing.begin("load", parents=[stranger]).end()

    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_off_nothing_of_opentelemetry_is_imported_and_no_header_is_sent() -> None:
    assert tracing_of(Settings(), Role.WORKER) is None
    code = """
import sys, callweave.roles.receiver, callweave.roles.worker, callweave.roles.loader
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

    log = KafkaPushLog(KafkaLogOptions(connection={}))
    event = an_event("cdr", {"Direction": 0})
    assert [name for record in log._records(LogEntry(event, b"raw")) for name, _ in record.headers] == ["callweave-raw"]
    traced = log._records(LogEntry(event, b"raw", trace=b"00-a-b-01"))
    assert [context_in(record.headers) for record in traced] == [b"00-a-b-01"]
    assert TRACE_HEADER == "traceparent"
