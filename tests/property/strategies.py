"""Reports about one session, drawn from small pools so that they meet, conflict and repeat."""

from typing import Any

from hypothesis import strategies as st

from schemas.events import NormalizedEvent
from tests.support.events import an_event

PHONES = ["008613900000001", "13900000001", "+86 139 0000 0001", "02155500100", "oW-protected"]
MAILS = ["ann@example.com", "Ann@Example.com", "bob@example.com"]
RECORD_IDS = ["rec-1", "rec-2", "rec-3", "1608130650"]
TIMES = [1_700_000_000, 1_700_000_005, 1_700_000_020, "1700000020", 1_700_000_030_000, 0, -5]
UNUSABLE = [{"a": 1}, [1], True, 2**70, "\x00\ud800"]

maybe_empty = st.sampled_from([None, "", [], {}])


def optional_fields(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Any subset of the fields, now and then empty or unusable."""
    loose = {
        name: st.one_of(value, value, value, maybe_empty, st.sampled_from(UNUSABLE)) for name, value in fields.items()
    }
    return st.fixed_dictionaries({}, optional=loose)


people = {
    "Mail": st.sampled_from(MAILS),
    "Phone": st.sampled_from(PHONES),
    "UserId": st.sampled_from(["ann", "bob", "0"]),
    "Name": st.sampled_from(["Ann", "Bob", "安"]),
}
legs = optional_fields(
    {
        "Mail": st.sampled_from(MAILS),
        "Phone": st.sampled_from(PHONES),
        "Sequence": st.sampled_from([0, 1, "2"]),
        "RecordId": st.sampled_from(RECORD_IDS),
        "EndedTimestamp": st.sampled_from(TIMES),
        "SkillGroupId": st.sampled_from([0, 11, "12"]),
        "SkillGroupPriority": st.sampled_from([0, 1]),
    }
)
cdr_payloads = optional_fields(
    {
        "Direction": st.sampled_from([0, 1, 2, "1"]),
        "CallType": st.sampled_from([1, 2, 6, 9]),
        "Caller": st.sampled_from(PHONES),
        "Callee": st.sampled_from(PHONES),
        "QueuedTimestamp": st.sampled_from(TIMES),
        "AcceptTimestamp": st.sampled_from(TIMES),
        "EndedTimestamp": st.sampled_from(TIMES),
        "RecordId": st.sampled_from(RECORD_IDS),
        "SeatUser": optional_fields(people),
        "ServeParticipants": st.lists(legs, max_size=3),
        "UserRemark": st.sampled_from(["a", "b"]),
        "Tomorrow": st.sampled_from([0, "new", {"deep": [None, 1]}]),
    }
)
record_payloads = optional_fields(
    {
        "RecordId": st.sampled_from([*RECORD_IDS, 1608130650]),
        "EndpointUser": st.sampled_from([*PHONES, *MAILS, 13900000001]),
        "Timestamp": st.sampled_from(TIMES),
        "RecordURL": st.sampled_from(["http://a/x.mp3", "http://a/y.mp3?sign=1", "http://["]),
        "CustomRecordURL": st.sampled_from(["https://cos/x.mp3"]),
    }
)
voicemail_payloads = optional_fields(
    {
        "EndpointUser": st.sampled_from([13900000001, "13900000001"]),
        "Timestamp": st.sampled_from(TIMES),
        "RecordURL": st.sampled_from(["http://a/v.mp3", "http://b/v.mp3?x=1", "http://a/w.mp3"]),
    }
)
_moments = st.integers(0, 12)
_push_ids = st.sampled_from(["p1", "p2", "p3"])


@st.composite
def events(draw: st.DrawFn) -> NormalizedEvent:
    """One receipt of one report: a push, or what the API says."""
    kind, payload, source, fact = draw(
        st.one_of(
            st.tuples(st.just("cdr"), cdr_payloads, st.sampled_from(["push", "push", "api"]), st.none()),
            st.tuples(st.just("record"), record_payloads, st.just("push"), st.none()),
            st.tuples(st.just("voicemail"), voicemail_payloads, st.just("push"), st.none()),
            st.tuples(
                st.just("record"),
                st.fixed_dictionaries({"RecordId": st.sampled_from(RECORD_IDS)}),
                st.just("api"),
                st.sampled_from(["present", "absent"]),
            ),
            st.tuples(
                st.just("voicemail"),
                st.fixed_dictionaries({"VoicemailCount": st.integers(1, 3)}),
                st.just("api"),
                st.just("present"),
            ),
        )
    )
    return an_event(kind, payload, at=draw(_moments), push_id=draw(_push_ids), source=source, fact=fact)


histories = st.lists(events(), min_size=1, max_size=9)
