"""What no CDR holds, from the API to the tables: the whole program, killed on the way, into DuckDB and Postgres."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from callweave.simulator.api.life import Habits
from callweave.simulator.api.rows import session_detail
from callweave.simulator.scenario import make_sessions
from tests.integration.test_reconcile import api_of, order, reader
from tests.support.api import a_ledger_of
from tests.support.program import Program, eventually

KEY = "k" * 24
TABLES = {  # that every table lands alike in every warehouse is tests/contract/test_sinks_keyed.py's matter
    "agent_events": "sdk_app_id, session_id, event_sequence",
    "agents": "sdk_app_id, agent_mail, valid_from",
}
ENRICHED = {
    "ENRICH__SESSION_DETAILS": "true",
    "ENRICH__DIRECTORY": "true",
    "ENRICH__AGENT_STATUS": "true",
    "ENRICH__SESSION_DELAY_SECONDS": "0",
    "ENRICH__DIRECTORY_INTERVAL_SECONDS": "1",
    "ENRICH__REQUESTS_PER_SECOND": "15",
    "RECONCILE__BACK_FILL_DAYS": "1",
    "LOGIN_TOKENS__API_KEYS": f"crm {KEY} *",
    "LOGIN_TOKENS__PORT": "0",
}

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.mark.timeout(600)
def test_enrichment_reaches_both_warehouses_and_is_asked_for_once_although_it_was_killed(
    tmp_path: Path, kafka: str, topic_prefix: str, postgres_url: str
) -> None:
    sessions = make_sessions(seed=7, count=60, now=int(time.time()), days=1)
    ledger = a_ledger_of(tmp_path, sessions)
    plain = Program(tmp_path / "data", kafka, topic_prefix)

    with api_of(plain, ledger) as endpoint:
        program = reader(plain, endpoint, **ENRICHED)
        postgres = Program(tmp_path / "postgres", kafka, topic_prefix, {"WAREHOUSE__URL": postgres_url})
        with program.up(), postgres.role("loader"):
            dead = 0
            for count in (5, 20):
                eventually(lambda count=count: asked(endpoint) >= count)
                dead = eventually(lambda dead=dead: reconcile_after(program, dead))
                os.kill(dead, signal.SIGKILL)
            answered = "select count(distinct session_id) as n from legs where answered_at is not null"
            eventually(lambda: program.sql("select count(*) as n from sessions")[0]["n"] == 60)
            due = program.sql(f"{answered} and (agent_mail is not null or agent_phone is not null)")[0]["n"]
            eventually(lambda: details(program) >= due > 30)
            eventually(lambda: program.sql("select count(*) as n from agent_status")[0]["n"])
            asked_before = asked(endpoint)
            listings = stats(endpoint)["DescribeStaffInfoList"]["requests"]
            eventually(lambda: stats(endpoint)["DescribeStaffInfoList"]["requests"] > listings + 4)

            assert asked(endpoint) == asked_before
            assert due <= asked_before <= due + 4  # a death may cost what was on its way
            assert not any(of_one["refused"] for of_one in stats(endpoint).values())
            expected = {
                (session.session_id, event["Timestamp"], event["EventType"])
                for session in sessions
                for event in session_detail(session, Habits(), now=time.time())["Events"]
            }
            told = program.sql("select session_id, epoch(occurred_at)::bigint as at, event_type from agent_events")
            assert {(row["session_id"], int(row["at"]), row["event_type"]) for row in told} == expected
            (viewed,) = program.sql(
                "select (select count(*) from session_hold where hold_seconds > 0) as held,"
                " (select count(*) from agent_occupancy where occupancy between 0 and 1) as occupied,"
                " (select count(*) from leg_names where agent_mail is not null and agent_name is null) as nameless"
            )
            assert viewed["held"] > 0
            assert viewed["occupied"] > 0
            assert viewed["nameless"] == 0
            postgres.run("status", "--wait-idle", "60")
            for table, key in TABLES.items():
                assert rows(program, table, key) == rows(postgres, table, key), table

            token_for_an_agent(program, endpoint)


def token_for_an_agent(program: Program, endpoint: str) -> None:
    url = eventually(lambda: program.roles().get("login-tokens", {}).get("push_url"))
    agent = program.sql("select sdk_app_id, agent_mail from agents limit 1")[0]
    body = {"SeatUserId": agent["agent_mail"], "SdkAppId": int(agent["sdk_app_id"])}

    assert ask(url, body, KEY)["Token"]
    assert ask(url, body, "wrong") == 401
    assert "ok    login tokens: keys of crm" in program.run("doctor", expect=None).stdout
    order(endpoint, {"deny": int(agent["sdk_app_id"])})
    assert ask(url, body, KEY) == 502


def ask(url: str, body: dict[str, Any], key: str) -> Any:
    """The answer, or the status of a refusal."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"X-Api-Key": key})
    try:
        with _direct.open(request, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as refused:
        return refused.code


def reconcile_after(program: Program, dead: int) -> int:
    """The process of reconcile, once it is not that one; else 0."""
    pid = int(program.roles().get("reconcile", {}).get("pid", 0))
    return 0 if pid == dead else pid


def asked(endpoint: str) -> int:
    return int(stats(endpoint).get("DescribeSessionDetail", {"requests": 0})["requests"])


def details(program: Program) -> int:
    done = program.run("sql", "select count(*) as n from session_details", "--json", expect=None)
    return int(json.loads(done.stdout)[0]["n"]) if done.returncode == 0 else 0


def rows(program: Program, table: str, key: str) -> list[dict[str, Any]]:
    """All rows without the time of their commit; JSON's spacing belongs to the warehouse."""
    found = program.sql(f"select * from {table} order by {key}")
    return [
        {name: comparable(value) for name, value in row.items() if name not in ("loaded_at", "asked_at")}
        for row in found
    ]


def comparable(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] == "{" else value


def stats(endpoint: str) -> dict[str, dict[str, Any]]:
    """What the simulator counted, by action."""
    with _direct.open(f"http://{endpoint}/stats", timeout=60) as response:
        counted: dict[str, dict[str, Any]] = json.load(response)["actions"]
    return {action: {name: of_one[name] for name in ("requests", "refused")} for action, of_one in counted.items()}


def test_login_tokens_that_nobody_may_ask_for_says_what_to_set(tmp_path: Path, kafka: str, topic_prefix: str) -> None:
    done = Program(tmp_path, kafka, topic_prefix).run("login-tokens", expect=2)

    assert "set CALLWEAVE_LOGIN_TOKENS__API_KEYS" in done.stderr
