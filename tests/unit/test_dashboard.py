"""The page's pure parts: who may look, what an address asks, what is masked, a call's picture and what is missing."""

import asyncio
import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from callweave.dashboard import spelling
from callweave.dashboard.access import Turned, gate_of
from callweave.dashboard.answers import SharedAnswers
from callweave.dashboard.calls import spellings_of
from callweave.dashboard.filters import FilterError, read_filters
from callweave.dashboard.lacking import lacking
from callweave.dashboard.panels import Panel, Table, csv_of
from callweave.dashboard.personal import HIDDEN, masked_number, personal_of
from callweave.dashboard.timeline import draw
from callweave.settings import DashboardSettings
from schemas.columns import SESSIONS

STATIC = Path(__file__).parents[2] / "callweave/dashboard/static"
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
SHANGHAI = {0: "Asia/Shanghai", 7: "America/New_York"}
BASIC = "Basic YW5uOmh1c2g="  # ann:hush


def a_request(headers: dict[str, str] | None = None, *, host: str = "localhost:8082", peer: str = "127.0.0.1"):
    request = make_mocked_request("GET", "/", headers={"Host": host, **(headers or {})})
    return request.clone(remote=peer)


@pytest.mark.parametrize("host", ["192.0.2.7", "10.0.0.5", "dashboards.example.com"])
def test_without_authentication_only_this_machine_is_served(host):
    with pytest.raises(ValueError, match="would answer anybody"):
        DashboardSettings(host=host)


def test_without_authentication_a_foreign_name_for_this_machine_is_turned_away():
    gate = gate_of(DashboardSettings())

    assert gate.viewer(a_request()).sees_personal is False
    with pytest.raises(Turned) as turned:
        gate.viewer(a_request(host="evil.example:8082"))
    assert turned.value.status == 421


def test_a_password_opens_and_a_wrong_one_does_not():
    gate = gate_of(DashboardSettings(auth="basic", users="ann:hush\nbo:other", personal_for="ann"))

    assert gate.viewer(a_request({"Authorization": BASIC})).sees_personal
    for headers in ({}, {"Authorization": "Basic YW5uOndyb25n"}, {"Authorization": "Basic %%"}):
        with pytest.raises(Turned) as turned:
            gate.viewer(a_request(headers))
        assert turned.value.status == 401


def test_a_proxy_is_believed_only_from_where_it_is():
    knobs = DashboardSettings(
        host="10.0.0.9", auth="proxy", trusted_proxies="10.0.0.0/8", personal_for="group:supervisors"
    )
    gate = gate_of(knobs)
    named = {"X-Forwarded-User": "ann", "X-Forwarded-Groups": "staff,supervisors"}

    assert gate.viewer(a_request(named, peer="10.1.2.3")).name == "ann"
    assert gate.viewer(a_request(named, peer="10.1.2.3")).sees_personal
    for peer, headers, status in [("192.0.2.1", named, 403), ("10.1.2.3", {}, 401)]:
        with pytest.raises(Turned) as turned:
            gate.viewer(a_request(headers, peer=peer))
        assert turned.value.status == status


def test_today_is_the_day_of_the_numbers_zone():
    filters = read_filters({}, zones=SHANGHAI, now=NOW)

    assert filters.since == datetime(2026, 11, 24, 16, tzinfo=UTC)
    assert filters.until - filters.since == timedelta(days=1)


def test_a_day_of_an_account_with_a_zone_of_its_own_is_its_own():
    asked = {"from": "2026-11-24", "to": "2026-11-24"}
    own = read_filters({**asked, "account": "7"}, zones=SHANGHAI, now=NOW)
    others = read_filters({**asked, "account": "8"}, zones=SHANGHAI, now=NOW)

    assert (own.since, own.time_zone) == (datetime(2026, 11, 24, 5, tzinfo=UTC), "America/New_York")
    assert (others.since, others.time_zone) == (datetime(2026, 11, 23, 16, tzinfo=UTC), "Asia/Shanghai")


@pytest.mark.parametrize(
    "asked",
    [
        {"account": "1 or 1=1"},
        {"queue": "x\\' or 1=1"},
        {"agent": "a" * 201},
        {"from": "2026-13-01"},
        {"from": "2026-11-02", "to": "2026-11-01"},
        {"from": "2026-01-01", "to": "2026-11-01"},
    ],
)
def test_an_address_that_makes_no_sense_is_refused(asked):
    with pytest.raises(FilterError):
        read_filters(asked, zones=SHANGHAI, now=NOW)


def test_a_quote_stays_inside_its_text():
    assert spelling.text("o'brien' or '1'='1") == "'o''brien'' or ''1''=''1'"
    with pytest.raises(ValueError, match="backslash"):
        spelling.text("\\' or 1=1")


def test_a_number_is_found_however_it_was_sent():
    assert {"008613800138000", "13800138000", "+8613800138000"} <= spellings_of("138 0013 8000")
    assert spellings_of("+86 138-0013-8000") >= {"008613800138000", "13800138000"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("008613800138000", "••••8000"),
        ("ann@example.com", "ann@example.com"),
        ("rec-1~008613800138000", "rec-1~••••8000"),
        ("10086", "••••86"),
    ],
)
def test_a_number_is_masked_to_its_last_digits(text, masked):
    assert masked_number(text) == masked


def test_a_download_says_what_the_screen_says():
    columns = ("customer_number", "uui", "skill_group_name")
    table = Table(columns, [["008613800138000", "secret", "=cmd()"]], personal=personal_of(columns))
    shown = json.loads(Panel({"calls": table}).as_json(sees_personal=False))["tables"]["calls"]["rows"]
    downloaded = list(csv.reader(io.StringIO(csv_of(table, sees_personal=False).decode("utf-8-sig"))))

    assert shown == [["••••8000", HIDDEN, "=cmd()"]]
    assert downloaded == [[*columns], ["••••8000", HIDDEN, "'=cmd()"]]


def test_a_transfer_is_drawn_from_leg_to_leg():
    session = {
        "direction": "inbound",
        "started_at": "2026-11-25T01:00:00Z",
        "queued_at": "2026-11-25T01:00:10Z",
        "answered_at": "2026-11-25T01:00:30Z",
        "ended_at": "2026-11-25T01:05:00Z",
        "customer_number": "1",
    }
    legs = [
        {
            "leg_sequence": 0,
            "agent_mail": "a@x",
            "rang_at": "2026-11-25T01:00:20Z",
            "answered_at": "2026-11-25T01:00:30Z",
            "ended_at": "2026-11-25T01:02:00Z",
            "transfer_to": "b@x",
        },
        {
            "leg_sequence": 1,
            "agent_mail": "b@x",
            "rang_at": "2026-11-25T01:02:00Z",
            "answered_at": "2026-11-25T01:02:05Z",
            "ended_at": "2026-11-25T01:05:00Z",
            "transfer_from": "a@x",
        },
    ]
    picture = draw(session, legs)

    assert picture is not None
    assert [[(part.kind, part.seconds) for part in lane.stretches] for lane in picture.lanes] == [
        [("ivr", 10), ("queue", 20), ("talk", 270)],
        [("ring", 10), ("talk", 90)],
        [("ring", 5), ("talk", 175)],
    ]
    assert [(each.from_leg, each.to_leg) for each in picture.transfers] == [(0, 1)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"leg_sequence": 0}, "recording_overdue"),
        ({"leg_sequence": 1}, "recording_of_unanswered"),
        ({"absent_at": "2026-11-25T02:00:00Z"}, "recording_absent"),
    ],
)
def test_what_is_missing_says_why(change, code):
    session = {
        "has_cdr": True,
        "answered_at": "2026-11-25T00:00:00Z",
        "ended_at": "2026-11-25T00:10:00Z",
        "last_received_at": "2026-11-25T00:11:00Z",
    }
    legs = [{"leg_sequence": 0, "answered_at": "2026-11-25T00:00:00Z"}, {"leg_sequence": 1, "answered_at": None}]
    row = {"recording_id": "r", "is_expected": True, "received_at": None, "absent_at": None, **change}

    assert [each.code for each in lacking(session, legs, [row], deadline_seconds=3600, now=NOW)] == [code]


async def test_many_viewers_are_one_question_and_an_unchanged_warehouse_is_none():
    asked: list[str] = []
    clock = [0.0]
    mark = ["1"]
    answers = SharedAnswers(lambda: mark[0], refresh_seconds=5, monotonic=lambda: clock[0])

    def compute() -> Panel:
        asked.append("panel")
        return Panel({}, {"n": len(asked)})

    first = await asyncio.gather(*(answers.answer("today", compute) for _ in range(100)))
    clock[0] = 6
    unchanged = await answers.answer("today", compute)
    clock[0], mark[0] = 12, "2"
    changed = await answers.answer("today", compute)

    assert len(asked) == 2
    assert unchanged.body(sees_personal=False) == first[0].body(sees_personal=False)
    assert changed.body(sees_personal=False)[1] != unchanged.body(sees_personal=False)[1]


def test_both_languages_have_every_word():
    words = json.loads((STATIC / "words.json").read_text())

    assert words["en"].keys() == words["zh"].keys()
    for key, english in words["en"].items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", words["zh"][key])), key
    # A call's row shows every column that is filled, by its name.
    assert {f"column.{name}" for name in SESSIONS.column_names if name != "document_digest"} <= words["en"].keys()
    used = {key for file in STATIC.glob("*.js") for key in re.findall(r'\bt\("([a-z0-9_.]+)"', file.read_text())}
    assert used <= words["en"].keys()
