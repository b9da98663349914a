"""What every role tells beside its own, and what the door tells of tokens."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from callweave.role_metrics import first_expiry, role_registry
from callweave.settings import KafkaSettings
from ingest.auth import Authorised
from ingest.metrics import ReceiverMetrics
from ingest.tokens import Client, Tokens
from schemas.metrics import METRICS, Kind, Role
from tests.support.certificates import write_pair


def test_readiness_is_asked_for_when_somebody_looks() -> None:
    reason: list[str | None] = ["starting"]
    registry = role_registry(Role.LOADER, lambda: reason[0], KafkaSettings())

    assert registry.get_sample_value("callweave_ready") == 0
    reason[0] = None
    assert registry.get_sample_value("callweave_ready") == 1


def test_the_first_certificate_of_a_bundle_counts_and_a_renewal_is_seen(tmp_path: Path) -> None:
    soon, late = write_pair(tmp_path / "a", days=3), write_pair(tmp_path / "b", days=300)
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(late.cert_file.read_bytes() + soon.cert_file.read_bytes())
    registry = role_registry(Role.WORKER, lambda: None, KafkaSettings(ssl_cafile=bundle))

    def days() -> float:
        value = registry.get_sample_value(
            "callweave_kafka_certificate_expiry_timestamp_seconds", {"file": "ssl_cafile"}
        )
        assert value is not None
        return (datetime.fromtimestamp(value, UTC) - datetime.now(UTC)) / timedelta(days=1)

    assert 2 < days() < 3.1
    bundle.write_bytes(late.cert_file.read_bytes())
    assert days() > 299


def test_a_file_that_no_client_could_use_is_an_alarm_and_no_failed_scrape(tmp_path: Path) -> None:
    assert first_expiry(tmp_path / "gone.pem") == 0


async def test_the_newest_token_that_a_push_came_with_tells_when_it_ends() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    client = Client("id", "secret")
    tokens = Tokens([client], clock=lambda: now, ttl_seconds=600)
    verdict = await tokens.judge(tokens.issue(client))
    assert isinstance(verdict, Authorised)
    assert verdict.expires_at == now.timestamp() + 600

    registry = CollectorRegistry()
    metrics = ReceiverMetrics(registry)
    for expires_at in (500.0, 900.0, 700.0):
        metrics.show_token_expiry(expires_at)
    assert registry.get_sample_value("callweave_push_token_expiry_timestamp_seconds") == 900


def test_every_metric_has_a_name_that_says_its_kind_and_every_label_a_bound() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith("callweave_")
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric.name
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets), metric.name
        assert all(label.values or label.bounded_by != "a closed set" for label in metric.labels), metric.name
