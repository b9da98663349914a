"""What holds for anything that the API lists: one open state of whoever is listed, no two at a time, nothing twice."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingest.enrich.details import WantedSession, details_of
from ingest.enrich.directory import AGENTS, Changes, States, changes
from ingest.enrich.statuses import status_news, windows
from schemas.enrichment import Agent
from schemas.models import instant_of_ms
from schemas.records import decode_keyed
from sinks.keyed import latest

APP = 1_400_000_001
START = instant_of_ms(1_763_000_000_000)
MAILS = ["ann@example.com", "bob@example.com", "cleo@example.com"]

staff = st.fixed_dictionaries(
    {"Mail": st.sampled_from(MAILS)},
    optional={
        "Name": st.sampled_from(["Ann", "Bob", ""]),
        "StaffNumber": st.sampled_from(["1", 2, None]),
        "LastModifyTimestamp": st.integers(1_762_999_990, 1_763_000_050) | st.just(0),
        "SkillGroupList": st.lists(st.fixed_dictionaries({"SkillGroupId": st.integers(1, 3)}), max_size=2),
        "Wild": st.sampled_from(["x", {"a": 1}, []]),
    },
)
listings = st.lists(staff, max_size=3, unique_by=lambda one: one["Mail"])
histories = st.lists(st.tuples(listings, st.integers(1, 20)), min_size=1, max_size=6)


def compare(states: States, items: list[Any], moment: int) -> Changes:
    asked_at = START + timedelta(seconds=moment)
    return changes(AGENTS, states, items, sdk_app_id=APP, asked_at=asked_at)


def take(states: States, found: Changes, count: int | None = None) -> None:
    for state in found.states[:count]:
        assert decode_keyed("agents", state.key, state.encoded()) == state
        states.take(AGENTS, state)


def check(states: States, items: list[Any]) -> None:
    """What a slowly changing table promises."""
    listed = {item["Mail"] for item in items}
    for mail, by_start in states.known.items():
        ordered = sorted(by_start.values(), key=lambda state: state.valid_from)
        for earlier, later in pairwise(ordered):
            assert earlier.valid_to is not None
            assert earlier.valid_from <= earlier.valid_to <= later.valid_from
        assert (ordered[-1].valid_to is None) == (mail in listed)
    assert listed <= set(states.known)


@given(histories)
def test_whoever_is_listed_has_one_open_state_and_no_two_states_overlap(history):
    states, moment = States(), 0
    for items, seconds in history:
        moment += seconds
        take(states, compare(states, items, moment))
        check(states, items)
        assert compare(states, items, moment + 1).states == ()


@given(histories, st.data())
def test_a_death_between_any_two_records_is_mended_by_the_next_comparison(history, data):
    states, moment = States(), 0
    for items, seconds in history:
        moment += seconds
        found = compare(states, items, moment)
        take(states, found, data.draw(st.integers(0, len(found.states))))
        moment += 1
        take(states, compare(states, items, moment))
        check(states, items)


@given(histories, st.randoms())
def test_a_warehouse_holds_the_same_whatever_order_and_however_often_the_records_came(history, random):
    states, moment, log = States(), 0, []
    for items, seconds in history:
        moment += seconds
        found = compare(states, items, moment)
        take(states, found)
        log += found.states
    again = [*log, *random.sample(log, len(log) // 2)]
    random.shuffle(again)

    assert latest(log) == latest(again)
    assert {row.key for row in latest(log)} == {s.key for of_one in states.known.values() for s in of_one.values()}
    assert all(isinstance(row, Agent) and row == states.known[row.agent_mail][row.valid_from] for row in latest(log))


events = st.fixed_dictionaries(
    {
        "Timestamp": st.integers(1_763_000_000, 1_763_000_003),
        "EventType": st.sampled_from(["StaffHold", "StaffUnhold"]),
    },
    optional={
        "StaffEventDetail": st.none()
        | st.fixed_dictionaries(
            {"Staffs": st.lists(st.fixed_dictionaries({"Mail": st.sampled_from(MAILS)}), max_size=2)}
        )
    },
)


@given(st.lists(events | st.none() | st.integers() | st.text(max_size=3), max_size=6), st.randoms())
def test_the_events_of_a_session_are_the_same_rows_in_whatever_order_the_api_lists_them(items, random):
    wanted = WantedSession(START, START, APP, "s")
    shuffled = random.sample(items, len(items))
    first, second = (details_of(wanted, {"Events": told}, START) for told in (items, shuffled))

    assert first.events == second.events
    assert [event.event_sequence for event in first.events] == list(range(first.detail.event_count))
    assert sorted(letter.dead_letter_id for letter in first.letters) == sorted(
        letter.dead_letter_id for letter in second.letters
    )
    for event in first.events:
        assert decode_keyed("agent_events", event.key, event.encoded()) == event


statuses = st.lists(
    st.fixed_dictionaries(
        {"Timestamp": st.integers(1_763_000_000, 1_763_000_400), "Status": st.sampled_from(["free", "busy"])},
        optional={"SessionId": st.sampled_from(["s", ""]), "Reason": st.just("lunch")},
    ),
    max_size=12,
)


@given(statuses, st.integers(1, 399))
def test_a_history_that_is_read_in_parts_or_twice_tells_each_change_once(told, middle):
    ordered = sorted(told, key=lambda one: one["Timestamp"])
    whole = read(ordered, None, 400)
    first = read([one for one in ordered if one["Timestamp"] <= 1_763_000_000 + middle], None, middle)
    rest = read(ordered, first.read, 400)
    again = read(ordered, rest.read, 400)

    def rows(*parts: Any) -> dict[bytes, Any]:
        return {status.key: status.status for part in parts for status in part.statuses}

    assert rows(first, rest) == rows(whole)
    assert len(first.statuses) + len(rest.statuses) == len(whole.statuses)
    assert again.statuses == ()


def read(items: list[Any], before: Any, until: int) -> Any:
    window = START - timedelta(minutes=1), START + timedelta(seconds=until)
    asked_at = START + timedelta(days=1)
    return status_news(items, before, sdk_app_id=APP, agent_mail=MAILS[0], window=window, asked_at=asked_at)


@given(st.integers(0, 60 * 86_400))
def test_windows_are_under_seven_days_and_leave_no_gap(seconds):
    since, until = START, START + timedelta(seconds=seconds)
    parts = windows(since, until)

    assert all(end - begin < timedelta(days=7) for begin, end in parts)
    assert [end for _, end in parts[:-1]] == [begin for begin, _ in parts[1:]]
    assert not parts or (parts[0][0], parts[-1][1]) == (since, until)
