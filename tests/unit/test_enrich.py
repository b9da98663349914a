"""Enrichment against the API simulator, with the real SDK: what is asked, what is told, what asking again does."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from callweave.simulator.api.directory import Directory
from callweave.simulator.api.life import Habits
from callweave.simulator.api.rows import session_detail
from ingest.enrich.details import wanted_session
from schemas import jsontext
from schemas.dead_letter import decode_letter
from tests.support.api import NOW, a_ledger_of, served, some_sessions
from tests.support.enriching import enriching, records_in, rows_in, wanted_of
from tests.support.reconciling import PREFIX, KafkaThatIsAList

SESSIONS = some_sessions(40)
serving = partial(served, limit_per_second=10_000.0)
WANTED = wanted_of(SESSIONS)
EVENT_TYPES = {"StaffHold", "StaffUnhold", "StaffMute", "StaffUnmute"}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return a_ledger_of(tmp_path, SESSIONS)


async def test_every_session_that_a_human_answered_is_asked_for_once_and_its_events_are_there(ledger: Path) -> None:
    async with serving(ledger) as (server, _), enriching(server, WANTED) as enrichment:
        await enrichment.read()
        asked = server.stats()["actions"]["DescribeSessionDetail"]["requests"]

    details = rows_in(enrichment.kafka, "session_details")
    events = records_in(enrichment.kafka, "agent_events")
    expected = {
        (session.session_id, event["Timestamp"], event["EventType"])
        for session in SESSIONS
        if session.session_id in {wanted.session_id for wanted in WANTED}
        for event in session_detail(session, Habits(), now=NOW)["Events"]
    }
    assert asked == len(WANTED) == len(details) > 0
    assert {(e.session_id, int(e.occurred_at.timestamp()), e.event_type) for e in events} == expected
    assert {event.event_type for event in events} <= EVENT_TYPES
    assert len(expected) >= 4
    assert sum(detail.event_count for detail in details.values()) == len(events)
    assert any(event.agent_mail for event in events)  # an outside number that a call went to has none


async def test_asking_again_by_another_process_publishes_nothing(ledger: Path) -> None:
    async with serving(ledger) as (server, _):
        async with enriching(server, WANTED) as first:
            await first.read()
        kafka = first.kafka
        before = {suffix: rows_in(kafka, suffix) for suffix in ("agents", "skill_groups", "agent_status")}
        async with enriching(server, WANTED, kafka=kafka) as second:
            published = await second.read()
        details = server.stats()["actions"]["DescribeSessionDetail"]["requests"]

    # How far a history was read is told at each reading; nothing else is.
    assert published == len(rows_in(kafka, "agent_status_reads"))
    assert details == len(WANTED)
    assert before == {suffix: rows_in(kafka, suffix) for suffix in before}


async def test_the_directory_names_everybody_whom_calls_name(ledger: Path) -> None:
    async with serving(ledger) as (server, _), enriching(server, session_details=False) as enrichment:
        await enrichment.read()

    agents = records_in(enrichment.kafka, "agents")
    groups = records_in(enrichment.kafka, "skill_groups")
    legs = [(s.sdk_app_id, leg) for s in SESSIONS for leg in s.calls[0].legs]
    assert {(app, leg.mail) for app, leg in legs if leg.mail} <= {(a.sdk_app_id, a.agent_mail) for a in agents}
    named = {(group.sdk_app_id, group.skill_group_id): group.skill_group_name for group in groups}
    assert {(app, leg.skill_group_id): leg.skill_group_name for app, leg in legs if leg.skill_group_id}.items() <= (
        named.items()
    )
    assert all(agent.valid_to is None and agent.valid_from <= agent.asked_at for agent in agents)
    assert all(agent.agent_name and agent.role_id == 3 for agent in agents)


async def test_every_change_of_status_comes_once_over_windows_and_pages(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.enrich.statuses.PAGE_SIZE", 3)
    monkeypatch.setattr("ingest.enrich.statuses.WINDOW", timedelta(hours=5))
    changes: dict[str, Any] = {"session_details": False, "directory": False}
    async with serving(ledger) as (server, _), enriching(server, **changes) as enrichment:
        await enrichment.read()
        expected = {
            (app, mail, change.at, change.status)
            for app in server.world.sdk_app_ids
            for mail, of_one in server._desk.directory(app).changes_of.items()
            for change in of_one
            if NOW - 3 * 86_400 <= change.at <= NOW
        }

    told = records_in(enrichment.kafka, "agent_status")
    assert {(t.sdk_app_id, t.agent_mail, int(t.changed_at.timestamp()), t.status) for t in told} == expected
    assert len(rows_in(enrichment.kafka, "agent_status")) == len(told) >= len(expected) > 20


async def test_a_process_that_died_between_any_two_records_leaves_what_the_next_one_completes(ledger: Path) -> None:
    async with serving(ledger) as (server, _):
        async with enriching(server, WANTED[:4]) as whole:
            await whole.read()
        wanted_rows = {suffix: rows_in(whole.kafka, suffix) for suffix in _COMPARED}
        for cut in range(0, len(whole.kafka.journal), max(1, len(whole.kafka.journal) // 12)):
            kafka = KafkaThatIsAList(journal=whole.kafka.journal[:cut])
            async with enriching(server, WANTED[:4], kafka=kafka) as again:
                await again.read()
            assert {suffix: rows_in(kafka, suffix) for suffix in _COMPARED} == wanted_rows


_COMPARED = ("session_details", "agent_events", "agents", "skill_groups", "agent_status")


async def test_a_session_that_the_api_does_not_know_is_asked_for_three_times_and_then_noted(ledger: Path) -> None:
    stranger = WANTED[0].__class__(WANTED[0].ended_at, WANTED[0].started_at, WANTED[0].sdk_app_id, "nobody-knows-it")
    kafka = KafkaThatIsAList()
    now = datetime.fromtimestamp(NOW, tz=UTC)
    async with serving(ledger) as (server, _), enriching(server, [stranger], kafka=kafka) as enrichment:
        for minutes in (0, 11, 22, 33):
            enrichment.enricher._now = lambda later=minutes: now + timedelta(minutes=later)
            await enrichment.read()
        asked = server.stats()["actions"]["DescribeSessionDetail"]["requests"]

    (detail,) = records_in(kafka, "session_details")
    assert asked == 3
    assert not detail.is_known


async def test_what_ended_too_long_ago_or_just_now_is_not_asked_for(ledger: Path) -> None:
    old = WANTED[0].__class__(WANTED[0].ended_at - timedelta(days=9), WANTED[0].started_at, WANTED[0].sdk_app_id, "old")
    fresh = WANTED[1].__class__(
        datetime.fromtimestamp(NOW, tz=UTC), WANTED[1].started_at, WANTED[1].sdk_app_id, "fresh"
    )
    options: dict[str, Any] = {"directory": False, "agent_status": False, "session_delay": timedelta(minutes=1)}
    async with serving(ledger) as (server, _), enriching(server, [old, fresh], **options) as enrichment:
        assert await enrichment.read() == 0
        assert "DescribeSessionDetail" not in server.stats()["actions"]


async def test_one_application_without_permission_says_what_to_allow_and_the_others_go_on(ledger: Path) -> None:
    async with serving(ledger) as (server, _):
        denied, *others = server.world.sdk_app_ids
        server.control({"deny": denied})
        async with enriching(server, WANTED) as enrichment:
            await enrichment.read()
            problem = enrichment.enricher.degraded_because()

    assert problem is not None
    assert f"SdkAppId {denied}" in problem
    assert "allow ccc:DescribeSessionDetail" in problem
    assert "allow ccc:DescribeStaffInfoList" in problem
    assert not any(f"SdkAppId {app}" in problem for app in others)
    told = {record.sdk_app_id for suffix in _COMPARED for record in records_in(enrichment.kafka, suffix)}
    assert told == set(others)


async def test_a_kafka_that_is_away_is_waited_for(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.reconcile.publishing.RETRY_SECONDS_FIRST", 0.001)
    kafka = KafkaThatIsAList(fails=[KafkaConnectionError("away"), TimeoutError(), KafkaConnectionError("away")])
    async with serving(ledger) as (server, _), enriching(server, WANTED[:2], kafka=kafka) as enrichment:
        await enrichment.read()

    assert not kafka.fails
    assert len(records_in(kafka, "session_details")) == 2


async def test_an_item_that_cannot_be_used_is_one_letter_and_the_others_are_rows(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Directory.staff
    monkeypatch.setattr(
        Directory,
        "staff",
        lambda self: [{"Name": "nobody", "Mail": "m" * 600, "LastModifyTimestamp": 0}, *listed(self)],
    )
    async with (
        serving(ledger) as (server, _),
        enriching(server, session_details=False, agent_status=False) as enrichment,
    ):
        await enrichment.read()
        await enrichment.read()

    (letter,) = [decode_letter(r.value) for r in enrichment.kafka.journal if r.topic == f"{PREFIX}dead_letters"]
    assert letter.stage.value == "reconcile"
    assert "no agent_mail" in letter.detail
    assert b"nobody" in letter.raw
    assert records_in(enrichment.kafka, "agents")


def test_a_session_nobody_answered_or_that_is_not_over_needs_no_details() -> None:
    leg = {"answered_at": "2026-11-24T08:00:00.000Z", "agent_mail": "ann@example.com", "agent_phone": None}
    whole = {
        "sdk_app_id": 1, "session_id": "s", "started_at": "2026-11-24T07:59:00.000Z", "answered_at": None,
        "ended_at": "2026-11-24T08:09:00.000Z", "agent_mail": None, "legs": [leg],
    }  # fmt: skip

    def wanted(**changes: Any) -> Any:
        return wanted_session(jsontext.encode({"session": whole | changes}))

    assert wanted().session_id == "s"
    assert wanted(ended_at=None) is None
    assert wanted(legs=[]) is None
    assert wanted(legs=[leg | {"answered_at": None}]) is None
    assert wanted(legs=[], answered_at=leg["answered_at"], agent_mail="ann@example.com") is not None
    assert wanted_session(b"no json") is None
