"""The page in a real browser, over a real warehouse: what is on the screen is what SQL says."""

import csv
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page

from callweave.dashboard.server import DashboardServer
from callweave.kpi_settings import KpiSettings, kpi_rules
from callweave.reading import open_questions
from callweave.settings import DashboardSettings, KafkaSettings, Settings, WarehouseSettings
from sinks.rows import lay_out, read_document
from sinks.sink import Batch, LogPartition
from sinks.warehouse import open_sink
from tests.support.browser import a_browser
from tests.support.program import Program, eventually
from tests.support.sessions import APP, RECEIVED_AT, a_leg, a_recording, a_session, session_record

NO_RULES = KpiSettings()
DEADLINE_MS = 120_000
"""Of each wait: a loaded machine takes its time, and a condition that is met costs none of it."""
AXE = Path(__file__).parents[1] / "support/vendor/axe.min.js"
TODAY = datetime.now(UTC).date()
DAY = f"from={RECEIVED_AT:%Y-%m-%d}&to={RECEIVED_AT:%Y-%m-%d}"
VIEWS = (f"/?{DAY}", f"/?view=pipeline&{DAY}", f"/?view=find&{DAY}", f"/?view=call&sdk_app_id={APP}&session_id=s-0")


def a_call(number: int) -> Any:
    """Every third gives up; the rest talk, and one of two recordings is missing."""
    start = RECEIVED_AT - timedelta(hours=2) + timedelta(minutes=7 * number)
    answered = start + timedelta(seconds=10 + 5 * number) if number % 3 else None
    end = start + timedelta(minutes=3)
    shared = {"agent_mail": "ann@example.com", "rang_at": start + timedelta(seconds=5), "answered_at": answered}
    return a_session(
        f"s-{number}",
        has_cdr=True,
        source="push",
        direction="inbound",
        call_type="inbound",
        caller="008613800138000",
        customer_number="008613800138000",
        started_at=start,
        queued_at=start,
        ended_at=end,
        end_status="ok" if answered else "waitingGiveUp",
        skill_group_name="o'rders",
        leg_count=1,
        recordings_expected=1,
        recordings_missing=1,
        legs=[a_leg(0, **shared, ended_at=end)],
        recordings=[a_recording(f"r-{number}", side="agent", leg_sequence=0)],
        **({k: v for k, v in shared.items() if k != "agent_mail"}),
        agent_mail="ann@example.com",
    )


def a_queued_call(session_id: str, app: int, start: datetime) -> Any:
    """A call that waited for ten seconds and gave up."""
    end = start + timedelta(seconds=10)
    values = {"source": "push", "direction": "inbound", "call_type": "inbound", "end_status": "waitingGiveUp"}
    times = {"started_at": start, "queued_at": start, "ended_at": end}
    return a_session(session_id, sdk_app_id=app, has_cdr=True, **values, **times)


def fill(url: str, data_dir: Path) -> None:
    sink = open_sink(url, data_dir=data_dir, recording_deadline_seconds=60)
    sink.open()
    rows, unfit = lay_out(read_document(*session_record(a_call(number))) for number in range(9))
    assert not unfit
    part = LogPartition("t.sessions", 0)
    sink.write(Batch(rows, [], {part: 9}, {part: None}))
    sink.close()


@asynccontextmanager
async def serving(
    data_dir: Path, url: str, *, kpi: KpiSettings = NO_RULES, **knobs: Any
) -> AsyncIterator[tuple[DashboardServer, Settings]]:
    settings = Settings.model_construct(
        data_dir=data_dir,
        kafka=KafkaSettings(),
        warehouse=WarehouseSettings(url=url, recording_deadline_seconds=60),
        dashboard=DashboardSettings(port=0, **knobs),
        kpi=kpi,
    )
    server = DashboardServer(settings)
    await server.start()
    try:
        yield server, settings
    finally:
        await server.stop()


async def settled(page: Page, address: str) -> None:
    """Open it, and wait until all of it has been answered and drawn: nothing changes it before the next refresh.

    By selectors alone: the page's own policy refuses a function that is made of text.
    """
    await page.goto(address)
    await page.wait_for_selector("#pulse[data-state=good]")
    await page.wait_for_selector("[aria-busy=true]", state="detached")


@pytest.fixture(params=["duckdb", "postgres", "clickhouse"])
def warehouse_url(request: pytest.FixtureRequest) -> str:
    return "duckdb:///calls.duckdb" if request.param == "duckdb" else request.getfixturevalue(f"{request.param}_url")


async def test_every_panel_says_what_sql_says_on_every_warehouse(tmp_path, warehouse_url):
    fill(warehouse_url, tmp_path)
    async with serving(tmp_path, warehouse_url) as (server, settings), aiohttp.ClientSession(server.url) as client:
        answers = {}
        for panel in ("today", "pipeline", "calls", "choices"):
            for narrower in ("", "&queue=o'rders&agent=ann@example.com", "&q=13800138000"):
                async with client.get(f"/api/{panel}?{DAY}{narrower}") as answer:
                    assert answer.status == 200, await answer.text()
                    answers[panel, narrower] = (await answer.json())["tables"]
                    etag = answer.headers["ETag"]
                async with client.get(f"/api/{panel}?{DAY}{narrower}", headers={"If-None-Match": etag}) as again:
                    assert again.status == 304
    with open_questions(settings) as questions:
        row = questions.ask("SELECT SUM(answered_count) AS answered, SUM(queued_count) AS queued FROM kpi_daily").rows[
            0
        ]
    totals = answers["today", ""]["totals"]
    shown = dict(zip(totals["columns"], totals["rows"][0], strict=True))

    assert [shown["answered_count"], shown["queued_count"]] == [int(row[0]), int(row[1])] == [6, 9]
    assert shown["recordings_missing"] == 9
    assert answers["today", ""]["agents"]["rows"][0][:3] == ["ann@example.com", 9, 6]
    assert len(answers["calls", "&q=13800138000"]["calls"]["rows"]) == 9
    assert "008613800138000" not in str(answers)


async def test_a_day_on_the_page_is_the_day_of_the_views(tmp_path):
    """A call at 16:30 UTC is of the next day in Shanghai, and of the same in New York."""
    rules = {"time_zone": "Asia/Shanghai", "accounts": [{"sdk_app_ids": [7], "time_zone": "America/New_York"}]}
    kpi = KpiSettings.model_validate(rules)
    url = "duckdb:///calls.duckdb"
    sink = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=60, kpi_rules=kpi_rules(kpi))
    sink.open()
    late = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)
    calls = [
        a_queued_call(f"{app}-{hour}", app, late + timedelta(hours=hour)) for app in (APP, 7) for hour in (-1, 0, 13)
    ]
    rows, unfit = lay_out(read_document(*session_record(call)) for call in calls)
    assert not unfit
    sink.write(Batch(rows, [], {LogPartition("t.sessions", 0): 9}, {LogPartition("t.sessions", 0): None}))
    sink.close()

    async with serving(tmp_path, url, kpi=kpi) as (server, settings), aiohttp.ClientSession(server.url) as client:
        with open_questions(settings) as questions:
            of_the_views = questions.ask(
                "SELECT sdk_app_id, CAST(day AS VARCHAR), queued_count FROM kpi_daily ORDER BY 1, 2"
            )
        shown = []
        for app, day, _ in of_the_views.rows:
            async with client.get(f"/api/today?account={app}&from={day}&to={day}") as answer:
                told = await answer.json()
            totals = told["tables"]["totals"]
            shown.append([app, day, dict(zip(totals["columns"], totals["rows"][0], strict=True))["queued_count"]])
            assert told["facts"]["other_days"] == []
        async with client.get("/api/today?from=2026-11-21&to=2026-11-21") as answer:
            everybody = await answer.json()

    assert shown == [list(row) for row in of_the_views.rows]
    assert [row[1:] for row in shown] == [
        *[["2026-11-20", 2], ["2026-11-21", 1]],  # account 7, whose days are New York's
        *[["2026-11-20", 1], ["2026-11-21", 2]],
    ]
    assert everybody["facts"]["other_days"] == [{"account": 7, "time_zone": "America/New_York"}]


async def test_a_page_whose_days_are_not_the_warehouses_says_so(tmp_path):
    fill("duckdb:///calls.duckdb", tmp_path)
    kpi = KpiSettings(time_zone="Asia/Shanghai")
    async with serving(tmp_path, "duckdb:///calls.duckdb", kpi=kpi) as (server, _), a_browser() as browser:
        page = await browser.new_page()
        page.set_default_timeout(DEADLINE_MS)
        await settled(page, server.url.rstrip("/") + VIEWS[0])

        assert "UTC" in await page.inner_text(".warning")
        assert "Asia/Shanghai" in await page.inner_text("#foot")


async def test_the_screen_says_what_sql_says_is_clean_to_axe_and_asks_nobody_else(tmp_path):
    fill("duckdb:///calls.duckdb", tmp_path)
    # Refreshed after axe has looked, however long that takes here.
    knobs = {"refresh_seconds": 3600}
    async with serving(tmp_path, "duckdb:///calls.duckdb", **knobs) as (server, settings), a_browser() as browser:
        with open_questions(settings) as questions:
            answered = questions.ask("SELECT SUM(answered_count) AS answered FROM kpi_daily").rows[0][0]
        for theme, locale, width in (("light", "en-GB", 1280), ("dark", "zh-CN", 1280), ("light", "zh-CN", 390)):
            size = {"width": width, "height": 800}
            # axe is put in by the driver, which the page's own policy would refuse.
            context = await browser.new_context(viewport=size, locale=locale, color_scheme=theme, bypass_csp=True)
            context.set_default_timeout(DEADLINE_MS)
            page = await context.new_page()
            requests: list[str] = []
            problems: list[str] = []
            page.on("request", lambda request, into=requests: into.append(request.url))
            page.on("pageerror", lambda error, into=problems: into.append(str(error)))
            for view in VIEWS:
                await settled(page, server.url.rstrip("/") + view)
                await page.add_script_tag(path=str(AXE))
                found = (await page.evaluate("axe.run()"))["violations"]
                assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], (view, theme)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (view, width)
                if view == VIEWS[0]:
                    assert await page.inner_text("[data-figure=answered_count]") == str(int(answered))
            assert problems == []
            assert all(url.startswith((server.url, "data:")) for url in requests)
            await context.close()


async def test_a_person_with_a_keyboard_filters_finds_a_call_and_shares_the_address(tmp_path):
    fill("duckdb:///calls.duckdb", tmp_path)
    knobs = {"refresh_seconds": 3600, "personal_for": "*"}
    async with serving(tmp_path, "duckdb:///calls.duckdb", **knobs) as (server, settings), a_browser() as browser:
        with open_questions(settings) as questions:
            of_queue = questions.ask("SELECT SUM(queued_count) AS n FROM kpi_hourly_skill_group").rows[0][0]
        page = await browser.new_page(locale="en-GB", color_scheme="light")
        page.set_default_timeout(DEADLINE_MS)
        await settled(page, server.url.rstrip("/") + VIEWS[0])

        await page.focus("#filter-queue")
        await page.keyboard.press("ArrowDown")
        await page.wait_for_url("**queue=*")
        await page.wait_for_selector("[aria-busy=true]", state="detached")
        shared = page.url
        await settled(page, shared)
        assert await page.eval_on_selector("#filter-queue", "chosen => chosen.value") == "o'rders"
        assert await page.inner_text("[data-figure=offered_count] + dd") == f"{int(of_queue)} entered a queue"

        await page.focus("#language")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("html[lang=zh-CN]")
        await page.focus("#theme")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("html[data-theme=light]")
        await page.focus("#theme")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("html[data-theme=dark]")
        assert page.url == shared
        await settled(page, shared)
        assert await page.get_attribute("html", "lang") == "zh-CN", "the choice is kept"

        await settled(page, f"{server.url}?view=find")
        await page.focus("#term")
        await page.keyboard.type("138 0013 8000")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**q=138*")
        rows = page.locator("main tbody tr:not(.empty)")
        await rows.nth(8).wait_for()
        async with page.expect_download() as downloading:
            await page.click("a.csv")
        saved = await (await downloading.value).path()
        lines = list(csv.DictReader(saved.read_text(encoding="utf-8-sig").splitlines()))
        assert len(lines) == await rows.count() == 9
        assert {line["customer_number"] for line in lines} == {"008613800138000"}
        await page.focus("main tbody tr a")
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".timeline .stretch-queue")
        assert "view=call" in page.url


async def test_the_policy_refuses_nothing_that_the_page_does(tmp_path):
    fill("duckdb:///calls.duckdb", tmp_path)
    async with serving(tmp_path, "duckdb:///calls.duckdb") as (server, _), a_browser() as browser:
        page = await browser.new_page()
        page.set_default_timeout(DEADLINE_MS)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        for view in VIEWS:
            await settled(page, server.url.rstrip("/") + view)
        await settled(page, server.url.rstrip("/") + VIEWS[0])
        assert await page.query_selector("canvas") is not None

    assert [text for text in said if "Content Security Policy" in text or "Refused" in text] == []


def test_up_serves_the_page_beside_the_writer_of_duckdb(tmp_path, kafka, topic_prefix):
    program = Program(tmp_path / "data", kafka, topic_prefix, {"DASHBOARD__ENABLED": "true", "DASHBOARD__PORT": "0"})
    with program.up() as push_url:
        program.run("simulate", "--url", push_url, "--sessions", "40", "--seed", "7")
        program.run("status", "--wait-idle", "120")
        page_url = eventually(lambda: program.roles().get("dashboard", {}).get("page_url"))
        days = f"from={TODAY - timedelta(days=5)}&to={TODAY + timedelta(days=1)}"
        with urllib.request.urlopen(f"{page_url}api/today?{days}", timeout=90) as answer:
            totals = json.load(answer)["tables"]["totals"]
        told = program.sql("select sum(answered_count) as answered, sum(offered_count) as offered from kpi_daily")[0]
        call = program.sql("select sdk_app_id, session_id from sessions where has_cdr order by session_id limit 1")[0]
        named = f"sdk_app_id={call['sdk_app_id']}&session_id={call['session_id']}&pushes=1"
        with urllib.request.urlopen(f"{page_url}api/call?{named}", timeout=90) as answer:
            pushes = json.load(answer)["tables"]["pushes"]["rows"]
        with urllib.request.urlopen(f"{page_url}api/standing", timeout=90) as answer:
            standing = json.load(answer)["tables"]
    shown = dict(zip(totals["columns"], totals["rows"][0], strict=True))

    assert (shown["answered_count"], shown["offered_count"]) == (int(told["answered"]), int(told["offered"]))
    assert "cdr" in {row[1] for row in pushes}
    assert {"receiver", "worker", "loader"} <= {row[0] for row in standing["roles"]["rows"]}
    assert {row[0] for row in standing["lags"]["rows"]} == {"worker", "loader"}
