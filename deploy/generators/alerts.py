"""The alert rules, made of the one list of metrics; each has a page in docs/runbook.

The rule: an expression names a metric by its object in `schemas.metrics`, so none is about a name that is not there.
"""

from dataclasses import dataclass
from typing import Any, Final

from schemas import metrics as m

RUNBOOK: Final = "https://example.invalid/callweave/docs/runbook"
JOB: Final = "callweave"
"""The scrape job (or the prefix of the jobs) of the roles, in every Prometheus configuration of deploy/."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. `page`: wake somebody; else it waits for the morning."""

    name: str
    expr: str
    lasts: str
    page: bool
    summary: str

    @property
    def runbook(self) -> str:
        """The file name of its page."""
        return f"{self.name}.md"

    def rule(self) -> dict[str, Any]:
        """As Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.lasts,
            "labels": {"severity": "critical" if self.page else "warning"},
            "annotations": {"summary": self.summary, "runbook_url": f"{RUNBOOK}/{self.runbook}"},
        }


def _grew(metric: m.Metric, within: str, *, labels: str = "", by: str = "") -> str:
    selector = f"{metric.name}{{{labels}}}" if labels else metric.name
    return f"sum{f' by ({by})' if by else ''} (increase({selector}[{within}])) > 0"


def _quantile(metric: m.Metric, quantile: float, within: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate({metric.name}_bucket[{within}])))"


GROUPS: Final[dict[str, tuple[Alert, ...]]] = {
    "roles": (
        Alert(
            "CallweaveRoleDown",
            f'up{{job=~"{JOB}.*"}} == 0',
            "1m",
            page=True,
            summary="{{ $labels.job }} at {{ $labels.instance }} does not answer",
        ),
        Alert(
            "CallweaveRoleNotReady",
            f"{m.READY.name} == 0",
            "5m",
            page=True,
            summary="{{ $labels.job }} at {{ $labels.instance }} runs and is not ready",
        ),
    ),
    "door": (
        Alert(
            "CallweavePushesNotStored",
            _grew(m.PUSHES_REJECTED, "5m", labels='reason=~"log_unavailable|internal|too_busy|too_many_connections"'),
            "0m",
            page=True,
            summary="Pushes are refused because they could not be stored; TCCC gives up after its fourth try",
        ),
        Alert(
            "CallweavePushesOfTcccRefused",
            _grew(m.PUSHES_REFUSED_LIKE_TCCC, "10m"),
            "0m",
            page=True,
            summary="Requests that look like TCCC's are refused for their credentials: pushes are being lost",
        ),
        Alert(
            "CallweaveNoPushes",
            f"sum (increase({m.PUSHES_RECEIVED.name}[6h])) == 0",
            "30m",
            page=False,
            summary="No push came for six hours",
        ),
        Alert(
            "CallweavePushesSlow",
            f"{_quantile(m.PUSH_SECONDS, 0.99, '10m')} > 2",
            "10m",
            page=False,
            summary="One push in a hundred waits longer than two seconds for its answer",
        ),
        Alert(
            "CallweavePushTokenExpired",
            f"{m.TOKEN_EXPIRY.name} > 0 and time() - {m.TOKEN_EXPIRY.name} > 300",
            "10m",
            page=True,
            summary="The last access token that TCCC pushed with has expired, and no push came with another one",
        ),
        Alert(
            "CallweaveDoorCertificateExpires",
            f"{m.TLS_CERTIFICATE_EXPIRY.name} - time() < 14 * 86400",
            "10m",
            page=False,
            summary="The door's certificate expires within 14 days",
        ),
        Alert(
            "CallweaveDoorCertificateBroken",
            _grew(m.TLS_RELOADS, "1h", labels='outcome="broken"'),
            "0m",
            page=False,
            summary="A renewed certificate cannot be used; the earlier one goes on until it expires",
        ),
    ),
    "spool": (
        Alert(
            "CallweaveSpoolGrowing",
            f"{m.SPOOL_ENTRIES.name} > 0 and deriv({m.SPOOL_ENTRIES.name}[2m]) > 0",
            "1m",
            page=True,
            summary="Pushes gather in the spool of {{ $labels.instance }}: Kafka does not take them",
        ),
        Alert(
            "CallweaveSpoolOld",
            f"{m.SPOOL_IS_OLD.name} == 1",
            "0m",
            page=True,
            summary="The oldest push in the spool of {{ $labels.instance }} waits longer than the age alarm",
        ),
        Alert(
            "CallweaveSpoolFillsUp",
            f"{m.SPOOL_BYTES.name} / {m.SPOOL_BYTES_MAX.name} > 0.5",
            "1m",
            page=True,
            summary="The spool of {{ $labels.instance }} is more than half full; when it is full, pushes are refused",
        ),
        Alert(
            "CallweaveSpoolUnavailable",
            f"{m.SPOOL_IS_UNAVAILABLE.name} == 1",
            "1m",
            page=True,
            summary="The spool's disk of {{ $labels.instance }} takes nothing: without Kafka, pushes would be refused",
        ),
        Alert(
            "CallweaveSpoolRefused",
            f"{m.SPOOL_REFUSED.name} > 0",
            "1m",
            page=True,
            summary="Kafka refuses spooled pushes of {{ $labels.instance }} as its topics or permissions are set up",
        ),
        Alert(
            "CallweaveSpoolDamaged",
            f"{m.SPOOL_SET_ASIDE.name} > 0",
            "0m",
            page=False,
            summary="Damaged spool files were set aside on {{ $labels.instance }}",
        ),
    ),
    "pipeline": (
        Alert(
            "CallweaveWorkerLag",
            f"max by (topic, partition) ({m.WORKER_LAG_SECONDS.name}) > 120",
            "2m",
            page=True,
            summary="Events of {{ $labels.topic }}, partition {{ $labels.partition }}, wait for the worker",
        ),
        Alert(
            "CallweaveLoaderLag",
            f"max by (topic, partition) ({m.LOADER_LAG_SECONDS.name}) > 120",
            "2m",
            page=True,
            summary="Records of {{ $labels.topic }}, partition {{ $labels.partition }}, wait for the warehouse",
        ),
        Alert(
            "CallweaveRowsLate",
            f"{_quantile(m.FRESHNESS, 0.95, '15m')} > 60",
            "15m",
            page=False,
            summary="One session in twenty is committed later than a minute after its last push",
        ),
        Alert(
            "CallweaveWarehouseUnavailable",
            f'sum (increase({m.LOADER_RETRIES.name}{{dependency="warehouse"}}[5m])) > 3',
            "2m",
            page=True,
            summary="The loader cannot write to the warehouse, and tries again",
        ),
        Alert(
            "CallweaveOffsetsReset",
            _grew(m.LOADER_OFFSET_RESETS, "10m"),
            "0m",
            page=False,
            summary="A partition is read from its beginning: the stored offset was outside the log",
        ),
        Alert(
            "CallweaveSnapshotFails",
            _grew(m.SNAPSHOT_FAILURES, "30m"),
            "15m",
            page=False,
            summary="The published copy of the warehouse cannot be made anew: readers see an older one",
        ),
        Alert(
            "CallweaveDeadLetters",
            _grew(m.DEAD_LETTERS, "15m", by="stage, reason"),
            "0m",
            page=False,
            summary="A dead letter was written: {{ $labels.stage }}, {{ $labels.reason }}",
        ),
        Alert(
            "CallweaveKafkaCertificateExpires",
            f"min by (file) ({m.KAFKA_CERTIFICATE_EXPIRY.name}) - time() < 14 * 86400",
            "10m",
            page=False,
            summary="A certificate for Kafka ({{ $labels.file }}) expires within 14 days",
        ),
    ),
    "completeness": (
        Alert(
            "CallweaveIncomplete",
            f'{m.COMPLETENESS_SHARE.name}{{span="yesterday"}} < 0.99',
            "15m",
            page=False,
            summary="Less of yesterday is in the warehouse than is due",
        ),
        Alert(
            "CallweaveHoursNotAsked",
            f'{m.COMPLETENESS_HOURS.name}{{span="yesterday",state="not_asked"}} > 0'
            f" and on () (count ({m.RECONCILE_FAILING.name}) > 0)",
            "1h",
            page=False,
            summary="TCCC's API was not asked for all hours of yesterday",
        ),
        Alert(
            "CallweaveReconcileFailing",
            f"{m.RECONCILE_FAILING.name} == 1",
            "30m",
            page=False,
            summary="TCCC's API gives nothing for application {{ $labels.sdk_app_id }}",
        ),
        Alert(
            "CallweaveReconcileStale",
            f"time() - {m.RECONCILE_SUCCESS.name} > 7200",
            "10m",
            page=False,
            summary="For two hours no hour of application {{ $labels.sdk_app_id }} was read from TCCC's API",
        ),
        Alert(
            "CallweaveEnrichFailing",
            f"{m.ENRICH_FAILING.name} == 1",
            "1h",
            page=False,
            summary="TCCC's API refuses {{ $labels.action }} for application {{ $labels.sdk_app_id }}",
        ),
        Alert(
            "CallweaveRecordingsExpire",
            # With an archiver, what counts is what it does not have: the next alert.
            f'{m.RECORDINGS_EXPIRING.name}{{within_days="14"}} > 0 unless on () count ({m.ARCHIVE_FILES.name})',
            "1h",
            page=False,
            summary="TCCC deletes the audio of {{ $value }} recordings within 14 days",
        ),
        Alert(
            "CallweaveArchiveLosesFiles",
            f"{m.ARCHIVE_VANISHING.name} > 0",
            "1h",
            page=True,
            summary="TCCC deletes {{ $value }} files within 14 days that the archive does not have",
        ),
    ),
}

ALERTS: Final = tuple(alert for alerts in GROUPS.values() for alert in alerts)


def rules_document() -> dict[str, Any]:
    """The file that Prometheus reads."""
    groups = [
        {"name": f"callweave-{name}", "rules": [alert.rule() for alert in alerts]} for name, alerts in GROUPS.items()
    ]
    return {"groups": groups}
