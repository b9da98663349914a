"""The report of a day: what it says is what SQL says, on the screen of a real browser too; and nothing is fetched."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from callweave.report.facts import ratios
from callweave.settings import Settings, WarehouseSettings
from tests.integration.test_dashboard import fill
from tests.support.browser import a_browser
from tests.support.program import Program
from tests.support.sessions import APP, RECEIVED_AT


@pytest.fixture(params=["duckdb", "postgres", "clickhouse"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    url = {"duckdb": f"duckdb:///{tmp_path}/calls.duckdb"}.get(request.param) or request.getfixturevalue(
        f"{request.param}_url"
    )
    fill(url, tmp_path)
    assert Settings(warehouse=WarehouseSettings(url=url)).warehouse_url == url
    return Program(tmp_path, "127.0.0.1:1", "t.", {"WAREHOUSE__URL": url})


def test_the_report_says_what_sql_says(program: Program) -> None:
    day = (RECEIVED_AT - timedelta(hours=2)).date().isoformat()
    told = json.loads(program.run("report", "--from", day, "--to", "2026-12-31", "--json").stdout)
    (account,) = told["accounts"]
    (sums,) = program.sql(
        "select count(*) as offered_count, "
        "cast(sum(case when answered_at is not null then 1 else 0 end) as bigint) as answered_count, "
        "cast(sum(recordings_missing) as bigint) as missing from sessions where direction = 'inbound'"
    )
    calls = account["calls"]

    assert account["sdk_app_id"] == APP
    assert int(sums["offered_count"]) == calls["offered_count"] > 0
    assert int(sums["answered_count"]) == calls["answered_count"]
    assert int(sums["missing"]) == account["recordings"]["missing"]
    assert calls["service_level_connect"] == calls["left_queue_in_target_count"] / calls["queued_count"]
    for grain in ("days", "hours", "queues"):
        assert sum(row["answered_count"] for row in account[grain]) == calls["answered_count"], grain
    assert sum(agent["leg_answered_count"] for agent in account["agents"]) == calls["answered_count"]
    text = program.run("report", "--from", day, "--to", "2026-12-31").stdout
    assert str(calls["answered_count"]) in text
    assert "o'rders" in text
    assert program.run("report", "--from", "2031-01-01", "--json").stdout.count('"sdk_app_id"') == 0


async def test_the_page_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/calls.duckdb"
    fill(url, tmp_path)
    program = Program(tmp_path, "127.0.0.1:1", "t.", {"WAREHOUSE__URL": url})
    file = tmp_path / "day.html"
    program.run("report", "--html", str(file))
    (account,) = json.loads(program.run("report", "--json").stdout)["accounts"]
    asked: list[str] = []
    async with a_browser() as browser:
        page = await browser.new_page(viewport={"width": 390, "height": 800})
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(file.as_uri())
        tiles = await page.locator(".tile b").all_inner_texts()
        bars = await page.locator("svg rect").count()
        is_wider = await page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert tiles[1] == f"{account['calls']['answered_count']:,}"
    assert tiles[3] == f"{100 * account['calls']['service_level_connect']:.1f} %"
    assert bars > 0
    assert not is_wider
    assert asked == [file.as_uri()]


def test_nothing_divided_by_nothing_is_no_number() -> None:
    assert set(ratios({"queued_count": 0}).values()) == {None}
