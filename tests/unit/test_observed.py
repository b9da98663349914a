"""What `status` reads in the roles' metrics."""

import pytest

from callweave.observed import observed_in

LOADER = """\
# TYPE callweave_loader_lag_records gauge
callweave_loader_lag_records{topic="sessions",partition="0"} 5
callweave_loader_lag_records{topic="sessions",partition="1"} 0
# TYPE callweave_loader_lag_seconds gauge
callweave_loader_lag_seconds{topic="sessions",partition="0"} 12.5
callweave_loader_lag_seconds{topic="sessions",partition="1"} 0
# TYPE callweave_completeness_share gauge
callweave_completeness_share{span="yesterday"} 0.995
callweave_completeness_share{span="last_24h"} NaN
# TYPE callweave_call_freshness_seconds histogram
callweave_call_freshness_seconds_bucket{le="1.0"} 6
callweave_call_freshness_seconds_bucket{le="5.0"} 9
callweave_call_freshness_seconds_bucket{le="30.0"} 10
callweave_call_freshness_seconds_bucket{le="+Inf"} 10
# TYPE callweave_recordings_expiring gauge
callweave_recordings_expiring{within_days="14"} 3
# TYPE callweave_dead_letters_total counter
callweave_dead_letters_total{stage="load",reason="SINK_REJECTED"} 1
"""
RECEIVER = """\
# TYPE callweave_pushes_received_total counter
callweave_pushes_received_total{action="cdr"} 7
callweave_pushes_received_total{action="record"} 2
# TYPE callweave_pushes_rejected_total counter
callweave_pushes_rejected_total{reason="not_authorised"} 4
callweave_pushes_rejected_total{reason="too_busy"} 0
# TYPE callweave_dead_letters_total counter
callweave_dead_letters_total{stage="receive",reason="UNDECODABLE"} 2
# TYPE callweave_tls_certificate_expiry_timestamp_seconds gauge
callweave_tls_certificate_expiry_timestamp_seconds 864000
# TYPE callweave_push_token_expiry_timestamp_seconds gauge
callweave_push_token_expiry_timestamp_seconds 0
"""


def test_a_person_is_told_what_is_worth_a_look() -> None:
    lines = list(observed_in([RECEIVER, LOADER], now=0.0).lines())

    assert lines == [
        "loader, most behind: 5 records, 12.5 s (sessions, partition 0)",
        "pushes since the start: 9 let in; rejected: 4 not_authorised",
        "dead letters since the start: 2 UNDECODABLE, 1 SINK_REJECTED",
        "complete, yesterday: 99.50%",
        "freshness, end of the call to row: p50 1.0 s, p95 30.0 s",
        "certificate of the door: expires in 10 days",
        "recordings whose audio TCCC deletes within 14 days: 3",
    ]


@pytest.mark.parametrize("texts", [[], [""], ["# TYPE callweave_call_freshness_seconds histogram\n"]])
def test_where_nobody_says_anything_nothing_is_said(texts: list[str]) -> None:
    assert list(observed_in(texts, now=0.0).lines()) == []
