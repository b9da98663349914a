"""Reconcile, the real SDK, and the API simulator: what is read, published, noted, and what goes wrong."""

import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from callweave.accounts import api_accounts
from callweave.settings import load_settings
from callweave.simulator.api.access import Secret
from callweave.simulator.api.rows import tel_cdr
from callweave.simulator.api.server import ApiServer
from callweave.simulator.facts import Session
from ingest.reconcile.paging import READINGS_MAX
from ingest.reconcile.windows import Timing
from schemas.events import ApiFact, EventKind, Source
from tests.support.api import NOW, Caller, a_ledger_of, some_sessions
from tests.support.api import served as served_with_a_limit
from tests.support.reconciling import KafkaThatIsAList, an_account, an_office

SESSIONS = some_sessions(120)
TROUBLE = {
    "request_limit": 0.02,
    "internal_error": 0.05,
    "http_500": 0.05,
    "http_503": 0.05,
    "malformed_json": 0.05,
    "not_json": 0.05,
    "cut": 0.05,
    "cut_midway": 0.05,
    "charset": 0.1,
    "error_without_request_id": 0.05,
}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return a_ledger_of(tmp_path, SESSIONS)


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.reconcile.client.PAUSE_SECONDS_FIRST", 0.001)
    monkeypatch.setattr("ingest.reconcile.limiter.HOLD_SECONDS", 0.01)


def served(ledger: Path, **options: Any) -> AbstractAsyncContextManager[tuple[ApiServer, Caller]]:
    """The API without its limit, which would only make the tests wait."""
    return served_with_a_limit(ledger, **{"limit_per_second": 100_000, **options})


def sessions_in(kafka: KafkaThatIsAList) -> set[str]:
    return {event.session_id for event in kafka.events if event.kind is EventKind.CDR}


async def test_every_session_is_published_once_with_its_facts_and_without_addresses(ledger: Path) -> None:
    async with served(ledger) as (server, _), an_office(an_account(server)) as office:
        await office.read()

    events = office.kafka.events
    recordings = sum(len(session.recordings) for session in SESSIONS)
    assert sessions_in(office.kafka) == {session.session_id for session in SESSIONS}
    assert len({event.digest for event in events}) == len(events)
    assert all(event.source is Source.API for event in events)
    assert not any(b"://" in event.encoded() for event in events)
    assert sum(event.fact is ApiFact.PRESENT and event.kind is EventKind.RECORD for event in events) <= recordings
    assert sum(event.kind is EventKind.VOICEMAIL for event in events) == sum(bool(s.voicemails) for s in SESSIONS)


async def test_an_hour_is_noted_only_after_all_that_it_held(ledger: Path) -> None:
    async with served(ledger) as (server, _), an_office(an_account(server)) as office:
        await office.read()

    published: set[str] = set()
    for record in office.kafka.journal:
        if record.topic != "t.reconcile":
            published.add(record.key.decode())
            continue
        noted = next(hour for hour in office.kafka.hours if hour.key == record.key)
        theirs = {
            f"{session.sdk_app_id}:{session.session_id}"
            for session in SESSIONS
            if session.sdk_app_id == noted.sdk_app_id
            and noted.window_start.timestamp() <= session.calls[-1].started < noted.window_end.timestamp()
        }
        assert theirs <= published
        assert noted.row_count >= len(theirs)
    assert len(office.kafka.hours) == len({hour.key for hour in office.kafka.hours})


async def test_rows_that_are_of_no_use_are_letters_and_counted_in_their_hour(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that starts on the hour is a row of two windows.
    inside = [session for session in SESSIONS if session.calls[0].started % 3600]
    useless = {(session.sdk_app_id, session.session_id) for session in inside[::40]}

    def without_an_id(session: Session, *arguments: Any, **more: Any) -> dict[str, Any]:
        row = tel_cdr(session, *arguments, **more)
        return {**row, "SessionId": ""} if (session.sdk_app_id, session.session_id) in useless else row

    monkeypatch.setattr("callweave.simulator.api.world.tel_cdr", without_an_id)
    async with served(ledger) as (server, _), an_office(an_account(server)) as office:
        await office.read()

    assert sum(hour.unusable_count for hour in office.kafka.hours) == len(useless) == 3
    assert sum(record.topic.endswith("dead_letters") for record in office.kafka.journal) == len(useless)
    assert not {(event.sdk_app_id, event.session_id) for event in office.kafka.events} & useless


async def test_a_new_process_that_remembers_nothing_publishes_nothing_twice_and_reads_no_final_hour(
    ledger: Path,
) -> None:
    patient = Timing(lag=timedelta(0))
    async with served(ledger) as (server, _):
        async with an_office(an_account(server), timing=patient) as first:
            published = await first.read()
        asked = server.stats()["actions"]["DescribeTelCdr"]["requests"]
        async with an_office(an_account(server), kafka=first.kafka, timing=patient) as second:
            again = await second.read()
        asked_again = server.stats()["actions"]["DescribeTelCdr"]["requests"] - asked

    assert (published > 200, again) == (True, 0)
    assert 0 < asked_again < asked


async def test_only_what_changed_is_published_again(ledger: Path) -> None:
    changes = {"remark_later": 0.2, "record_url_later": 0.2}
    timing = Timing(lag=timedelta(0))
    async with (
        served(ledger, faults=changes, later_seconds=3 * 86_400) as (server, _),
        an_office(an_account(server), timing=timing) as office,
    ):
        first = await office.read()
        server.control({"advance": 4 * 86_400})
        second = await office.read()
        third = await office.read()

    assert 0 < second < first / 2
    assert third == 0


async def test_trouble_on_every_third_request_costs_requests_and_no_row(ledger: Path) -> None:
    all_of_them = {session.session_id for session in SESSIONS}
    async with served(ledger, faults=TROUBLE) as (server, _), an_office(an_account(server)) as office:
        # One call in a thousand fails in all its attempts: its hour is asked for in the next pass, as by the role.
        for _ in range(5):
            await office.read()
            if sessions_in(office.kafka) == all_of_them:
                break

    assert office.problems() == dict.fromkeys(office.problems())
    assert sessions_in(office.kafka) == all_of_them


async def test_rows_that_appear_while_a_client_pages_are_not_missed(tmp_path: Path) -> None:
    hour = [
        replace(session, calls=tuple(replace(call, started=NOW - 3000, ended=NOW - 2000) for call in session.calls))
        for session in some_sessions(250)
    ]
    one_app = [replace(session, sdk_app_id=1400000001) for session in hour]
    faults = {"appears_while_paging": 0.1}
    ledger = a_ledger_of(tmp_path, one_app)
    async with served(ledger, faults=faults) as (server, _), an_office(an_account(server)) as office:
        await office.read(days=1)

    assert sessions_in(office.kafka) == {session.session_id for session in one_app}
    assert office.registry.get_sample_value("callweave_reconcile_restarts_total") in range(1, 3 * READINGS_MAX)


async def test_one_of_three_applications_without_permission_says_so_and_the_others_go_on(ledger: Path) -> None:
    async with served(ledger) as (server, _):
        apps = server.world.sdk_app_ids
        denied = apps[0]
        server.control({"deny": denied})
        async with an_office(an_account(server)) as office:
            await office.read()
            problem = office.problems()[denied]
            others = {app: problem for app, problem in office.problems().items() if app != denied}
            theirs = {session.session_id for session in SESSIONS if session.sdk_app_id != denied}

            assert sessions_in(office.kafka) == theirs
            assert problem is not None
            assert f"SdkAppId {denied}" in problem
            assert "allow ccc:DescribeTelCdr" in problem
            assert set(others.values()) == {None}
            assert office.reconciler.not_ready_because() == problem


async def test_a_revoked_key_of_one_account_leaves_the_other_account_alone(ledger: Path) -> None:
    async with served(ledger) as (server, _):
        first, *rest = server.world.sdk_app_ids
        other = Secret("AKIDother", "other-key", frozenset(rest))
        server.access.secrets = (*server.access.secrets, other)
        server.control({"revoke": "AKIDsimulated"})
        mine = an_account(server, first)
        theirs = an_account(server, *rest, name="other", secret_id=other.secret_id, secret_key=other.secret_key)
        async with an_office(mine, theirs) as office:
            await office.read()

    assert "was revoked, disabled or mistyped" in str(office.problems()[first])
    assert {office.problems()[app] for app in rest} == {None}
    assert "simulated" not in str(office.problems())


async def test_a_wrong_clock_is_told_with_how_wrong_it_is(ledger: Path) -> None:
    async with served(ledger, clock_skew_seconds=-900.0) as (server, _), an_office(an_account(server)) as office:
        await office.read()

    assert office.kafka.events == []
    for problem in office.problems().values():
        assert "refuses this clock" in str(problem)
        assert "it is 900 s ahead of the API's" in str(problem) or "it is 901 s ahead" in str(problem)


async def test_an_api_that_is_down_is_told_and_read_when_it_is_back(ledger: Path) -> None:
    async with served(ledger) as (server, _):
        server.control({"down": True})
        async with an_office(an_account(server)) as office:
            await office.read()
            down = office.problems()
            server.control({"down": False})
            for standing in office.reconciler.standings.values():
                standing.retry_at = 0.0
            await office.read()

    assert all("does not answer" in str(problem) for problem in down.values())
    assert office.problems() == dict.fromkeys(down)
    assert sessions_in(office.kafka) == {session.session_id for session in SESSIONS}


async def test_a_kafka_that_is_away_is_waited_for(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.reconcile.publishing.RETRY_SECONDS_FIRST", 0.001)
    kafka = KafkaThatIsAList(fails=[KafkaConnectionError("away"), TimeoutError(), KafkaConnectionError("away")])
    async with served(ledger) as (server, _), an_office(an_account(server), kafka=kafka) as office:
        await office.read()

    assert not kafka.fails
    assert sessions_in(kafka) == {session.session_id for session in SESSIONS}


async def test_one_session_is_asked_for_by_its_id(ledger: Path) -> None:
    wanted = SESSIONS[0]
    async with served(ledger) as (server, _), an_office(an_account(server)) as office:
        found = await office.reconciler.read_session(wanted.session_id)
        nothing = await office.reconciler.read_session("no-such-session")

    assert list(found) == [wanted.sdk_app_id]
    assert sessions_in(office.kafka) == {wanted.session_id}
    assert nothing == {}


async def test_the_pace_is_kept_and_used(ledger: Path) -> None:
    async with served_with_a_limit(ledger) as (server, _), an_office(an_account(server), rate=15.0) as office:
        started = time.monotonic()
        await office.read(days=1)
        seconds = time.monotonic() - started
        counted = server.stats()["actions"]["DescribeTelCdr"]

    assert counted["refused"] == 0
    assert counted["requests"] <= 15 * seconds + 3


def test_tenants_and_the_global_key_are_accounts_of_their_own() -> None:
    tenants = (
        {"name": "north", "sdk_app_ids": [1], "url_token": "n" * 20, "api": {"secret_id": "A", "secret_key": "a"}},
        {"name": "south", "sdk_app_ids": [2], "url_token": "s" * 20},
    )
    settings = load_settings(tenants=tenants, api={"endpoint": "127.0.0.1:9"})

    assert [(account.name, account.secret_id, account.sdk_app_ids) for account in api_accounts(settings)] == [
        ("north", "A", (1,))
    ]
    assert api_accounts(settings)[0].endpoint == "127.0.0.1:9"
