"""What the roles' metrics say just now, for the machine without Prometheus: read once from each admin port.

The rule: only what is listed in `schemas.metrics` is looked at, and what a role does not say is left out, not guessed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any

from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from callweave.role_health import DIRECT
from callweave.runtime import RoleEntry
from schemas import metrics as m

_DAY_SECONDS = 86_400
_CERTIFICATE_DAYS = 30
_EXPIRING_DAYS = "14"


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """What waits in one partition."""

    reader: str
    topic: str
    partition: int
    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Observed:
    """All roles together. Counts are since each role's start."""

    lags: list[PartitionLag] = field(default_factory=list)
    pushes: int | None = None
    pushes_rejected: dict[str, int] = field(default_factory=dict)
    dead_letters: dict[str, int] = field(default_factory=dict)
    completeness: dict[str, float] = field(default_factory=dict)
    call_freshness_seconds: dict[str, float] = field(default_factory=dict)
    certificates_days: dict[str, float] = field(default_factory=dict)
    push_token_seconds: float | None = None
    recordings_expiring: dict[str, int] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """For people: what is worth a look."""
        for reader in dict.fromkeys(lag.reader for lag in self.lags):
            worst = max((lag for lag in self.lags if lag.reader == reader), key=lambda lag: (lag.seconds, lag.records))
            where = f"{worst.topic}, partition {worst.partition}" if worst.records else "no partition waits"
            yield f"{reader}, most behind: {worst.records} records, {worst.seconds:.1f} s ({where})"
        if self.pushes is not None:
            yield f"pushes since the start: {self.pushes} let in; rejected: {_counts(self.pushes_rejected)}"
        if self.dead_letters:
            yield f"dead letters since the start: {_counts(self.dead_letters)}"
        for span, share in self.completeness.items():
            yield f"complete, {span.replace('_', ' ')}: {share:.2%}"
        if self.call_freshness_seconds:
            shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.call_freshness_seconds.items())
            yield f"freshness, end of the call to row: {shown}"
        for name, days in self.certificates_days.items():
            if days < _CERTIFICATE_DAYS:
                yield f"certificate of {name}: expires in {days:.0f} days"
        if self.push_token_seconds is not None:
            yield f"TCCC's access token: expires in {self.push_token_seconds:.0f} s"
        if count := self.recordings_expiring.get(_EXPIRING_DAYS):
            yield f"recordings whose audio TCCC deletes within {_EXPIRING_DAYS} days: {count}"


def observe(roles: dict[str, RoleEntry], now: float) -> Observed:
    """Ask every role that runs."""
    return observed_in([text for entry in roles.values() if (text := _metrics_of(entry)) is not None], now)


def observed_in(texts: Iterable[str], now: float) -> Observed:
    """Read what they said."""
    said: dict[str, list[Family]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            said.setdefault(family.name, []).append(family)

    def samples(metric: m.Metric, suffix: str = "") -> Iterator[tuple[dict[str, str], float]]:
        for family in said.get(metric.name.removesuffix("_total"), []):
            for sample in family.samples:
                if sample.name == f"{metric.name}{suffix}":
                    yield sample.labels, sample.value

    def summed(metric: m.Metric, label: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for labels, value in samples(metric):
            counts[labels[label]] = counts.get(labels[label], 0) + int(value)
        return {name: count for name, count in counts.items() if count}

    received = [value for _, value in samples(m.PUSHES_RECEIVED)]
    token = max((value for _, value in samples(m.TOKEN_EXPIRY)), default=0.0)
    door = [value for _, value in samples(m.TLS_CERTIFICATE_EXPIRY)]
    certificates = {"the door": min(door)} if door else {}
    certificates |= {f"Kafka ({labels['file']})": value for labels, value in samples(m.KAFKA_CERTIFICATE_EXPIRY)}
    return Observed(
        lags=[
            *_lags("worker", samples, m.WORKER_LAG_RECORDS, m.WORKER_LAG_SECONDS),
            *_lags("loader", samples, m.LOADER_LAG_RECORDS, m.LOADER_LAG_SECONDS),
        ],
        pushes=int(sum(received)) if received else None,
        pushes_rejected=summed(m.PUSHES_REJECTED, "reason"),
        dead_letters=summed(m.DEAD_LETTERS, "reason"),
        completeness={labels["span"]: value for labels, value in samples(m.COMPLETENESS_SHARE) if not isnan(value)},
        call_freshness_seconds=_quantiles(list(samples(m.CALL_FRESHNESS, "_bucket"))),
        certificates_days={name: (value - now) / _DAY_SECONDS for name, value in certificates.items()},
        push_token_seconds=token - now if token else None,
        recordings_expiring={labels["within_days"]: int(value) for labels, value in samples(m.RECORDINGS_EXPIRING)},
    )


def _lags(
    reader: str, samples: Callable[[m.Metric], Any], records: m.Metric, seconds: m.Metric
) -> Iterator[PartitionLag]:
    waited = {(labels["topic"], labels["partition"]): value for labels, value in samples(seconds)}
    for labels, value in samples(records):
        place = labels["topic"], labels["partition"]
        yield PartitionLag(reader, place[0], int(place[1]), int(value), waited.get(place, 0.0))


def _quantiles(buckets: list[tuple[dict[str, str], float]]) -> dict[str, float]:
    """Bounds of p50 and p95: of the first bucket that holds so many; of the last but one for what is beyond it."""
    counts = sorted((float(labels["le"]), count) for labels, count in buckets)
    if not counts or not counts[-1][1]:
        return {}
    total = counts[-1][1]
    last = max(bound for bound, _ in counts if bound != inf)
    return {
        name: next((bound for bound, count in counts[:-1] if count >= share * total), last)
        for name, share in (("p50", 0.5), ("p95", 0.95))
    }


def _metrics_of(entry: RoleEntry) -> str | None:
    if entry.admin_url is None:
        return None
    try:
        with DIRECT.open(f"{entry.admin_url}/metrics", timeout=5) as response:
            text: str = response.read().decode()
    except OSError:
        return None  # its readiness says so already
    return text


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
