"""The numbers of a simulated day in plain Python, from what happened in the simulator: no SQL, no warehouse.

The rule: it shares nothing with `sinks.kpi` but the names of columns. Calls are looked at one by one, concurrency is
counted second by second, percentiles are read off sorted lists.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from callweave.simulator.facts import INTERNAL, Call, Leg, Session
from sinks.kpi.rules import KpiRules

PREDICTIVE = 5
Row = dict[str, Any]


@dataclass(slots=True)
class Contact:
    """One call, looked at."""

    session: Session
    rules: KpiRules
    received: Mapping[str, int]
    """Content to the second in which it was received."""
    returned_after: int | None = None
    """Seconds from the end to the same caller's next inbound call."""
    now: int = 0
    call: Call = field(init=False)

    def __post_init__(self) -> None:
        (self.call,) = self.session.calls

    @property
    def inbound(self) -> bool:
        return self.call.direction == 0 and self.call.call_type != INTERNAL

    @property
    def predictive(self) -> bool:
        return self.call.direction == 1 and self.call.call_type == PREDICTIVE

    @property
    def outbound(self) -> bool:
        return self.call.direction == 1 and self.call.call_type not in (INTERNAL, PREDICTIVE)

    @property
    def picked_up(self) -> list[Leg]:
        return [leg for leg in self.call.legs if leg.answered]

    @property
    def answer(self) -> int:
        """The second of the first answer, or 0."""
        if self.call.direction == 1:
            return self.call.answered
        return min((leg.answered for leg in self.picked_up), default=self.call.answered)

    @property
    def queued(self) -> bool:
        return self.inbound and self.call.queued > 0

    @property
    def handled(self) -> bool:
        return self.inbound and self.answer > 0

    @property
    def fate(self) -> str:
        """What became of a queued call."""
        if not self.queued:
            return "never queued"
        if self.answer:
            return "answered"
        gave_up = {"waitingGiveUp"} | ({"ringingGiveUp"} if self.rules.ringing_is_abandoned else set())
        return "abandoned" if self.call.end_status in gave_up else "flow-out"

    @property
    def wait(self) -> int:
        return (self.answer or self.call.ended) - self.call.queued

    @property
    def short(self) -> bool:
        return self.fate == "abandoned" and self.wait < self.rules.short_abandon_seconds

    @property
    def in_time(self) -> bool:
        return self.wait <= self.rules.target_seconds

    @property
    def genesys(self) -> bool:
        match self.fate:
            case "answered":
                return True
            case "flow-out":
                return self.rules.genesys_adds_flow_outs
            case "abandoned":
                dropped = self.rules.genesys_drops_abandons
                return not dropped and not (self.short and self.rules.genesys_drops_short_abandons)
        return False

    @property
    def contained(self) -> bool:
        call = self.call
        in_vain = self.inbound and not self.answer
        return in_vain and (call.end_status == "ivrEnd" or (not call.queued and call.end_status == "ok"))

    @property
    def transferred(self) -> bool:
        return self.handled and any(leg.transfer_to or leg.end_status == "seatForward" for leg in self.call.legs)

    @property
    def very_short(self) -> bool:
        return bool(self.answer) and self.call.ended - self.answer < self.rules.very_short_seconds

    @property
    def returned_within_fcr(self) -> bool:
        return self.returned_after is not None and self.returned_after <= self.rules.fcr_days * 86_400

    @property
    def returned_soon(self) -> bool:
        return self.returned_after is not None and self.returned_after <= self.rules.containment_hours * 3_600

    @property
    def provisional(self) -> bool:
        return self.now - self.call.ended <= self.rules.provisional_seconds

    @property
    def key(self) -> str | None:
        return self.call.post_ivr_keys[-1].key if self.call.post_ivr_keys else None

    @property
    def score(self) -> int | None:
        return dict(self.rules.satisfaction_scores).get(self.key or "")

    @property
    def talk(self) -> int:
        return sum(leg.ended - leg.answered for leg in self.picked_up)

    @property
    def first_received(self) -> int:
        return min(self.received.values())

    @property
    def last_received(self) -> int:
        return max(self.received.values())

    def clock(self, second: int) -> datetime:
        return datetime.fromtimestamp(second, ZoneInfo(self.rules.time_zone))


def contacts_of(
    sessions: Sequence[Session],
    receipts: Mapping[int, Mapping[str, int]],
    rules: Mapping[int, KpiRules],
    *,
    now: int,
) -> list[Contact]:
    """Every call, and when its caller called again."""
    contacts = [
        Contact(session, rules.get(session.sdk_app_id, rules[0]), receipts[place], now=now)
        for place, session in enumerate(sessions)
    ]
    callers: dict[tuple[int, str], list[Contact]] = defaultdict(list)
    for contact in contacts:
        if contact.inbound and contact.call.customer:
            callers[contact.session.sdk_app_id, contact.call.customer].append(contact)
    for theirs in callers.values():
        theirs.sort(key=lambda one: (one.call.started, one.session.session_id))
        for one, following in itertools.pairwise(theirs):
            one.returned_after = following.call.started - one.call.ended
    return contacts


def expected_numbers(contacts: Sequence[Contact]) -> dict[str, list[Row]]:
    """The rows of every view of numbers that is made of calls."""
    return {
        "kpi_daily": _grouped(contacts, _started_day, _of_lines),
        "kpi_hourly_line": _grouped(contacts, _by_line_hour, _of_lines),
        "kpi_hourly_skill_group": _grouped([c for c in contacts if c.queued], _by_group_hour, _of_queues),
        "kpi_daily_agent": _agents(contacts),
        "kpi_daily_end_reason": _end_reasons(contacts),
        "kpi_daily_ivr_path": _grouped([c for c in contacts if c.inbound], _by_path, _of_paths),
        "kpi_daily_transfer": _transfers(contacts),
        "kpi_daily_recording": _grouped([c for c in contacts if _named(c)], _started_day, _of_recordings),
        "kpi_daily_voicemail": _grouped([c for c in contacts if c.session.voicemails], _started_day, _of_voicemails),
        "kpi_daily_pipeline": _grouped(contacts, _started_day, _of_the_pipeline),
        "kpi_concurrency": _concurrency(contacts),
    }


# Where a call stands


def _started_day(one: Contact) -> Row:
    return {"sdk_app_id": one.session.sdk_app_id, "day": one.clock(one.call.started).date()}


def _by_line_hour(one: Contact) -> Row:
    line = None
    if one.call.call_type != INTERNAL:
        line = (one.call.callee if one.call.direction == 0 else one.call.caller) or None
    return {**_hour(one, one.call.started), "line_number": line}


def _by_group_hour(one: Contact) -> Row:
    return {**_hour(one, one.call.queued), "skill_group_id": one.call.skill_group_id or None}


def _by_path(one: Contact) -> Row:
    path = ">".join(f"{press.key}:{press.label}" if press.label else press.key for press in one.call.ivr_keys_ex)
    return {**_started_day(one), "ivr_path": path or None}


def _hour(one: Contact, second: int) -> Row:
    local = one.clock(second)
    began = local.replace(minute=0, second=0).astimezone(UTC)
    return {"sdk_app_id": one.session.sdk_app_id, "hour": began, "day": local.date(), "local_hour": local.hour}


# What is counted


def _of_lines(these: list[Contact]) -> Row:
    inbound = [c for c in these if c.inbound]
    dialled = [c for c in these if c.outbound or c.predictive]
    outbound, predictive = [c for c in these if c.outbound], [c for c in these if c.predictive]
    in_ivr_only = [c.call.ended - c.call.started for c in inbound if not c.queued and not c.handled]
    before = [c.call.queued - c.call.started for c in inbound if c.queued]
    contained = [c for c in inbound if c.contained]
    troubles = {"carrierBlocked", "operatorError", "tooManyRequest"}
    dropped = [c for c in predictive if c.call.answered and not c.picked_up]
    offered = len(inbound)
    queue = _of_queues(these)
    voicemails = sum(len(c.session.voicemails) for c in inbound)
    return {
        **queue,
        "offered_count": offered,
        "in_business_hours_count": sum(_is_open(c) for c in inbound),
        "ivr_only_count": len(in_ivr_only),
        "ivr_only_seconds_sum": sum(in_ivr_only),
        "mean_ivr_only_seconds": _over(sum(in_ivr_only), len(in_ivr_only)),
        "ivr_before_queue_count": len(before),
        "ivr_before_queue_seconds_sum": sum(before),
        "mean_ivr_before_queue_seconds": _over(sum(before), len(before)),
        "ivr_contained_raw_count": len(contained),
        "ivr_containment_rate_raw": _over(len(contained), offered),
        "ivr_contained_true_count": (true := sum(not c.returned_soon for c in contained)),
        "ivr_containment_rate_true": _over(true, offered),
        **_ended(inbound, "ivr_abandoned_count", "ivr_abandon_rate", {"ivrGiveUp"}),
        **_ended(inbound, "blocked_count", "blocked_share", {"blackList", "CallinBlockedContact"}),
        **_ended(inbound, "closed_count", "closed_share", {"notWorkTime"}),
        "no_agent_share": _over(queue["no_agent_count"], offered),
        "outbound_count": len(outbound),
        "outbound_connected_count": (connected := sum(c.call.answered > 0 for c in outbound)),
        "outbound_connect_rate": _over(connected, len(outbound)),
        "predictive_count": len(predictive),
        "predictive_connected_count": (reached := sum(c.call.answered > 0 for c in predictive)),
        "predictive_connect_rate": _over(reached, len(predictive)),
        "predictive_dropped_count": len(dropped),
        "predictive_drop_rate": _over(len(dropped), reached),
        "dialled_count": len(dialled),
        "number_trouble_count": (refused := sum(c.call.end_status in troubles for c in dialled)),
        "number_trouble_rate": _over(refused, len(dialled)),
        "voicemail_count": voicemails,
        "voicemail_rate": _over(voicemails, queue["flow_out_count"]),
    }


def _of_queues(these: list[Contact]) -> Row:
    fates = Counter(c.fate for c in these)
    queued = [c for c in these if c.queued]
    answered = [c for c in queued if c.fate == "answered"]
    abandoned = [c for c in queued if c.fate == "abandoned"]
    handled = [c for c in these if c.handled]
    in_time = sum(c.in_time for c in queued)
    answered_in_time = sum(c.in_time for c in answered)
    divisor = sum(c.genesys for c in queued)
    short = sum(c.short for c in abandoned)
    google = len(handled) + len(abandoned) - short
    waits = [c.wait for c in answered]
    first_rings = [min(leg.rang for leg in c.call.legs if leg.rang) for c in answered]
    until_ring = sum(ring - c.call.queued for ring, c in zip(first_rings, answered, strict=True))
    ringing = sum(c.answer - ring for ring, c in zip(first_rings, answered, strict=True))
    gave_up_after = [c.wait for c in abandoned]
    return {
        "session_count": len(these),
        "queued_count": len(queued),
        "answered_count": fates["answered"],
        "abandoned_count": fates["abandoned"],
        "short_abandoned_count": short,
        "flow_out_count": fates["flow-out"],
        "left_queue_in_target_count": in_time,
        "service_level_connect": _over(in_time, len(queued)),
        "answered_in_target_count": answered_in_time,
        "genesys_divisor_count": divisor,
        "service_level_genesys": _over(answered_in_time, divisor),
        "abandonment_rate_connect": _over(len(abandoned), len(queued)),
        "abandoned_not_short_count": len(abandoned) - short,
        "handled_or_abandoned_count": google,
        "abandonment_rate_google": _over(len(abandoned) - short, google),
        "answer_wait_count": len(waits),
        "answer_wait_seconds_sum": sum(waits),
        "asa_seconds": _over(sum(waits), len(waits)),
        "answer_parts_count": len(answered),
        "answer_queue_seconds_sum": until_ring,
        "answer_ring_seconds_sum": ringing,
        "asa_queue_seconds": _over(until_ring, len(answered)),
        "asa_ring_seconds": _over(ringing, len(answered)),
        **_spread("queue_wait", [c.wait for c in queued]),
        **_spread("answer_wait", waits),
        "abandon_wait_count": len(gave_up_after),
        "abandon_wait_seconds_sum": sum(gave_up_after),
        "mean_abandon_seconds": _over(sum(gave_up_after), len(gave_up_after)),
        "no_agent_count": sum(c.inbound and c.call.end_status == "noSeatOnline" for c in these),
        **_of_handled(handled, these),
        **_standing(these),
    }


def _of_handled(handled: list[Contact], these: list[Contact]) -> Row:
    count = len(handled)
    talk = sum(c.talk for c in handled)
    passed_on = [c for c in handled if c.transferred]
    known = [c for c in handled if c.call.customer]
    helped = [c for c in known if not c.returned_within_fcr]
    scores = [c.score for c in handled if c.score is not None]
    by_seat = [c for c in handled if c.call.hung_up_by == "seat"]
    mismatches = sum(c.inbound and bool(c.call.answered and c.picked_up) and c.call.answered != c.answer for c in these)
    durations = sum(
        bool(c.call.duration and c.call.answered) and c.call.duration != c.call.ended - c.call.answered for c in these
    )
    return {
        "handled_count": count,
        "talk_seconds_sum": talk,
        "aht_without_acw_seconds": _over(talk, count),
        "transferred_count": len(passed_on),
        "transfer_rate": _over(len(passed_on), count),
        "leg_sequence_max": max((leg.sequence for c in passed_on for leg in c.call.legs), default=None),
        "fcr_base_count": len(known),
        "fcr_count": len(helped),
        "fcr_provisional_count": sum(c.now - c.call.ended <= c.rules.fcr_days * 86_400 for c in helped),
        "fcr_rate_proxy": _over(len(helped), len(known)),
        "repeated_count": len(known) - len(helped),
        "repeat_rate_proxy": _over(len(known) - len(helped), len(known)),
        "csat_response_count": (said := sum(c.key is not None for c in handled)),
        "csat_response_rate": _over(said, count),
        "csat_scored_count": len(scores),
        "csat_score_sum": sum(scores),
        "csat_score": _over(sum(scores), len(scores)),
        "agent_hung_up_count": len(by_seat),
        "agent_hang_up_rate": _over(len(by_seat), count),
        "agent_hung_up_early_count": sum(c.very_short for c in by_seat),
        "very_short_count": (brief := sum(c.very_short for c in handled)),
        "very_short_rate": _over(brief, count),
        "answer_mismatch_count": mismatches,
        "duration_mismatch_count": durations,
    }


def _standing(these: list[Contact]) -> Row:
    provisional = sum(c.provisional for c in these)
    return {"provisional_count": provisional, "provisional_share": _over(provisional, len(these))}


def _of_paths(these: list[Contact]) -> Row:
    numbers = _of_lines(these)
    kept = ("queued_count", "handled_count", "ivr_abandoned_count", "ivr_contained_raw_count", "closed_count")
    return {name: numbers[name] for name in ("session_count", *kept, "blocked_count")} | _standing(these)


def _of_the_pipeline(these: list[Contact]) -> Row:
    late = sum(c.first_received - c.call.ended > c.rules.late_seconds for c in these)
    return {
        "session_count": len(these),
        "late_count": late,
        "late_rate": _over(late, len(these)),
        "heard_again_count": 0,
        "heard_again_rate": 0.0,
        "api_only_count": 0,
        "api_only_rate": 0.0,
        **_spread("received_after", [c.first_received - c.call.ended for c in these]),
        **_standing(these),
    }


def _named(one: Contact) -> list[str]:
    """The recordings that the CDR names."""
    return [name for name in (one.call.record_id, *(leg.record_id for leg in one.call.legs)) if name]


def _of_recordings(these: list[Contact]) -> Row:
    due = sum(bool(c.call.record_id) + sum(bool(leg.record_id) for leg in c.picked_up) for c in these)
    here = sum(len(c.session.recordings) for c in these)
    delays = [second - c.call.ended for c in these for name, second in c.received.items() if name.startswith("record:")]
    made = [track.timestamp for c in these for track in c.session.recordings if not track.custom_url]
    return {
        "recording_count": sum(len(_named(c)) for c in these),
        "recordings_due_count": due,
        "recordings_due_received_count": here,
        "recording_coverage": _over(here, due),
        "recordings_due_absent_count": 0,
        "recordings_kept_by_tccc_count": len(made),
        **_spread("recording_delay", delays),
        # Nobody archives in the simulator's day.
        "archive_due_count": 0,
        "archived_count": 0,
        "archive_coverage": None,
        "archive_days_left_min": None,
        "recordings_provisional_count": sum(len(_named(c)) for c in these if c.provisional),
        "recordings_provisional_share": _over(
            sum(len(_named(c)) for c in these if c.provisional), sum(len(_named(c)) for c in these)
        ),
    }


def _of_voicemails(these: list[Contact]) -> Row:
    delays = [
        second - c.call.ended for c in these for name, second in c.received.items() if name.startswith("voicemail:")
    ]
    provisional = sum(name.startswith("voicemail:") for c in these if c.provisional for name in c.received)
    return {
        "message_count": len(delays),
        **_spread("voicemail_delay", delays),
        "messages_provisional_count": provisional,
        "messages_provisional_share": _over(provisional, len(delays)),
    }


def _agents(contacts: Iterable[Contact]) -> list[Row]:
    legs: dict[tuple[int, date, str], list[tuple[Contact, Leg]]] = defaultdict(list)
    for contact in contacts:
        if contact.inbound or contact.outbound or contact.predictive:
            for leg in contact.call.legs:
                day = contact.clock(leg.rang or leg.answered or leg.started).date()
                legs[contact.session.sdk_app_id, day, leg.mail or leg.phone].append((contact, leg))
    return [
        {"sdk_app_id": app, "day": day, "agent": agent, **_of_an_agent(theirs)}
        for (app, day, agent), theirs in legs.items()
    ]


def _of_an_agent(theirs: list[tuple[Contact, Leg]]) -> Row:
    routed = [(c, leg) for c, leg in theirs if c.inbound and leg.rang]
    answered = [(c, leg) for c, leg in routed if leg.answered]
    gave_up = [(c, leg) for c, leg in routed if not leg.answered and _customer_left(c, leg)]
    missed = len(routed) - len(answered) - len(gave_up)
    ringing = sum(leg.answered - leg.rang for _, leg in answered)
    taken = [(c, leg) for c, leg in theirs if c.inbound and leg.answered]
    talk_in = sum(leg.ended - leg.answered for _, leg in taken)
    out = [(c, leg) for c, leg in theirs if not c.inbound]
    spoken = [(c, leg) for c, leg in out if leg.answered and c.call.answered]
    talk_out = sum(leg.ended - max(leg.answered, c.call.answered) for c, leg in spoken)
    passed_on = sum(bool(leg.transfer_to) or leg.end_status == "seatForward" for _, leg in taken)
    last_of_call = [(c, leg) for c, leg in taken if leg.sequence == max(one.sequence for one in c.call.legs)]
    hung_up = sum(c.call.hung_up_by == "seat" for c, _ in last_of_call)
    began = min(leg.rang or leg.answered or leg.started for _, leg in theirs)
    ended = max(leg.ended for _, leg in theirs)
    provisional = sum(c.provisional for c, _ in theirs)
    return {
        "first_rang_at": datetime.fromtimestamp(began, UTC),
        "last_ended_at": datetime.fromtimestamp(ended, UTC),
        "leg_count": len(theirs),
        "routed_count": len(routed),
        "leg_answered_count": len(answered),
        "agent_answer_rate": _over(len(answered), len(routed)),
        "customer_gave_up_count": len(gave_up),
        "ring_no_answer_count": missed,
        "ring_no_answer_rate": _over(missed, len(routed)),
        "leg_ring_seconds_sum": ringing,
        "mean_ring_seconds": _over(ringing, len(answered)),
        "inbound_talk_seconds_sum": talk_in,
        "inbound_leg_answered_count": len(taken),
        "leg_aht_without_acw_seconds": _over(talk_in, len(taken)),
        "outbound_leg_count": len(out),
        "outbound_leg_connected_count": len(spoken),
        "outbound_talk_seconds_sum": talk_out,
        "transferred_out_count": passed_on,
        "transferred_in_count": sum(bool(leg.transfer_from) for _, leg in taken),
        "leg_transfer_rate": _over(passed_on, len(taken)),
        "leg_hung_up_count": hung_up,
        "leg_hang_up_rate": _over(hung_up, len(taken)),
        "all_talk_seconds_sum": talk_in + talk_out,
        "shift_seconds": ended - began,
        "talk_share_proxy": _over(talk_in + talk_out, ended - began),
        "leg_provisional_count": provisional,
        "leg_provisional_share": _over(provisional, len(theirs)),
    }


def _customer_left(one: Contact, leg: Leg) -> bool:
    is_last = leg.sequence == max(other.sequence for other in one.call.legs)
    return leg.end_status == "ringingGiveUp" or (is_last and one.call.end_status == "ringingGiveUp")


def _end_reasons(contacts: Sequence[Contact]) -> list[Row]:
    def place(one: Contact) -> Row:
        names = {1: "outbound", 2: "inbound", 3: "audio_inbound", PREDICTIVE: "predictive_outbound", 6: "internal"}
        return {
            **_started_day(one),
            "direction": ("inbound", "outbound")[one.call.direction],
            "call_type": names.get(one.call.call_type),
            "end_status": one.call.end_status,
        }

    rows = _grouped(contacts, place, lambda these: {"session_count": len(these)} | _standing(these))
    totals: Counter[Any] = Counter()
    for row in rows:
        totals[row["sdk_app_id"], row["day"], row["direction"], row["call_type"]] += row["session_count"]
    for row in rows:
        whole = totals[row["sdk_app_id"], row["day"], row["direction"], row["call_type"]]
        row["end_reason_share"] = row["session_count"] / whole
    return rows


def _transfers(contacts: Sequence[Contact]) -> list[Row]:
    counts: Counter[tuple[int, date, str | None]] = Counter()
    provisional: Counter[tuple[int, date, str | None]] = Counter()
    for one in contacts:
        for leg in one.picked_up if one.inbound else ():
            if leg.transfer_to or leg.end_status == "seatForward":
                day = one.clock(leg.rang or leg.answered or leg.started).date()
                place = one.session.sdk_app_id, day, leg.transfer_to_type or None
                counts[place] += 1
                provisional[place] += one.provisional
    return [
        {
            "sdk_app_id": place[0],
            "day": place[1],
            "transfer_to_type": place[2],
            "transferred_leg_count": count,
            "transferred_provisional_count": provisional[place],
            "transferred_provisional_share": _over(provisional[place], count),
        }
        for place, count in counts.items()
    ]


def _concurrency(contacts: Iterable[Contact]) -> list[Row]:
    talking: Counter[tuple[int, int]] = Counter()
    waiting: Counter[tuple[int, int]] = Counter()
    zones: dict[int, ZoneInfo] = {}
    stretches: Counter[tuple[int, int]] = Counter()
    provisional: Counter[tuple[int, int]] = Counter()

    def stretch(one: Contact, began: int, ended: int) -> Iterator[tuple[int, int]]:
        for quarter in range(began - began % 900, ended, 900) if ended > began else ():
            stretches[one.session.sdk_app_id, quarter] += 1
            provisional[one.session.sdk_app_id, quarter] += one.provisional
        return ((one.session.sdk_app_id, second) for second in range(began, ended))

    for one in contacts:
        app = one.session.sdk_app_id
        zones[app] = ZoneInfo(one.rules.time_zone)
        if one.answer and (one.inbound or one.outbound or one.predictive):
            talking.update(stretch(one, one.answer, one.call.ended))
        if one.queued:
            waiting.update(stretch(one, one.call.queued, one.answer or one.call.ended))
    quarters: dict[tuple[int, int], Row] = {}
    for kind, levels in (("talking", talking), ("waiting", waiting)):
        for (app, second), level in levels.items():
            quarter = second - second % 900
            row = quarters.setdefault((app, quarter), _quarter(app, quarter, zones[app]))
            row[f"{kind}_peak"] = max(row[f"{kind}_peak"], level)
            row[f"{kind}_seconds_sum"] += level
    for place, row in quarters.items():
        row["stretch_count"] = stretches[place]
        row["stretch_provisional_count"] = provisional[place]
        row["stretch_provisional_share"] = _over(provisional[place], stretches[place])
    return list(quarters.values())


def _quarter(app: int, quarter: int, zone: ZoneInfo) -> Row:
    return {
        "sdk_app_id": app,
        "quarter_hour": datetime.fromtimestamp(quarter, UTC),
        "day": datetime.fromtimestamp(quarter, zone).date(),
        **dict.fromkeys(("talking_peak", "waiting_peak", "talking_seconds_sum", "waiting_seconds_sum"), 0),
    }


# How it is counted


def _grouped(
    contacts: Iterable[Contact], place: Callable[[Contact], Row], count: Callable[[list[Contact]], Row]
) -> list[Row]:
    groups: dict[tuple[Any, ...], list[Contact]] = defaultdict(list)
    for one in contacts:
        groups[tuple(place(one).items())].append(one)
    return [{**dict(where), **count(these)} for where, these in groups.items()]


def _ended(inbound: list[Contact], count_name: str, share_name: str, statuses: set[str]) -> Row:
    count = sum(c.call.end_status in statuses for c in inbound)
    return {count_name: count, share_name: _over(count, len(inbound))}


def _is_open(one: Contact) -> bool:
    local = one.clock(one.call.started)
    minute = 60 * local.hour + local.minute
    return any(
        first <= local.weekday() <= last and opens <= minute < closes
        for first, last, opens, closes in _spans(one.rules.business_hours)
    )


def _spans(hours: str) -> Iterator[tuple[int, int, int, int]]:
    """Days and minutes of `mon-fri 09:00-18:00, sat 10:00-14:00`; all of the week where nothing is said."""
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    for span in filter(None, hours.split(", ")):
        week, _, clock = span.partition(" ")
        first, _, last = week.partition("-")
        opens, closes = (60 * int(end[:2]) + int(end[3:]) for end in clock.split("-"))
        yield days.index(first), days.index(last or first), opens, closes
    if not hours:
        yield 0, 6, 0, 24 * 60


def _over(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _spread(name: str, values: list[int]) -> Row:
    ordered = sorted(values)
    return {
        **{f"{name}_p{percent}_seconds": _percentile(ordered, percent / 100) for percent in (50, 90, 95)},
        f"{name}_max_seconds": ordered[-1] if ordered else None,
    }


def _percentile(ordered: list[int], share: float) -> float | None:
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
