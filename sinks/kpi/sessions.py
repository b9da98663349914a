"""The columns of `kpi_calls` and `kpi_sessions`: what one call counts for. The SQL that they stand on is in sinks/sql.

The rule: `kpi_calls` says what a call tells by itself, so a day's are read at a day's cost; `kpi_sessions` adds what
the caller's next call tells, for which all calls are looked at.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from schemas.models import Privacy
from sinks.kpi.columns import APP, DEFINITIONS, KpiColumn, date, instant, text, truth, whole
from sinks.kpi.definitions import DEFINITIONS_VERSION

_MISMATCH: Final = (
    "j.is_inbound AND COALESCE(FLOOR(EXTRACT(EPOCH FROM j.answered_at)) "
    "<> FLOOR(EXTRACT(EPOCH FROM j.leg_answered_at)), FALSE)"
)
_TALKED: Final = "CAST(FLOOR(EXTRACT(EPOCH FROM j.ended_at)) - FLOOR(EXTRACT(EPOCH FROM j.answered_at)) AS BIGINT)"


def _when(condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def _difference(condition: str, later: str, earlier: str) -> str:
    return _when(f"{condition} AND j.{later} >= j.{earlier}", f"j.{later} - j.{earlier}")


def _hour(clock: str) -> str:
    return f"TO_TIMESTAMP(j.{clock}_second - j.{clock}_local_second % 3600)"


def _local_hour(clock: str) -> str:
    return f"CAST(FLOOR(j.{clock}_local_second % 86400 / 3600) AS BIGINT)"


def _same(column: KpiColumn) -> KpiColumn:
    return KpiColumn(
        column.name,
        column.type,
        column.nullable,
        column.description,
        sql=f"j.{column.name}",
        counted_in=column.counted_in,
    )


_RETURNS: Final = (
    truth(
        "is_back_soon",
        "Its caller made another inbound call within containment_hours after the end",
        "COALESCE(c.next_second <= c.contained_until_second, FALSE)",
    ),
    truth(
        "is_helped_once",
        "Handled, and its caller did not call again within fcr_days of the end; NULL: not handled, or caller unknown",
        "CASE WHEN c.is_handled AND c.caller_is_known THEN COALESCE(c.next_second > c.helped_until_second, TRUE) END",
        nullable=True,
    ),
)
_OWN: Final = (
    _same(APP),
    text("session_id", "TCCC's SessionId", "j.session_id", nullable=False),
    text("time_zone", "The zone of day and hour (kpi_settings)", "j.time_zone", nullable=False),
    text("direction", "inbound, outbound, else TCCC's number", "j.direction"),
    text("call_type", "As in sessions", "j.call_type"),
    whole("skill_group_id", "The queue's skill group; for outbound a rule-based pick", "j.skill_group_id"),
    text("skill_group_name", "Its name", "j.skill_group_name"),
    text("line_number", "The company's number", "j.line_number"),
    text("end_status", "How it ended: TCCC's EndStatusString", "j.end_status"),
    text("hung_up_by", "user, seat or system", "j.hung_up_by"),
    replace(date("day", "Day of the start, in the zone"), sql="j.started_day"),
    whole("local_hour", "Hour of the start, 0 to 23, in the zone", _local_hour("started")),
    instant("hour", "When that hour began; the hour that comes twice is two", _hour("started")),
    replace(date("queued_day", "Day of entering the queue, in the zone"), sql="j.queued_day"),
    whole("queued_local_hour", "Hour of that, 0 to 23", _local_hour("queued")),
    instant("queued_hour", "When that hour began", _hour("queued")),
    instant("started_at", "Start of the session", "j.started_at"),
    instant("queued_at", "When the customer entered the queue", "j.queued_at"),
    instant(
        "first_answered_at",
        "Inbound: the earliest answer of its legs, else the session's; outbound: the customer's",
        "j.first_answered_at",
    ),
    instant("ended_at", "End of the session", "j.ended_at"),
    truth("is_inbound", "Inbound, and not internal", "j.is_inbound"),
    truth("is_outbound", "Outbound, neither internal nor predictive", "j.is_outbound"),
    truth("is_predictive", "Outbound, dialled by a campaign", "j.is_predictive"),
    truth("is_queued", "Inbound, and it entered a queue", "j.is_queued"),
    truth("is_handled", "Inbound, and an agent answered", "j.is_handled"),
    truth("is_answered", "Queued, and an agent answered", "j.is_answered"),
    truth("is_abandoned", "Queued, not answered, and the customer gave up (kpi_settings)", "j.is_abandoned"),
    truth("is_short_abandoned", "Abandoned before short_abandon_seconds of waiting", "j.is_short_abandoned"),
    truth("is_flow_out", "Queued, neither answered nor abandoned", "j.is_flow_out"),
    truth(
        "left_queue_in_target",
        "Queued, and answered, else ended, within target_seconds",
        "COALESCE(j.queue_wait_seconds <= j.target_seconds, FALSE)",
    ),
    truth(
        "is_answered_in_target",
        "Answered within target_seconds",
        "j.is_answered AND COALESCE(j.queue_wait_seconds <= j.target_seconds, FALSE)",
    ),
    truth(
        "counts_for_genesys",
        "Whether service_level_genesys divides by it (kpi_settings)",
        "j.is_answered OR (j.genesys_adds_flow_outs AND j.is_flow_out) OR (j.is_abandoned AND NOT "
        "j.genesys_drops_abandons AND NOT (j.genesys_drops_short_abandons AND j.is_short_abandoned))",
    ),
    truth(
        "is_connected", "The other side answered: of an outbound call, the customer", "j.first_answered_at IS NOT NULL"
    ),
    truth("has_leg_answer", "An agent's leg was answered", "j.has_leg_answer"),
    truth("is_transferred", "Handled, and a leg was passed on", "j.is_handled AND j.transferred = 1"),
    truth("is_ivr_contained", "Inbound, not answered: ended ivrEnd, or never queued and ok", "j.is_ivr_contained"),
    truth(
        "fcr_is_provisional",
        "fcr_days have not passed since the end",
        "COALESCE(j.now_second - COALESCE(j.ended_second, j.started_second) <= j.fcr_seconds, TRUE)",
    ),
    truth(
        "is_very_short",
        "Answered, and ended before very_short_seconds",
        "COALESCE(j.ended_second - j.answered_second < j.very_short_seconds, FALSE)",
    ),
    truth(
        "in_business_hours",
        "Began in business_hours (kpi_settings)",
        # 1970 began on a Thursday.
        "COALESCE(SUBSTRING(j.open_quarters, "
        "CAST(1 + FLOOR((j.started_local_second + 3 * 86400) % 604800 / 900) AS INTEGER), 1) = '1', FALSE)",
    ),
    truth("answer_mismatch", "Inbound: the session's answer is not the earliest of its legs'", _MISMATCH),
    truth(
        "duration_mismatch",
        "TCCC's Duration is not end - answer of the session",
        f"COALESCE(j.tccc_duration <> CAST({_TALKED} AS TEXT), FALSE)",
    ),
    truth(
        "is_provisional",
        "Ended less than provisional_seconds ago, or no end is known: it may still change",
        "COALESCE(j.now_second - j.ended_second <= j.provisional_seconds, TRUE)",
    ),
    truth(
        "came_late",
        "Its first report came more than late_seconds after its end",
        "COALESCE(FLOOR(EXTRACT(EPOCH FROM j.first_received_at)) - j.ended_second > j.late_seconds, FALSE)",
    ),
    truth(
        "was_heard_again",
        "More was heard of it than one CDR and each recording and voicemail once: repeated, or corrected",
        "j.version % 1048576 > 1 + j.recordings_received + j.voicemail_count",
    ),
    whole("queue_wait_seconds", "(First answer, else end) - queued", "j.queue_wait_seconds", unit="seconds"),
    whole(
        "answer_wait_seconds",
        "First answer - queued, of answered",
        _when("j.is_answered", "j.queue_wait_seconds"),
        unit="seconds",
    ),
    whole(
        "abandon_wait_seconds",
        "End - queued, of abandoned",
        _when("j.is_abandoned", "j.queue_wait_seconds"),
        unit="seconds",
    ),
    whole(
        "answer_queue_seconds",
        "First ring of an agent - queued, of answered",
        _difference("j.is_answered", "rang_second", "queued_second"),
        unit="seconds",
    ),
    whole(
        "answer_ring_seconds",
        "First answer - first ring of an agent, of answered",
        _difference("j.is_answered", "answered_second", "rang_second"),
        unit="seconds",
    ),
    whole(
        "ivr_before_queue_seconds",
        "Queued - start",
        _difference("j.is_queued", "queued_second", "started_second"),
        unit="seconds",
    ),
    whole(
        "ivr_only_seconds",
        "End - start, of inbound calls neither queued nor answered",
        _difference("j.is_inbound AND NOT j.is_queued AND NOT j.is_handled", "ended_second", "started_second"),
        unit="seconds",
    ),
    whole("talk_seconds", "End - answer of every leg, added up; hold is in it", "j.talk_seconds", unit="seconds"),
    whole("leg_sequence_max", "Highest Sequence of its legs", "j.leg_sequence_max"),
    text("satisfaction_key", "The last key of the survey after the call", "j.satisfaction_key"),
    whole(
        "satisfaction_score", "What that key is worth (kpi_satisfaction_keys)", "j.satisfaction_score", unit="points"
    ),
    text(
        "ivr_path", "Keys pressed in the IVR, each with its label: 1:orders>3", "j.ivr_path", privacy=Privacy.FREE_TEXT
    ),
    text("source", "Where its CDR came from: push, api or push+api", "j.source"),
    whole("recordings_received", "Recordings that have come", "j.recordings_received", unit="count", nullable=False),
    whole("voicemail_count", "Voicemails", "j.voicemail_count", unit="count", nullable=False),
    whole(
        "received_after_seconds",
        "First receipt - end",
        "CAST(FLOOR(EXTRACT(EPOCH FROM j.first_received_at)) AS BIGINT) - j.ended_second",
        unit="seconds",
    ),
    whole(
        "committed_after_seconds",
        "Commit of the row - last receipt",
        "CAST(FLOOR(EXTRACT(EPOCH FROM j.loaded_at)) - FLOOR(EXTRACT(EPOCH FROM j.last_received_at)) AS BIGINT)",
        unit="seconds",
    ),
    instant("first_received_at", "First receipt of any report about it", "j.first_received_at", nullable=False),
    instant("loaded_at", "When the row was committed", "j.loaded_at", nullable=False),
    whole(DEFINITIONS.name, DEFINITIONS.description, f"CAST({DEFINITIONS_VERSION} AS BIGINT)", nullable=False),
)
_FOR_RETURNS: Final = (
    text("customer_number", "The customer's number, as in sessions", "j.customer_number", privacy=Privacy.PHONE),
    truth("caller_is_known", "TCCC named the customer's number", "j.customer_number IS NOT NULL"),
    whole(
        "contained_until_second",
        "End + containment_hours, in seconds since 1970",
        "j.contained_until_second",
        unit="seconds since 1970",
    ),
    whole(
        "helped_until_second",
        "End + fcr_days, in seconds since 1970",
        "j.helped_until_second",
        unit="seconds since 1970",
    ),
)
CALL_COLUMNS: Final = (*_OWN, *_FOR_RETURNS)


def _with_returns() -> Iterator[KpiColumn]:
    for column in _OWN:
        yield replace(column, sql=f"c.{column.name}")
        if column.name == "is_ivr_contained":
            yield from _RETURNS


SESSION_COLUMNS: Final = tuple(_with_returns())
