"""Each number, defined once: what it is called, what it counts in words, whose definition it follows, and its SQL.

The rule: a number is a count or a sum over calls, a ratio of two of those, or a percentile of the rows; never an
average of averages. From here come the views' columns, `kpi_definitions` and docs/kpis.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.columns import ColumnType

DEFINITIONS_VERSION: Final = 1
"""Grows with each change of any definition; every view tells it beside its numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One number. `id` is its column's name in every view that has it."""

    id: str
    name: str
    formula: str
    unit: str
    source: str = "callweave"
    version: int = 1
    sql: str | None = None
    """An aggregate over rows `k` of `kpi_sessions`; None: a ratio, or a view's own."""
    numerator: str | None = None
    denominator: str | None = None
    is_number_of_calls: bool = True
    """Whether it can be summed up over hours and days."""

    @property
    def type(self) -> ColumnType:
        """What its column holds."""
        is_whole = self.numerator is None and self.unit != "seconds, interpolated"
        return ColumnType.INTEGER if is_whole else ColumnType.FRACTION

    @property
    def nullable(self) -> bool:
        """A ratio of nothing, and a percentile of nothing, is NULL."""
        return not self.is_number_of_calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A number that analysts ask for, and that the data cannot give, or only with more than pushes."""

    id: str
    name: str
    source: str
    why: str


def _count(id: str, name: str, where: str, formula: str, source: str = "callweave") -> Definition:  # noqa: A002
    return Definition(
        id=id,
        name=name,
        formula=formula,
        unit="calls",
        source=source,
        sql=f"CAST(COUNT(*) FILTER (WHERE {where}) AS BIGINT)",
    )


def _sum(id: str, name: str, column: str, where: str, formula: str, unit: str = "seconds") -> Definition:  # noqa: A002
    return Definition(
        id=id,
        name=name,
        formula=formula,
        unit=unit,
        sql=f"CAST(COALESCE(SUM(k.{column}) FILTER (WHERE {where}), 0) AS BIGINT)",
    )


def _ratio(id: str, name: str, numerator: str, denominator: str, source: str, unit: str = "0 to 1") -> Definition:  # noqa: A002
    return Definition(
        id=id,
        name=name,
        formula=f"{numerator} ÷ {denominator}",
        unit=unit,
        source=source,
        numerator=numerator,
        denominator=denominator,
        is_number_of_calls=False,
    )


def _spread(prefix: str, name: str, column: str, formula: str, source: str) -> Iterator[Definition]:
    for percent in (50, 90, 95):
        yield Definition(
            id=f"{prefix}_p{percent}_seconds",
            name=f"{name}, {percent}th percentile",
            formula=f"{percent}th percentile of {formula}, from the rows, interpolated",
            unit="seconds, interpolated",
            source=source,
            sql=f"CAST(PERCENTILE_CONT({percent / 100:g}) WITHIN GROUP (ORDER BY k.{column}) AS DOUBLE PRECISION)",
            is_number_of_calls=False,
        )
    yield Definition(
        id=f"{prefix}_max_seconds",
        name=f"{name}, longest",
        formula=f"longest of {formula}",
        unit="seconds",
        source=source,
        sql=f"CAST(MAX(k.{column}) AS BIGINT)",
        is_number_of_calls=False,
    )


_ANY: Final = (
    Definition(
        id="session_count",
        name="Calls",
        formula="calls that the row counts, of whatever kind",
        unit="calls",
        sql="CAST(COUNT(*) AS BIGINT)",
    ),
)
_QUEUE: Final = (
    _count(
        "queued_count", "Offered to the queue", "k.is_queued", "inbound calls that entered a queue", "Amazon Connect"
    ),
    _count("answered_count", "Answered", "k.is_answered", "of these: an agent answered", "Amazon Connect"),
    _count(
        "abandoned_count",
        "Abandoned in the queue",
        "k.is_abandoned",
        "of these: not answered, and the customer gave up while waiting, or (ringing_is_abandoned) while an agent rang",
        "Amazon Connect",
    ),
    _count(
        "short_abandoned_count",
        "Short abandons",
        "k.is_short_abandoned",
        "abandoned before short_abandon_seconds of waiting",
        "Genesys, Google CCAI",
    ),
    _count(
        "flow_out_count",
        "Flow-outs",
        "k.is_flow_out",
        "queued, neither answered nor abandoned: no agent online, to voicemail, to a menu",
        "Genesys",
    ),
    _count(
        "left_queue_in_target_count",
        "Left the queue in time",
        "k.left_queue_in_target",
        "queued, and answered or else ended within target_seconds",
        "Amazon Connect",
    ),
    _ratio(
        "service_level_connect",
        "Service level, Amazon Connect style",
        "left_queue_in_target_count",
        "queued_count",
        "Amazon Connect (older copy: removed from queue within X seconds ÷ queued)",
    ),
    _count(
        "answered_in_target_count",
        "Answered in time",
        "k.is_answered_in_target",
        "answered within target_seconds",
        "Genesys",
    ),
    _count(
        "genesys_divisor_count",
        "What Genesys divides by",
        "k.counts_for_genesys",
        "answered + abandoned, + flow-outs (genesys_adds_flow_outs), - short abandons (genesys_drops_short_abandons), "
        "- all abandons (genesys_drops_abandons)",
        "Genesys",
    ),
    _ratio(
        "service_level_genesys",
        "Service level, Genesys style",
        "answered_in_target_count",
        "genesys_divisor_count",
        "Genesys",
    ),
    _ratio(
        "abandonment_rate_connect",
        "Abandonment rate, Amazon Connect",
        "abandoned_count",
        "queued_count",
        "Amazon Connect",
    ),
    _count(
        "abandoned_not_short_count",
        "Abandons that are not short",
        "k.is_abandoned AND NOT k.is_short_abandoned",
        "abandoned, without short abandons",
        "Google CCAI",
    ),
    _count(
        "handled_or_abandoned_count",
        "What Google divides by",
        "k.is_handled OR (k.is_abandoned AND NOT k.is_short_abandoned)",
        "inbound handled + abandoned, without short abandons",
        "Google CCAI",
    ),
    _ratio(
        "abandonment_rate_google",
        "Abandonment rate, Google CCAI",
        "abandoned_not_short_count",
        "handled_or_abandoned_count",
        "Google CCAI",
    ),
    _count(
        "answer_wait_count", "Answers with a wait", "k.answer_wait_seconds IS NOT NULL", "answered, with both times"
    ),
    _sum(
        "answer_wait_seconds_sum",
        "Waiting for an answer",
        "answer_wait_seconds",
        "k.is_answered",
        "answered: first answer - queued, added up",
    ),
    _ratio(
        "asa_seconds",
        "Average speed of answer (ASA)",
        "answer_wait_seconds_sum",
        "answer_wait_count",
        "Amazon Connect",
        "seconds",
    ),
    _count(
        "answer_parts_count",
        "Answers whose parts are known",
        "k.answer_ring_seconds IS NOT NULL AND k.answer_queue_seconds IS NOT NULL",
        "answered, and the first ring is known",
    ),
    _sum(
        "answer_queue_seconds_sum",
        "Speed of answer, the queue's part",
        "answer_queue_seconds",
        "k.answer_ring_seconds IS NOT NULL",
        "of these: first ring of an agent - queued, added up",
    ),
    _sum(
        "answer_ring_seconds_sum",
        "Speed of answer, the ringing's part",
        "answer_ring_seconds",
        "k.answer_queue_seconds IS NOT NULL",
        "of these: first answer - first ring of an agent, added up",
    ),
    _ratio(
        "asa_queue_seconds",
        "Of the average speed of answer: until an agent rings",
        "answer_queue_seconds_sum",
        "answer_parts_count",
        "callweave",
        "seconds",
    ),
    _ratio(
        "asa_ring_seconds",
        "Of the average speed of answer: ringing",
        "answer_ring_seconds_sum",
        "answer_parts_count",
        "callweave",
        "seconds",
    ),
    *_spread(
        "queue_wait",
        "Queue wait",
        "queue_wait_seconds",
        "(first answer, else end) - queued, of all queued, abandoned ones too",
        "Amazon Connect",
    ),
    *_spread(
        "answer_wait",
        "Wait of answered calls",
        "answer_wait_seconds",
        "first answer - queued, of answered",
        "callweave",
    ),
    _count(
        "abandon_wait_count", "Abandons with a wait", "k.abandon_wait_seconds IS NOT NULL", "abandoned, with both times"
    ),
    _sum(
        "abandon_wait_seconds_sum",
        "Waiting before giving up",
        "abandon_wait_seconds",
        "k.is_abandoned",
        "abandoned: end - queued, added up",
    ),
    _ratio(
        "mean_abandon_seconds",
        "Mean time to abandon",
        "abandon_wait_seconds_sum",
        "abandon_wait_count",
        "Amazon Connect",
        "seconds",
    ),
    _count(
        "no_agent_count",
        "No agent online",
        "k.is_inbound AND k.end_status = 'noSeatOnline'",
        "inbound, ended noSeatOnline",
    ),
)
_HANDLED: Final = (
    _count(
        "handled_count",
        "Handled",
        "k.is_handled",
        "inbound calls that an agent answered, queued or not",
        "Amazon Connect",
    ),
    _sum(
        "talk_seconds_sum",
        "Talk time",
        "talk_seconds",
        "k.is_handled",
        "handled: end - answer of every leg, added up; hold is in it",
    ),
    _ratio(
        "aht_without_acw_seconds",
        "Average handle time without after-call work",
        "talk_seconds_sum",
        "handled_count",
        "Amazon Connect, less what pushes cannot tell: after-call work",
        "seconds",
    ),
    _count(
        "transferred_count", "Transferred", "k.is_transferred", "handled, and a leg was passed on", "Amazon Connect"
    ),
    _ratio("transfer_rate", "Transfer rate", "transferred_count", "handled_count", "Amazon Connect"),
    Definition(
        id="leg_sequence_max",
        name="Depth of transfers",
        formula="highest Sequence of a leg of a transferred call",
        unit="legs after the first",
        sql="CAST(MAX(CASE WHEN k.is_transferred THEN k.leg_sequence_max END) AS BIGINT)",
        is_number_of_calls=False,
    ),
    _count(
        "fcr_base_count",
        "Calls that first contact resolution is about",
        "k.is_helped_once IS NOT NULL",
        "handled, of a known caller",
    ),
    _count(
        "fcr_count",
        "Callers who did not call again",
        "k.is_helped_once",
        "of these: the caller made no other inbound call within fcr_days after the end",
    ),
    _count(
        "fcr_provisional_count",
        "Of these, the ones who still may",
        "k.is_helped_once AND k.fcr_is_provisional",
        "of the callers who did not: fcr_days have not passed yet",
    ),
    _ratio(
        "fcr_rate_proxy", "First contact resolution, a proxy", "fcr_count", "fcr_base_count", "proxy: nobody is asked"
    ),
    _count(
        "repeated_count",
        "Callers who called again",
        "NOT k.is_helped_once",
        "fcr_base_count - fcr_count",
    ),
    _ratio(
        "repeat_rate_proxy", "Repeat rate, a proxy", "repeated_count", "fcr_base_count", "proxy: 1 - fcr_rate_proxy"
    ),
    _count(
        "csat_response_count",
        "Answers to the survey",
        "k.is_handled AND k.satisfaction_key IS NOT NULL",
        "handled, and a key was pressed after the call",
    ),
    _ratio("csat_response_rate", "Response rate of the survey", "csat_response_count", "handled_count", "callweave"),
    _count(
        "csat_scored_count",
        "Answers that have a score",
        "k.is_handled AND k.satisfaction_score IS NOT NULL",
        "of these: satisfaction_scores says what the last key is worth",
    ),
    _sum("csat_score_sum", "Scores", "satisfaction_score", "k.is_handled", "their scores, added up", "points"),
    _ratio(
        "csat_score",
        "Customer satisfaction (CSAT)",
        "csat_score_sum",
        "csat_scored_count",
        "satisfaction_scores",
        "points",
    ),
    _count(
        "agent_hung_up_count",
        "Agent hung up first",
        "k.is_handled AND k.hung_up_by = 'seat'",
        "handled, and the agent ended the call",
        "Amazon Connect",
    ),
    _ratio(
        "agent_hang_up_rate", "Share that the agent ended", "agent_hung_up_count", "handled_count", "Amazon Connect"
    ),
    _count(
        "agent_hung_up_early_count",
        "Agent hung up at once",
        "k.is_handled AND k.hung_up_by = 'seat' AND k.is_very_short",
        "of these: before very_short_seconds after the answer",
    ),
    _count(
        "very_short_count",
        "Very short calls",
        "k.is_handled AND k.is_very_short",
        "handled, end - first answer < very_short_seconds",
    ),
    _ratio("very_short_rate", "Share of very short calls", "very_short_count", "handled_count", "callweave"),
    _count(
        "answer_mismatch_count",
        "Session and leg disagree on the answer",
        "k.answer_mismatch",
        "inbound, and the session's answer is not the earliest of its legs'; the legs' counts",
    ),
    _count(
        "duration_mismatch_count",
        "TCCC's Duration is not end - answer",
        "k.duration_mismatch",
        "TCCC's Duration differs from the session's end - answer",
    ),
)
_LINE: Final = (
    _count("offered_count", "Offered", "k.is_inbound", "inbound calls, internal ones excepted", "Amazon Connect"),
    _count(
        "in_business_hours_count",
        "Offered in business hours",
        "k.is_inbound AND k.in_business_hours",
        "of these: began in business_hours",
    ),
)
_IVR: Final = (
    _count("ivr_only_count", "Never queued", "k.ivr_only_seconds IS NOT NULL", "inbound, neither queued nor answered"),
    _sum(
        "ivr_only_seconds_sum",
        "Time in the IVR alone",
        "ivr_only_seconds",
        "k.is_inbound",
        "of these: end - start, added up",
    ),
    _ratio(
        "mean_ivr_only_seconds",
        "Mean time in the IVR alone",
        "ivr_only_seconds_sum",
        "ivr_only_count",
        "callweave",
        "seconds",
    ),
    _count(
        "ivr_before_queue_count",
        "Came through the IVR",
        "k.ivr_before_queue_seconds IS NOT NULL",
        "queued, with both times",
    ),
    _sum(
        "ivr_before_queue_seconds_sum",
        "Time in the IVR before the queue",
        "ivr_before_queue_seconds",
        "k.is_queued",
        "queued - start, added up",
    ),
    _ratio(
        "mean_ivr_before_queue_seconds",
        "Mean IVR time",
        "ivr_before_queue_seconds_sum",
        "ivr_before_queue_count",
        "Tencent Cloud: queued - start",
        "seconds",
    ),
    _count(
        "ivr_contained_raw_count",
        "Ended in the IVR",
        "k.is_ivr_contained",
        "inbound, not answered: ended ivrEnd, or never queued and ok",
        "OpsDog",
    ),
    _ratio("ivr_containment_rate_raw", "IVR containment, raw", "ivr_contained_raw_count", "offered_count", "OpsDog"),
    _count(
        "ivr_contained_true_count",
        "Ended in the IVR for good",
        "k.is_ivr_contained AND NOT k.is_back_soon",
        "of these: without callers who made another inbound call within containment_hours",
        "Turnella",
    ),
    _ratio(
        "ivr_containment_rate_true",
        "IVR containment, true",
        "ivr_contained_true_count",
        "offered_count",
        "Turnella; a proxy: unknown callers count as contained",
    ),
    _count(
        "ivr_abandoned_count",
        "Gave up in the IVR",
        "k.is_inbound AND k.end_status = 'ivrGiveUp'",
        "inbound, ended ivrGiveUp",
    ),
    _ratio("ivr_abandon_rate", "IVR abandon rate", "ivr_abandoned_count", "offered_count", "callweave"),
    _count(
        "blocked_count",
        "Blocked",
        "k.is_inbound AND k.end_status IN ('blackList', 'CallinBlockedContact')",
        "inbound, ended blackList",
    ),
    _ratio("blocked_share", "Share blocked", "blocked_count", "offered_count", "callweave"),
    _count("closed_count", "Closed", "k.is_inbound AND k.end_status = 'notWorkTime'", "inbound, ended notWorkTime"),
    _ratio("closed_share", "Share that found us closed", "closed_count", "offered_count", "callweave"),
    _ratio("no_agent_share", "Share without an agent online", "no_agent_count", "offered_count", "callweave"),
)
_OUT: Final = (
    _count("outbound_count", "Outbound calls", "k.is_outbound", "outbound, neither internal nor predictive"),
    _count(
        "outbound_connected_count", "Of these, connected", "k.is_outbound AND k.is_connected", "the customer answered"
    ),
    _ratio("outbound_connect_rate", "Outbound connect rate", "outbound_connected_count", "outbound_count", "callweave"),
    _count("predictive_count", "Predictive calls", "k.is_predictive", "outbound, dialled by a campaign"),
    _count(
        "predictive_connected_count",
        "Of these, connected",
        "k.is_predictive AND k.is_connected",
        "the customer answered",
    ),
    _ratio(
        "predictive_connect_rate",
        "Predictive connect rate",
        "predictive_connected_count",
        "predictive_count",
        "callweave",
    ),
    _count(
        "predictive_dropped_count",
        "Of these, dropped",
        "k.is_predictive AND k.is_connected AND NOT k.has_leg_answer",
        "the customer answered, and no agent did",
    ),
    _ratio(
        "predictive_drop_rate",
        "Predictive drop rate",
        "predictive_dropped_count",
        "predictive_connected_count",
        "callweave",
    ),
    _count("dialled_count", "Dialled", "k.is_outbound OR k.is_predictive", "outbound and predictive calls"),
    _count(
        "number_trouble_count",
        "Refused by carriers",
        "(k.is_outbound OR k.is_predictive) AND k.end_status IN ('carrierBlocked', 'operatorError', 'tooManyRequest')",
        "of these: ended carrierBlocked, operatorError or tooManyRequest",
    ),
    _ratio("number_trouble_rate", "Number health: share refused", "number_trouble_count", "dialled_count", "callweave"),
)
_EXITS: Final = frozenset(
    {"queued_count", "handled_count", "ivr_abandoned_count", "ivr_contained_raw_count", "closed_count", "blocked_count"}
)
_VOICEMAIL: Final = (
    _sum("voicemail_count", "Voicemails", "voicemail_count", "k.is_inbound", "messages left", "voicemails"),
    _ratio(
        "voicemail_rate",
        "Voicemail rate",
        "voicemail_count",
        "flow_out_count",
        "callweave: closed hours leave messages without a flow-out, so it may exceed 1",
        "per flow-out",
    ),
)
_STANDING: Final = (
    _count(
        "provisional_count",
        "Calls that may still change",
        "k.is_provisional",
        "ended less than provisional_seconds ago, or no end is known",
    ),
    _ratio("provisional_share", "Share still provisional", "provisional_count", "session_count", "callweave"),
)

OF_QUEUES: Final = (*_ANY, *_QUEUE, *_HANDLED, *_STANDING)
OF_LINES: Final = (*_ANY, *_LINE, *_QUEUE, *_HANDLED, *_IVR, *_OUT, *_VOICEMAIL, *_STANDING)
OF_AGENTS: Final = (
    _count("leg_count", "Legs", "k.is_leg", "stretches of calls with this agent, of whatever kind"),
    _count("routed_count", "Routed to the agent", "k.is_routed", "inbound legs that rang", "Amazon Connect"),
    _count("leg_answered_count", "Answered by the agent", "k.is_routed AND k.is_leg_answered", "of these: answered"),
    _ratio("agent_answer_rate", "Agent answer rate", "leg_answered_count", "routed_count", "Amazon Connect"),
    _count(
        "customer_gave_up_count",
        "Customer gave up while ringing",
        "k.is_routed AND k.customer_gave_up",
        "routed, not answered: the leg ended ringingGiveUp, or it is the last of a call that did",
    ),
    _count(
        "ring_no_answer_count",
        "Ring, no answer",
        "k.is_routed AND NOT k.is_leg_answered AND NOT k.customer_gave_up",
        "routed, not answered, and the customer did not give up",
        "Amazon Connect: agent non-response",
    ),
    _ratio("ring_no_answer_rate", "Share not answered", "ring_no_answer_count", "routed_count", "Amazon Connect"),
    _sum(
        "leg_ring_seconds_sum",
        "Ringing before the answer",
        "leg_ring_seconds",
        "k.is_routed",
        "routed and answered: answer - ring, added up",
    ),
    _ratio("mean_ring_seconds", "Mean ringing", "leg_ring_seconds_sum", "leg_answered_count", "callweave", "seconds"),
    _sum(
        "inbound_talk_seconds_sum",
        "Talk time, inbound",
        "leg_talk_seconds",
        "k.is_inbound",
        "end - answer of inbound legs, added up; hold is in it",
    ),
    _count(
        "inbound_leg_answered_count",
        "Inbound legs answered",
        "k.is_inbound AND k.is_leg_answered",
        "inbound legs with an answer",
    ),
    _ratio(
        "leg_aht_without_acw_seconds",
        "Average handle time of a leg, without after-call work",
        "inbound_talk_seconds_sum",
        "inbound_leg_answered_count",
        "Amazon Connect, less what pushes cannot tell: after-call work",
        "seconds",
    ),
    _count("outbound_leg_count", "Outbound legs", "k.is_outbound", "legs of outbound and predictive calls"),
    _count(
        "outbound_leg_connected_count",
        "Of these, connected",
        "k.is_outbound AND k.is_connected AND k.is_leg_answered",
        "customer and agent answered",
    ),
    _sum(
        "outbound_talk_seconds_sum",
        "Talk time, outbound",
        "leg_talk_seconds",
        "k.is_outbound",
        "end - the later of the two answers of outbound legs, added up; hold is in it",
    ),
    _count(
        "transferred_out_count", "Passed on", "k.is_passed_on", "answered legs that were passed on", "Amazon Connect"
    ),
    _count("transferred_in_count", "Taken over", "k.is_taken_over", "answered legs that came from another participant"),
    _ratio(
        "leg_transfer_rate", "Share passed on", "transferred_out_count", "inbound_leg_answered_count", "Amazon Connect"
    ),
    _count(
        "leg_hung_up_count",
        "Hung up by the agent",
        "k.is_hung_up",
        "answered inbound legs that are the last of a call that the agent ended",
        "Amazon Connect",
    ),
    _ratio(
        "leg_hang_up_rate",
        "Share hung up by the agent",
        "leg_hung_up_count",
        "inbound_leg_answered_count",
        "Amazon Connect",
    ),
    _sum(
        "all_talk_seconds_sum",
        "Talk time",
        "leg_talk_seconds",
        "k.is_leg",
        "inbound and outbound",
    ),
    Definition(
        id="shift_seconds",
        name="Length of the shift, a proxy",
        formula="last end - first ring of the day",
        unit="seconds",
        sql="CAST(FLOOR(EXTRACT(EPOCH FROM MAX(k.leg_ended_at))) "
        "- FLOOR(EXTRACT(EPOCH FROM MIN(k.leg_began_at))) AS BIGINT)",
        is_number_of_calls=False,
    ),
    _ratio(
        "talk_share_proxy",
        "Share of the shift spent talking, a proxy of occupancy",
        "all_talk_seconds_sum",
        "shift_seconds",
        "proxy: breaks are in the shift",
    ),
    _count("leg_provisional_count", "Legs that may still change", "k.is_provisional", "of calls that may still change"),
    _ratio("leg_provisional_share", "Share still provisional", "leg_provisional_count", "leg_count", "callweave"),
)
OF_END_REASONS: Final = (*_ANY, *_STANDING)
OF_IVR_PATHS: Final = (
    *_ANY,
    *(one for one in (*_QUEUE, *_HANDLED, *_IVR) if one.id in _EXITS),
    *_STANDING,
)
OF_TRANSFERS: Final = (
    _count(
        "transferred_leg_count",
        "Legs passed on",
        "k.is_passed_on",
        "answered legs of inbound calls that were passed on",
    ),
    _count(
        "transferred_provisional_count",
        "Of these, the ones that may still change",
        "k.is_passed_on AND k.is_provisional",
        "of calls that may still change",
    ),
    _ratio(
        "transferred_provisional_share",
        "Share still provisional",
        "transferred_provisional_count",
        "transferred_leg_count",
        "callweave",
    ),
)
OF_RECORDINGS: Final = (
    _count("recording_count", "Recordings", "k.is_recording", "recordings that a CDR named or that came", "callweave"),
    _count(
        "recordings_due_count",
        "Recordings due",
        "k.is_due",
        "named by the call, or by one of its legs that was answered",
    ),
    _count("recordings_due_received_count", "Of these, here", "k.is_due AND k.is_received", "received"),
    _ratio(
        "recording_coverage",
        "Recording coverage",
        "recordings_due_received_count",
        "recordings_due_count",
        "callweave",
    ),
    _count(
        "recordings_due_absent_count",
        "Of those due, absent",
        "k.is_due AND k.is_absent",
        "the API says that there is none",
    ),
    _count(
        "recordings_kept_by_tccc_count",
        "Kept by TCCC alone",
        "k.kept_days_left IS NOT NULL",
        "received, and no address in a storage of one's own",
    ),
    Definition(
        id="kept_days_left_min",
        name="Days that TCCC still keeps the first to go",
        formula="fewest days left of TCCC's three months (90 days) among those that it alone keeps",
        unit="days",
        source="Tencent Cloud",
        sql="CAST(MIN(k.kept_days_left) AS BIGINT)",
        is_number_of_calls=False,
    ),
    *_spread(
        "recording_delay",
        "Delay of recordings",
        "delay_seconds",
        "first receipt of a pushed recording - end of the call",
        "callweave",
    ),
    _count(
        "archive_due_count",
        "Recordings due in the archive",
        "k.is_archive_due",
        "recordings that the archiver took up: waiting, stored, lost, refused, or deleted after being kept",
    ),
    _count(
        "archived_count",
        "Of these, archived",
        "k.is_archived",
        "their file came into the archive, with its checksum",
    ),
    _ratio("archive_coverage", "Archive coverage", "archived_count", "archive_due_count", "callweave"),
    Definition(
        id="archive_days_left_min",
        name="Days left for the first one that the archive lacks",
        formula="fewest days left of TCCC's three months (90 days) among those that wait for the archiver; "
        "below 0: too late",
        unit="days",
        source="Tencent Cloud",
        sql="CAST(MIN(k.archive_days_left) AS BIGINT)",
        is_number_of_calls=False,
    ),
    _count(
        "recordings_provisional_count",
        "Recordings that may still change",
        "k.is_recording AND k.is_provisional",
        "of calls that may still change",
    ),
    _ratio(
        "recordings_provisional_share",
        "Share still provisional",
        "recordings_provisional_count",
        "recording_count",
        "callweave",
    ),
)
OF_VOICEMAILS: Final = (
    _count("message_count", "Messages", "k.is_voicemail", "voicemails, of whatever call"),
    *_spread(
        "voicemail_delay",
        "Delay of voicemails",
        "delay_seconds",
        "receipt of a pushed voicemail - end of the call",
        "callweave",
    ),
    _count(
        "messages_provisional_count",
        "Messages that may still change",
        "k.is_voicemail AND k.is_provisional",
        "of calls that may still change",
    ),
    _ratio(
        "messages_provisional_share",
        "Share still provisional",
        "messages_provisional_count",
        "message_count",
        "callweave",
    ),
)
OF_THE_PIPELINE: Final = (
    *_ANY,
    _count("late_count", "Late sessions", "k.came_late", "first report more than late_seconds after the end"),
    _ratio("late_rate", "Share of late sessions", "late_count", "session_count", "callweave"),
    _count(
        "heard_again_count",
        "Heard of again",
        "k.was_heard_again",
        "repeated or corrected: more was heard than once each",
    ),
    _ratio("heard_again_rate", "Share heard of again", "heard_again_count", "session_count", "callweave"),
    _count("api_only_count", "Repaired", "k.source = 'api'", "their CDR came from the API alone"),
    _ratio("api_only_rate", "Share repaired", "api_only_count", "session_count", "callweave"),
    *_spread(
        "received_after", "From end to receipt", "received_after_seconds", "first receipt - end", "Snowplow: latency"
    ),
    *_spread(
        "committed_after",
        "From receipt to row",
        "committed_after_seconds",
        "commit of the row - last receipt",
        "Snowplow: latency",
    ),
    *_STANDING,
)
OF_CONCURRENCY: Final = (
    Definition(
        id="talking_peak",
        name="Most calls at a time",
        formula="highest number of calls between answer and end at one moment of the quarter of an hour",
        unit="calls",
        is_number_of_calls=False,
    ),
    Definition(
        id="waiting_peak",
        name="Most callers waiting at a time",
        formula="highest number of calls between queued and (answer, else end) at one moment of the quarter of an hour",
        unit="calls",
        is_number_of_calls=False,
    ),
    Definition(
        id="talking_seconds_sum",
        name="Seconds of talk in the quarter",
        formula="calls between answer and end, their seconds within it added up; ÷ 900: how many at a time, mean",
        unit="seconds",
    ),
    Definition(
        id="waiting_seconds_sum",
        name="Seconds of waiting in the quarter",
        formula="callers between queued and (answer, else end), their seconds within the quarter added up",
        unit="seconds",
    ),
    Definition(
        id="stretch_count",
        name="Stretches of talk and of waiting in the quarter",
        formula="of a call: one between answer and end, one between queued and (answer, else end)",
        unit="stretches",
    ),
    Definition(
        id="stretch_provisional_count",
        name="Of these, the ones that may still change",
        formula="of calls that may still change",
        unit="stretches",
    ),
    _ratio(
        "stretch_provisional_share",
        "Share still provisional",
        "stretch_provisional_count",
        "stretch_count",
        "callweave",
    ),
)

ABSENT: Final = (
    Absent(
        id="hold_seconds",
        name="Hold time",
        source="Amazon Connect",
        why="no push tells of hold; with ENRICH__SESSION_DETAILS it is in session_hold, by session",
    ),
    Absent(
        id="after_call_work_seconds",
        name="After-call work (ACW)",
        source="Amazon Connect",
        why="no push tells of it; with ENRICH__AGENT_STATUS it is in agent_occupancy, by agent and UTC day",
    ),
    Absent(
        id="aht_seconds",
        name="Average handle time with after-call work (AHT)",
        source="Amazon Connect",
        why="after-call work is known by agent and day at best; aht_without_acw_seconds is what calls give",
    ),
    Absent(
        id="occupancy",
        name="Occupancy",
        source="Amazon Connect",
        why="no push tells of idle time; with ENRICH__AGENT_STATUS it is in agent_occupancy, by agent and UTC day",
    ),
    Absent(
        id="consult_rate",
        name="Consult without transfer",
        source="Amazon Connect",
        why="neither pushes nor the API mark a consultation",
    ),
    Absent(
        id="duplicate_rate",
        name="Pushes that came again",
        source="callweave",
        why="rows do not keep deliveries apart; the receiver and the worker count them (their metrics), and "
        "kpi_daily_pipeline has sessions of which more was heard than once",
    ),
    Absent(
        id="corrected_rate",
        name="Corrected sessions",
        source="callweave",
        why="a row holds the last version only; sessions_heard_again_count of kpi_daily_pipeline holds them, together "
        "with those of which the same was heard again",
    ),
)
