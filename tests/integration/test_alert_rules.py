"""The rules as Prometheus's own engine reads them: valid, and each fires for a series that is as bad as it says."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from callweave.settings import Settings, _leaves
from deploy.generators.alerts import ALERTS, rules_document
from schemas.metrics import METRICS
from tests.support.prometheus import tool

RUNBOOK = Path(__file__).parents[2] / "docs/runbook"
EXAMPLES: dict[str, list[tuple[str, str]]] = {
    # The series, and its values a minute apart, with which the alert fires after the given minutes.
    "CallweaveRoleDown": [('up{job="callweave-worker",instance="w:9464"}', "0x20")],
    "CallweaveRoleNotReady": [('callweave_ready{job="callweave-worker"}', "0x20")],
    "CallweavePushesNotStored": [('callweave_pushes_rejected_total{reason="log_unavailable"}', "0+1x20")],
    "CallweavePushesOfTcccRefused": [("callweave_pushes_refused_like_tccc_total", "0+1x20")],
    "CallweaveNoPushes": [('callweave_pushes_received_total{action="cdr"}', "5x600")],
    "CallweavePushesSlow": [
        ('callweave_push_seconds_bucket{le="1"}', "0+1x60"),
        ('callweave_push_seconds_bucket{le="5"}', "0+100x60"),
        ('callweave_push_seconds_bucket{le="+Inf"}', "0+100x60"),
    ],
    "CallweavePushTokenExpired": [("callweave_push_token_expiry_timestamp_seconds", "60x60")],
    "CallweaveDoorCertificateExpires": [("callweave_tls_certificate_expiry_timestamp_seconds", "86400x60")],
    "CallweaveDoorCertificateBroken": [('callweave_tls_reloads_total{outcome="broken"}', "0+1x20")],
    "CallweaveSpoolGrowing": [("callweave_spool_entries", "0+10x20")],
    "CallweaveSpoolOld": [("callweave_spool_is_old", "1x20")],
    "CallweaveSpoolFillsUp": [("callweave_spool_bytes", "600x20"), ("callweave_spool_bytes_max", "1000x20")],
    "CallweaveSpoolUnavailable": [("callweave_spool_is_unavailable", "1x20")],
    "CallweaveSpoolRefused": [("callweave_spool_refused_entries", "1x20")],
    "CallweaveSpoolDamaged": [("callweave_spool_files_set_aside", "1x20")],
    "CallweaveWorkerLag": [('callweave_worker_lag_seconds{topic="cdr",partition="0"}', "0+60x20")],
    "CallweaveLoaderLag": [('callweave_loader_lag_seconds{topic="sessions",partition="0"}', "0+60x20")],
    "CallweaveRowsLate": [
        ('callweave_freshness_seconds_bucket{le="60"}', "0+1x60"),
        ('callweave_freshness_seconds_bucket{le="300"}', "0+100x60"),
        ('callweave_freshness_seconds_bucket{le="+Inf"}', "0+100x60"),
    ],
    "CallweaveWarehouseUnavailable": [('callweave_loader_retries_total{dependency="warehouse"}', "0+2x20")],
    "CallweaveOffsetsReset": [("callweave_loader_offset_resets_total", "0+1x20")],
    "CallweaveSnapshotFails": [("callweave_snapshot_failures_total", "0+1x60")],
    "CallweaveDeadLetters": [('callweave_dead_letters_total{stage="receive",reason="UNDECODABLE"}', "0+1x20")],
    "CallweaveKafkaCertificateExpires": [
        ('callweave_kafka_certificate_expiry_timestamp_seconds{file="ssl_cafile"}', "86400x60")
    ],
    "CallweaveIncomplete": [('callweave_completeness_share{span="yesterday"}', "0.9x60")],
    "CallweaveHoursNotAsked": [
        ('callweave_completeness_hours{span="yesterday",state="not_asked"}', "3x200"),
        ('callweave_reconcile_failing{sdk_app_id="1"}', "0x200"),
    ],
    "CallweaveReconcileFailing": [('callweave_reconcile_failing{sdk_app_id="1"}', "1x60")],
    "CallweaveReconcileStale": [('callweave_reconcile_last_success_timestamp_seconds{sdk_app_id="1"}', "0x300")],
    "CallweaveEnrichFailing": [('callweave_enrich_failing{sdk_app_id="1",action="DescribeX"}', "1x100")],
    "CallweaveArchiveLosesFiles": [("callweave_archive_vanishing_files", "3x100")],
    "CallweaveRecordingsExpire": [('callweave_recordings_expiring{within_days="14"}', "7x100")],
}
WELL = {
    "up": "1x600",
    "callweave_ready": "1x600",
    "callweave_spool_entries": "0x600",
    "callweave_completeness_share": "0.999x600",
    "callweave_push_token_expiry_timestamp_seconds": "1000000x600",
    "callweave_tls_certificate_expiry_timestamp_seconds": "100000000x600",
    "callweave_kafka_certificate_expiry_timestamp_seconds": "100000000x600",
    "callweave_pushes_received_total": "0+5x600",
    "callweave_spool_bytes": "400x600",
    "callweave_spool_bytes_max": "1000x600",
    "callweave_worker_lag_seconds": "110x600",
    "callweave_loader_lag_seconds": "110x600",
    "callweave_freshness_seconds_bucket": "0+100x600",
    "callweave_push_seconds_bucket": "0+100x600",
    "callweave_completeness_hours": "0x600",
    "callweave_reconcile_last_success_timestamp_seconds": "30000x600",
}
"""Values of the same series with which nothing fires; a counter that does not grow, and a flag at 0, for the others."""


def test_every_alert_has_an_example() -> None:
    assert set(EXAMPLES) == {alert.name for alert in ALERTS}


def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(yaml.safe_dump(rules_document()))
    done = subprocess.run([tool("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(ALERTS)} rules found" in done.stdout


def test_each_alert_fires_for_its_example_and_rests_while_all_is_well(tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules_document()))
    tests: list[dict[str, object]] = []
    for name, series in EXAMPLES.items():
        minutes = min(int(values.rsplit("x", 1)[1]) for _, values in series)
        well = [(one, WELL.get(one.split("{")[0], "0x600")) for one, _ in series]
        tests += [_test(name, series, minutes, must_fire=True), _test(name, well, minutes, must_fire=False)]
    (tmp_path / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    done = subprocess.run(
        [tool("promtool"), "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def _test(name: str, series: list[tuple[str, str]], minutes: int, *, must_fire: bool) -> dict[str, object]:
    """An expression over ALERTS rather than promtool's own comparison: labels and texts are not what is asked."""
    expected = [{"labels": "{}", "value": 1}] if must_fire else []
    return {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series],
        "promql_expr_test": [
            {
                "expr": f'max(ALERTS{{alertname="{name}",alertstate="firing"}})',
                "eval_time": f"{minutes}m",
                "exp_samples": expected,
            }
        ],
    }


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_its_page_in_the_runbook(alert) -> None:  # type: ignore[no-untyped-def]
    page = RUNBOOK / alert.runbook
    text = page.read_text(encoding="utf-8")

    assert text.startswith(f"# {alert.name}\n")
    for heading in ("## What it means", "## What to look at", "## What to do"):
        assert heading in text


def test_the_runbook_names_only_metrics_settings_and_log_events_that_exist() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in RUNBOOK.glob("*.md"))
    code = "".join(
        file.read_text(encoding="utf-8")
        for room in ("callweave", "ingest", "sinks", "streams")
        for file in _sources(room)
    )
    known = {metric.name for metric in METRICS}
    settings = {"__".join(path).upper() for path, _ in _leaves(Settings.model_fields)}

    assert set(re.findall(r"\b(callweave_[a-z_]+)", text)) <= known
    assert {name for name in re.findall(r"`([A-Z]+__[A-Z_]+)`", text) if name not in settings} == set()
    for event in set(re.findall(r"event `([a-z_]+)`", text)):
        assert f'"{event}"' in code, event


def _sources(room: str) -> list[Path]:
    return list((RUNBOOK.parents[1] / room).rglob("*.py"))
