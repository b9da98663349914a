"""A span judged: sums, the share, gaps that nobody asked for, and the sentences that say what to do."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from typer.testing import CliRunner

from callweave.cli.app import app
from callweave.completeness import COUNTS, DAY, HOUR, Hour, Problem, problems_of, read_hours, stretches
from callweave.completeness_metrics import CompletenessMetrics, keep_showing, spans_at
from callweave.reading import DirectQuestions
from schemas.columns import RECONCILE_WINDOWS
from sinks.keyed import keyed_rows
from sinks.rows import lay_out, read_document
from sinks.sink import Batch, LogPartition, QueryLimits, QueryResult, SinkUnavailableError
from sinks.warehouse import open_sink
from tests.support.sessions import APP, a_call, a_session, an_hour, session_record

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
OTHER = APP + 1


@pytest.fixture(autouse=True)
def _logs_of_the_suite_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command sets up the logs of its process, and this one is pytest's."""
    monkeypatch.setattr("callweave.cli.common.configure_logs", lambda *_: None)


def an_hour_of(number: int, app: int = APP, **changes: Any) -> Hour:
    """An hour of one day in which nothing was due, asked for and final."""
    start = MIDNIGHT + number * HOUR
    counts = {name: changes.pop(name, 0) for name in COUNTS}
    values = {"asked_at": start + 3 * DAY, "read_to": start + HOUR, "is_final": True, **changes}
    return Hour(app, start, counts, **values)


def problems(*hours: Hour, share_min: float = 0.99, must_be_final: bool = False) -> list[Problem]:
    found = problems_of(
        stretches(hours, None), share_min=share_min, must_be_final=must_be_final, has_key=frozenset({APP})
    )
    return list(found)


def test_a_span_that_is_whole_has_no_problem():
    hours = [an_hour_of(number, sessions_in_warehouse=9, recordings_expected=9) for number in range(24)]

    assert problems(*hours, share_min=1.0, must_be_final=True) == []
    assert problems(*(an_hour_of(number) for number in range(24)), share_min=1.0, must_be_final=True) == []


def test_the_bound_holds_for_the_span_and_not_for_each_hour():
    thin = an_hour_of(3, sessions_in_warehouse=1, recordings_expected=1, recordings_missing=1)
    hours = [thin, an_hour_of(4, sessions_in_warehouse=98)]

    assert problems(*hours, share_min=0.99) == []
    (problem,) = problems(*hours, share_min=0.995)
    assert problem.kind == "share"
    assert problem.sentence == (
        f"SdkAppId {APP}: 99.0000% is here, and 99.5000% is asked for: 0 sessions without a CDR, 1 recordings missing, "
        "0 rows of the API unusable"
    )


def test_each_application_is_judged_by_itself():
    good, bad = an_hour_of(0, sessions_in_warehouse=10_000), an_hour_of(0, OTHER, sessions_without_cdr=1)

    assert [(problem.sdk_app_id, problem.kind) for problem in problems(good, bad)] == [(OTHER, "share")]


@pytest.mark.parametrize(
    "hour",
    [
        an_hour_of(5, asked_at=None, read_to=None, is_final=False),
        an_hour_of(5, read_to=MIDNIGHT + 5 * HOUR + timedelta(minutes=59), is_final=False),
    ],
    ids=["never", "in part"],
)
def test_an_hour_that_was_not_asked_for_is_a_problem_and_says_what_to_run(hour):
    (problem,) = problems(an_hour_of(4), hour, an_hour_of(6))

    assert problem.kind == "not asked"
    assert problem.sentence.endswith(
        "was not asked for the whole of the hour from 2026-11-23T05:00 to 2026-11-23T06:00 UTC: "
        "run `callweave reconcile --from 2026-11-23T05:00 --to 2026-11-23T06:00`"
    )


def test_an_application_without_a_key_says_where_to_name_it():
    (problem,) = problems(an_hour_of(0, OTHER, read_to=None, asked_at=None, is_final=False))

    assert problem.sentence.endswith("name it in CALLWEAVE_API__SDK_APP_IDS, beside the key that may read it")


def test_a_provisional_hour_is_a_problem_only_where_final_is_asked_for():
    hours = [an_hour_of(0), an_hour_of(1, is_final=False)]

    assert problems(*hours) == []
    assert [problem.kind for problem in problems(*hours, must_be_final=True)] == ["provisional"]


def test_hours_add_up_to_days_and_a_day_is_as_bad_as_its_worst_hour():
    hours = [an_hour_of(number, sessions_in_warehouse=1, is_final=number != 23) for number in range(25)]

    days = stretches(hours, "day")

    assert [(day.start, day.counts["sessions_in_warehouse"], day.state) for day in days] == [
        (MIDNIGHT, 24, "provisional"),
        (MIDNIGHT + DAY, 1, "final"),
    ]
    assert days[0].as_json()["hours_provisional"] == 1
    assert days[0].asked_at == hours[0].asked_at


@pytest.fixture
def warehouse(tmp_path: Path) -> Callable[..., Any]:
    """A warehouse of some calls and hours, and the questions that it answers."""

    def laid_down(*calls: Any, hours: Any = (), url: str = "duckdb:///calls.duckdb") -> Any:
        sink = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=3600)
        sink.open()
        place = LogPartition("tccc.sessions", 0)
        rows, _ = lay_out(read_document(*session_record(call)) for call in calls)
        sink.write(Batch(rows, (), {place: 1}, {place: None}, keyed_rows({RECONCILE_WINDOWS.name: hours})))
        return sink

    return laid_down


@pytest.mark.parametrize("kind", ["duckdb", pytest.param("postgres", marks=pytest.mark.services)])
def test_every_hour_of_the_span_is_told_of_each_application_also_where_nothing_happened(warehouse, kind, request):
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else "duckdb:///calls.duckdb"
    sink = warehouse(
        a_call("a", MIDNIGHT + 2 * HOUR),
        a_session("b", sdk_app_id=OTHER, has_cdr=True, source="api", ended_at=MIDNIGHT + HOUR),
        a_call("later", MIDNIGHT + 3 * HOUR),
        hours=[an_hour(MIDNIGHT)],
        url=url,
    )

    def read(*applications: int, only: bool = False) -> list[tuple[int, int, int, str]]:
        hours = read_hours(DirectQuestions(sink), MIDNIGHT, MIDNIGHT + 3 * HOUR, applications=applications, only=only)
        return [(h.sdk_app_id, h.start.hour, h.counts["sessions_in_warehouse"], h.state) for h in hours]

    mine = [(APP, 0, 0, "provisional"), (APP, 1, 0, "not asked"), (APP, 2, 1, "not asked")]
    assert read() == [*mine, *((OTHER, hour, int(hour == 1), "not asked") for hour in range(3))]
    assert read(APP, only=True) == mine
    assert read(7, only=True) == [(7, hour, 0, "not asked") for hour in range(3)]
    sink.close()


def gauges(registry: CollectorRegistry) -> dict[str, float]:
    lines = re.findall(r"^(callweave_\S+) (\S+)$", generate_latest(registry).decode(), re.MULTILINE)
    return {name.removeprefix("callweave_completeness_"): float(value) for name, value in lines}


async def test_metrics_show_yesterday_and_ask_again_soon_where_the_warehouse_was_away(warehouse, monkeypatch):
    sink = warehouse(
        a_call("a", MIDNIGHT + HOUR), a_session("b", first_received_at=MIDNIGHT), hours=[an_hour(MIDNIGHT)]
    )
    monkeypatch.setattr("callweave.completeness_metrics._SOON_SECONDS", 0.01)
    faults = [SinkUnavailableError("not open yet")]

    class Warehouse:
        def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: B008
            if faults:
                raise faults.pop()
            return sink.query(sql, limits)

        def close(self) -> None:
            pass

    registry = CollectorRegistry()
    metrics = CompletenessMetrics(registry, [APP, OTHER])
    now = MIDNIGHT + DAY + timedelta(hours=2, minutes=30)
    showing = asyncio.create_task(
        keep_showing(metrics, Warehouse(), sdk_app_ids=[APP, OTHER], every_seconds=3600, now=lambda: now)
    )
    async with asyncio.timeout(60):
        while 'count{span="last_24h",what="sessions_in_warehouse"}' not in gauges(registry):  # noqa: ASYNC110 - a registry has no event
            await asyncio.sleep(0.01)
    showing.cancel()
    shown = gauges(registry)

    assert shown['share{span="yesterday"}'] == 0.5
    assert shown[f'app_share{{sdk_app_id="{APP}",span="yesterday"}}'] == 0.5
    assert shown['hours{span="yesterday",state="not_asked"}'] == 47
    assert shown['hours{span="yesterday",state="provisional"}'] == 1
    assert shown['count{span="yesterday",what="sessions_without_cdr"}'] == 1
    assert shown['count{span="last_24h",what="sessions_in_warehouse"}'] == 0
    sink.close()


def test_the_spans_of_the_metrics_are_whole_hours():
    assert spans_at(MIDNIGHT + timedelta(hours=5, minutes=59)) == {
        "yesterday": (MIDNIGHT - DAY, MIDNIGHT),
        "last_24h": (MIDNIGHT + 5 * HOUR - DAY, MIDNIGHT + 5 * HOUR),
    }


def command(data_dir: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["completeness", f"--data={data_dir}", "--wait=0", *arguments])


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--from=2026-11-23", "--to=2026-11-23T01:00"], 0),
        (["--from=2026-11-23", "--to=2026-11-23T01:00", "--min=1"], 1),
        (["--from=2026-11-23", "--to=2026-11-23T01:00", "--final"], 1),
        (["--from=2026-11-23", "--to=2026-11-23T02:00"], 1),
        (["--from=2026-11-23", "--to=2026-11-23T01:00", "--app=7"], 1),
        (["--from=2026-11-23T01:00", "--to=2026-11-23T01:10"], 2),
        (["--from=soon"], 2),
    ],
)
def test_the_exit_status_is_a_gate(warehouse, tmp_path, arguments, status):
    calls = [a_call(f"a{number}", MIDNIGHT) for number in range(99)]
    sink = warehouse(*calls, a_session("b", first_received_at=MIDNIGHT), hours=[an_hour(MIDNIGHT)])
    sink.close()

    done = command(tmp_path, *arguments)

    assert done.exit_code == status, done.output


def test_the_command_prints_counts_and_json(warehouse, tmp_path):
    sink = warehouse(a_call("a", MIDNIGHT, "push+api"), hours=[an_hour(MIDNIGHT)])
    sink.close()

    text = command(tmp_path, "--from=2026-11-23", "--to=2026-11-23T01:00", "--by=hour").stdout.splitlines()
    assert text[0].split("\t")[:5] == ["SdkAppId", "hour", "known to API", "here", "pushed"]
    assert text[1].split("\t")[:5] == [str(APP), "2026-11-23T00:00", "1", "1", "1"]
    assert text[1].split("\t")[-2:] == ["100.0000%", "provisional"]
    document = json.loads(command(tmp_path, "--from=2026-11-23", "--to=2026-11-23T02:00", "--json").stdout)
    assert (document["complete"], document["min"]) == (False, 0.99)
    assert [problem["kind"] for problem in document["problems"]] == ["not asked"]
    assert document["days"][0]["sessions_known_to_api"] == 1
    assert (document["totals"][0]["hours_provisional"], document["totals"][0]["hours_not_asked"]) == (1, 1)
