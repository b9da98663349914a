"""The simulator invents realistic days, the same ones for the same seed, and bends them by named faults."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from callweave.simulator.facts import Session
from callweave.simulator.faults import FAULTS, Dice, FaultError, parse_faults
from callweave.simulator.plan import plan_pushes
from callweave.simulator.pushes import Plan, Push
from callweave.simulator.scenario import DAY_SECONDS, make_sessions

NOW = 1_764_000_000
SEED = 11


def sessions_of(count: int = 300, seed: int = SEED) -> tuple[Session, ...]:
    return make_sessions(seed=seed, count=count, now=NOW)


def planned(count: int = 120, **rates: float) -> tuple[tuple[Session, ...], Plan]:
    return plan_pushes(sessions_of(count), Dice(SEED, rates), seed=SEED, now=NOW)


def payload(push: Push) -> dict[str, Any]:
    raw = gzip.decompress(push.raw) if push.content_encoding else push.raw
    document = json.loads(raw.decode("utf-8-sig"))
    assert isinstance(document, dict)
    return document


def payloads(plan: Plan, action: str) -> list[dict[str, Any]]:
    return [payload(push) for push in plan.pushes if push.content.startswith(f"{action}:")]


# The scenario


def test_same_seed_gives_the_same_sessions_and_pushes():
    everything = dict.fromkeys(FAULTS, 0.3)

    assert sessions_of() == sessions_of()
    assert planned(**everything) == planned(**everything)


def test_another_seed_gives_other_sessions():
    assert sessions_of() != sessions_of(seed=SEED + 1)


def test_calls_lie_in_the_days_before_now_in_whole_seconds():
    for session in sessions_of():
        call = session.calls[0]

        assert NOW - 3 * DAY_SECONDS <= call.started <= call.ended < NOW
        assert all(type(time) is int for time in (call.started, call.queued, call.rang, call.answered, call.ended))


def test_times_of_a_call_follow_each_other():
    for session in sessions_of():
        call = session.calls[0]
        happened = [time for time in (call.started, call.queued, call.rang, call.answered, call.ended) if time]

        assert happened == sorted(happened)
        for leg in call.legs:
            assert leg.started <= leg.rang <= (leg.answered or leg.rang) <= leg.ended <= call.ended


def test_scenario_has_every_kind_of_call():
    sessions = sessions_of(1_500)
    calls = [session.calls[0] for session in sessions]

    assert {call.call_type for call in calls} == {1, 2, 3, 5, 6}
    statuses = {call.end_status for call in calls}
    assert statuses >= {"ok", "waitingGiveUp", "ringingGiveUp", "ivrGiveUp", "ivrEnd", "noSeatOnline", "notWorkTime"}
    assert statuses >= {"notAnswer", "busy", "numberNotExist"}
    leg_statuses = {leg.end_status for call in calls for leg in call.legs}
    assert leg_statuses >= {"ok", "seatGiveUp", "seatForward", "outboundForward", "ringingGiveUp"}
    assert {len(call.legs) for call in calls} >= {0, 1, 2, 3}
    assert any(len({leg.mail for leg in call.legs}) < len(call.legs) for call in calls)
    assert any(leg.type == "outboundSeat" for call in calls for leg in call.legs)
    assert any(call.post_ivr_keys for call in calls)
    assert {len(session.voicemails) for session in sessions} == {0, 1, 2}


def test_two_apps_share_some_session_ids():
    sessions = sessions_of(600)
    count_of_id = Counter(session.session_id for session in sessions)

    assert len({session.name for session in sessions}) == 600
    assert max(count_of_id.values()) == 2


def test_most_queued_callers_are_answered_within_twenty_seconds():
    queued = [session.calls[0] for session in sessions_of(1_500) if session.calls[0].queued]
    answered = [call for call in queued if call.answered]
    quick = [call for call in answered if call.answered - call.queued <= 20]

    assert 0.6 < len(quick) / len(answered) < 0.95
    assert 0.6 < len(answered) / len(queued) < 0.97


def test_each_name_but_some_of_unanswered_legs_has_its_recording():
    sessions = sessions_of(1_500)
    never_recorded = 0
    for session in sessions:
        call = session.calls[0]
        recorded = {track.record_id for track in session.recordings}
        assert recorded == {call.record_id, *(leg.record_id for leg in call.legs if leg.answered)} - {""}
        never_recorded += sum(bool(leg.record_id) and not leg.answered for leg in call.legs)

    assert never_recorded > 0


def test_without_faults_each_content_is_pushed_once_in_the_vendor_shape():
    sessions, plan = planned()

    assert len(plan.pushes) == sum(1 + len(one.recordings) + len(one.voicemails) for one in sessions)
    assert len(plan.slots) == len(plan.pushes)
    assert {push.query for push in plan.pushes} == {
        "action=cdr&version=1",
        "action=record&version=1",
        "action=voicemail",
    }
    unanswered = next(cdr for cdr in payloads(plan, "cdr") if cdr["EndStatusString"] == "ivrEnd")
    assert unanswered["AcceptTimestamp"] == 0
    assert unanswered["ServeParticipants"] is None
    assert unanswered["PostIVRKeyPressed"] is None
    assert unanswered["SeatUser"] is None
    assert unanswered["RecordId"] == ""
    assert all(type(mail["EndpointUser"]) is int for mail in payloads(plan, "voicemail"))
    assert all("CustomRecordURL" not in track for track in payloads(plan, "record"))


# Naming faults


def test_fault_names_may_have_hyphens():
    assert parse_faults(["withhold-cdr=0.5", "retry=1"]) == {"withhold_cdr": 0.5, "retry": 1.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retries=0.5", "There is no fault 'retries': use one of bad_field, "),
        ("retry", "'retry' is not NAME=RATE: write for example retry=0.2."),
        ("retry=often", "The rate of fault 'retry' is 'often': write a number from 0 to 1."),
        ("retry=1.5", "The rate of fault 'retry' is 1.5: write a number from 0 to 1."),
        ("retry=nan", "The rate of fault 'retry' is nan: write a number from 0 to 1."),
    ],
)
def test_wrong_fault_is_refused_in_one_sentence(text: str, said: str):
    with pytest.raises(FaultError) as caught:
        parse_faults([text])

    assert str(caught.value).startswith(said)


# Each fault changes what it says


def test_one_more_fault_moves_no_other():
    with_one, _ = planned(unknown_end_status=0.3)
    with_two, _ = planned(unknown_end_status=0.3, http_url=1)

    assert [one.calls for one in with_one] == [two.calls for two in with_two]


def test_retry_delivers_answered_pushes_again_up_to_three_times():
    _, plan = planned(retry=1)
    turns = Counter(slot.place for slot in plan.slots)

    assert set(turns.values()) == {2, 3, 4}
    first_turns: set[int] = set()
    for slot in plan.slots:
        assert slot.is_redelivery == (slot.place in first_turns)
        first_turns.add(slot.place)


def test_repush_sends_the_same_content_under_a_new_uuid_with_members_in_another_order():
    sessions, plan = planned(repush=1)
    by_content: dict[tuple[int | None, str], list[Push]] = {}
    for push in plan.pushes:
        by_content.setdefault((push.owner, push.content), []).append(push)

    assert all(len(pushes) == 2 for pushes in by_content.values())
    for first, second in by_content.values():
        assert first.push_uuid != second.push_uuid
        assert payload(first) == payload(second)
        assert first.raw != second.raw
    assert len(by_content) == sum(1 + len(one.recordings) + len(one.voicemails) for one in sessions)


def test_shuffle_moves_its_share_of_pushes():
    _, plan = planned()
    _, a_little = planned(shuffle=0.1)
    _, full = planned(shuffle=1)
    count = len(plan.slots)

    assert [slot.place for slot in plan.slots] == list(range(count))

    def displaced(shuffled: Plan) -> int:
        places = [slot.place for slot in shuffled.slots]
        assert sorted(places) == list(range(count))
        return sum(abs(place - turn) for turn, place in enumerate(places))

    assert 0 < displaced(a_little) < displaced(full)
    assert displaced(full) > count * count / 5


def test_record_first_pushes_recordings_before_the_cdr():
    _, plan = planned(record_first=1)
    seen_cdr: set[int | None] = set()
    for slot in plan.slots:
        push = plan.pushes[slot.place]
        if push.content.startswith("cdr"):
            seen_cdr.add(push.owner)
        else:
            assert push.owner not in seen_cdr


def test_withheld_recordings_are_never_sent():
    _, plan = planned(withhold=1)
    sent = {plan.pushes[slot.place].content.partition(":")[0] for slot in plan.slots}

    assert sent == {"cdr", "voicemail"}
    assert all(push.withheld == push.content.startswith("record:") for push in plan.pushes)


def test_withheld_cdrs_are_never_sent():
    _, plan = planned(withhold_cdr=1, correction=1)

    assert {plan.pushes[slot.place].content.partition(":")[0] for slot in plan.slots} == {"record", "voicemail"}


def test_withheld_voicemails_are_never_sent():
    _, plan = planned(withhold_voicemail=1)

    assert {plan.pushes[slot.place].content.partition(":")[0] for slot in plan.slots} == {"cdr", "record"}


def test_unpushed_sessions_are_never_mentioned():
    sessions, plan = planned(unpushed=0.3, repush=1)
    unsent = {push.owner for push in plan.pushes if push.withheld}

    assert 10 < len(unsent) < 60
    assert not unsent & {plan.pushes[slot.place].owner for slot in plan.slots}
    assert {push.owner for push in plan.pushes} == set(range(len(sessions)))


def test_a_recording_that_was_never_made_is_still_named():
    before = {session.name: session for session in sessions_of(120)}
    sessions, _ = planned(never_recorded=1)

    for session in sessions:
        whole = before[session.name]
        assert len(session.recordings) == max(0, len(whole.recordings) - 1)
        assert session.calls == whole.calls


def test_missing_header_takes_the_uuid_away():
    _, plan = planned(missing_header=1)

    assert not any(push.with_header for push in plan.pushes)


def test_no_action_leaves_it_out_but_where_nothing_could_be_inferred():
    sessions, plan = planned(no_action=1, empty_record_id=0.5)
    for push in plan.pushes:
        nameless = push.content.startswith("record:") and payload(push)["RecordId"] in ("", None)
        assert ("action=" in push.query) == nameless
    assert any(not track.record_id for session in sessions for track in session.recordings)


def test_voicemail_version_adds_it():
    _, plan = planned(voicemail_version=1)

    assert {push.query for push in plan.pushes if "voicemail" in push.query} == {"action=voicemail&version=1"}


def test_correction_tells_of_a_session_twice_and_never_at_the_same_time():
    sessions, plan = planned(correction=1, shuffle=1)

    for session in sessions:
        assert len(session.calls) == 2
        assert session.calls[0] != session.calls[1]
    cdrs_of: dict[int | None, list[int]] = {}
    for slot in plan.slots:
        if plan.pushes[slot.place].content.startswith("cdr"):
            cdrs_of.setdefault(plan.pushes[slot.place].owner, []).append(slot.place)
    assert plan.waits_for == {later: earlier for earlier, later in cdrs_of.values()}
    assert any(plan.pushes[earlier].content == "cdr:1" for earlier, _ in cdrs_of.values())


def test_call_type_missing():
    _, plan = planned(call_type_missing=1)

    assert not any("CallType" in cdr for cdr in payloads(plan, "cdr"))


def test_unknown_fields_are_in_every_push_and_leg():
    _, plan = planned(unknown_fields=1)

    assert all("AiSummary" in cdr for cdr in payloads(plan, "cdr"))
    assert all("HoldSeconds" in leg for cdr in payloads(plan, "cdr") for leg in cdr["ServeParticipants"] or ())
    assert all("FileBytes" in track for track in payloads(plan, "record") + payloads(plan, "voicemail"))


def test_unknown_end_status():
    _, plan = planned(unknown_end_status=1)

    assert {cdr["EndStatusString"] for cdr in payloads(plan, "cdr")} <= {
        "userHangupDuringAIAgent",
        "movedToTheMoon",
        "OK",
    }


def test_lower_case_keys():
    _, plan = planned(lower_case_keys=1)
    presses = [press for cdr in payloads(plan, "cdr") for press in cdr["PostIVRKeyPressed"] or ()]

    assert presses
    assert all(press.keys() == {"key", "label"} for press in presses)


def test_epoch_record_ids_may_be_shared_by_root_and_leg():
    sessions, plan = planned(epoch_record_id=1)
    shared = 0
    for session in sessions:
        call = session.calls[0]
        leg_ids = [leg.record_id for leg in call.legs if leg.record_id]
        assert all(record_id.isdecimal() for record_id in leg_ids)
        assert len(leg_ids) == len(set(leg_ids))
        shared += call.record_id in leg_ids
        named = {call.record_id, *leg_ids}
        assert {track.record_id for track in session.recordings} <= named

    assert shared > 10
    assert all(track["RecordId"].isdecimal() for track in payloads(plan, "record"))


def test_empty_record_id_empties_one_name_or_one_push():
    plain, _ = planned()
    bent, _ = planned(empty_record_id=1)
    emptied = Counter[str]()
    for before, after in zip(plain, bent, strict=True):
        emptied["root"] += before.calls[0].record_id != after.calls[0].record_id
        emptied["leg"] += before.calls[0].legs != after.calls[0].legs
        emptied["push"] += before.recordings != after.recordings

    assert min(emptied["root"], emptied["leg"], emptied["push"]) > 5


def test_endpoint_number_turns_numbers_to_text_and_text_to_numbers():
    _, plan = planned(endpoint_number=1)
    endpoints = [track["EndpointUser"] for track in payloads(plan, "record")]

    assert any(type(endpoint) is int for endpoint in endpoints)
    assert not any(isinstance(endpoint, str) and endpoint.isdecimal() for endpoint in endpoints)
    assert all(type(mail["EndpointUser"]) is str for mail in payloads(plan, "voicemail"))


def test_odd_case_type():
    _, plan = planned(odd_case_type=1)

    assert {leg["Type"][0] for cdr in payloads(plan, "cdr") for leg in cdr["ServeParticipants"] or ()} <= set("SMO")


def test_http_and_custom_addresses():
    _, plan = planned(http_url=1, custom_url=1)

    assert all(track["RecordURL"].startswith("http://") for track in payloads(plan, "record"))
    assert all("our-bucket" in track["CustomRecordURL"] for track in payloads(plan, "record"))


def test_leg_ends_early():
    plain, _ = planned()
    bent, _ = planned(leg_ends_early=1)

    assert any(
        after.calls[0].legs[-1].ended < before.calls[0].legs[-1].ended
        for before, after in zip(plain, bent, strict=True)
        if before.calls[0].legs
    )


def test_bad_field_is_marked_to_leave_a_letter():
    sessions, plan = planned(bad_field=1)

    assert all(session.calls[0].unholdable for session in sessions)
    assert all(push.leaves_letter == push.content.startswith("cdr") for push in plan.pushes)
    for push in plan.pushes:
        if push.leaves_letter and push.owner is not None:
            assert payload(push).items() >= sessions[push.owner].calls[0].unholdable.items()


def test_control_text_is_sent_as_nul_and_half_a_pair():
    sessions, plan = planned(control_text=1)

    assert {cdr["UserRemark"] for cdr in payloads(plan, "cdr")} == {"nul \x00 and half \ud83d"}
    assert {session.calls[0].user_remark for session in sessions} == {"nul \ufffd and half \ufffd"}


def test_null_arrays_are_written_the_other_way():
    _, plan = planned(null_arrays=1)

    assert not any(cdr["PostIVRKeyPressed"] is None for cdr in payloads(plan, "cdr"))
    assert any(cdr["SeatUser"] == {} for cdr in payloads(plan, "cdr"))


def test_duplicate_key_says_duration_twice_and_the_last_counts():
    plain, _ = planned()
    _, plan = planned(duplicate_key=1)
    cdrs = [push for push in plan.pushes if push.content.startswith("cdr")]

    assert all(push.raw.count(b'"Duration"') == 2 for push in cdrs)
    assert sorted(payload(push)["Duration"] for push in cdrs) == sorted(one.calls[0].duration for one in plain)


def test_numbers_as_text():
    _, plan = planned(numbers_as_text=1)
    cdr = payloads(plan, "cdr")[0]

    assert isinstance(cdr["SdkAppId"], str)
    assert isinstance(cdr["StartTimestamp"], str)
    assert isinstance(cdr["Direction"], str)
    assert all(isinstance(track["Timestamp"], str) for track in payloads(plan, "record"))


def test_milliseconds():
    _, plan = planned(milliseconds=1)

    assert all(cdr["StartTimestamp"] > 10**12 for cdr in payloads(plan, "cdr"))
    assert any(cdr["AcceptTimestamp"] == 0 for cdr in payloads(plan, "cdr"))


def test_gzip_and_bom():
    _, plan = planned(gzip=1, bom=1)

    assert all(push.content_encoding == "gzip" for push in plan.pushes)
    assert all(gzip.decompress(push.raw).startswith(b"\xef\xbb\xbf") for push in plan.pushes)


def test_useless_pushes_are_added_each_with_bytes_of_its_own():
    _, plan = planned(useless=1)
    useless = [push for push in plan.pushes if push.owner is None]

    assert len(useless) == len(plan.pushes) // 2
    assert len({push.raw for push in useless}) == len(useless)
    assert len({push.content for push in useless}) == 10


def test_im_actions_are_added():
    _, plan = planned(im_actions=1)
    added = [push for push in plan.pushes if push.owner is None]

    assert len(added) == 120
    assert {push.query for push in added} == {"action=imcdr&version=1", "action=videoCdr&version=1"}


def test_every_fault_is_tested_here():
    text = Path(__file__).read_text(encoding="utf-8")

    assert [fault for fault in FAULTS if f"{fault}=" not in text] == []
