"""What pushes lost is repaired from the API: the whole program, the real SDK, and reconcile killed on the way."""

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from callweave.reconciling import read_progress
from callweave.settings import KafkaSettings, Settings
from callweave.simulator.scenario import make_sessions
from callweave.topics import apply_topics
from schemas.topics import RECONCILE
from tests.support.api import a_ledger_of
from tests.support.completeness import in_the_warehouse, in_truth, total
from tests.support.program import Program, eventually
from tests.support.sessions import an_hour

LOST = {
    "withhold_cdr": 0.03,
    "withhold": 0.05,
    "withhold_voicemail": 0.02,
    "unpushed": 0.01,
    "never_recorded": 0.02,
    "epoch_record_id": 0.05,
    "retry": 0.05,
    "shuffle": 1.0,
}
SESSIONS = 500
SPAN = "--from=50h"
KILLS = 5
ROWS_AT_REST = "select session_id, version, loaded_at from sessions order by session_id"

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextlib.contextmanager
def api_of(program: Program, ledger: Path, *faults: str) -> Iterator[str]:
    """The API of a ledger's scenario, as a process; its endpoint."""
    process = program.start("simulate-api", f"--ledger={ledger}", *faults)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("ready ").strip()
    finally:
        process.terminate()
        process.wait(60)


def asked(endpoint: str) -> dict[str, int]:
    """What the simulator counted of DescribeTelCdr."""
    with _direct.open(f"http://{endpoint}/stats", timeout=60) as response:
        counts: dict[str, int] = json.load(response)["actions"].get("DescribeTelCdr", {"requests": 0})
    return counts


def apps_of(endpoint: str) -> str:
    """The applications that it knows."""
    with _direct.open(f"http://{endpoint}/stats", timeout=60) as response:
        return ",".join(map(str, json.load(response)["sdk_app_ids"]))


def reader(program: Program, endpoint: str, **more: str) -> Program:
    """The same pipeline, with a key of the API."""
    api = {
        "API__ENDPOINT": endpoint,
        "API__SECRET_ID": "AKIDsimulated",
        "API__SECRET_KEY": "simulated-key",
        "API__SDK_APP_IDS": apps_of(endpoint),
        "RECONCILE__LAG_SECONDS": "0",
        "RECONCILE__ABSENT_AFTER_SECONDS": "0",
        "RECONCILE__OVERLAP_SECONDS": "0",
    }
    return Program(program.data_dir, program.kafka, program.topic_prefix, {**program.settings, **api, **more})


@pytest.mark.timeout(600)
def test_what_pushes_lost_is_there_after_reconcile_was_killed_five_times(
    tmp_path: Path, kafka: str, topic_prefix: str
) -> None:
    pipeline = Program(tmp_path / "data", kafka, topic_prefix, {"COMPLETENESS__METRICS_SECONDS": "2"})
    ledger = tmp_path / "ledger.jsonl"
    faults = [f"--fault={name}={rate}" for name, rate in LOST.items()]

    with pipeline.up() as url:
        pipeline.run("simulate", f"--url={url}", f"--sessions={SESSIONS}", "--days=2", f"--ledger={ledger}", *faults)
        pipeline.run("status", "--wait-idle", "120")
        before = pipeline.sql("select count(*) as n, count(*) filter (where has_cdr) as cdrs from sessions")[0]
        told_before = in_the_warehouse(pipeline)
        with api_of(pipeline, ledger) as endpoint:
            program = reader(pipeline, endpoint)
            program.run("verify", f"--ledger={ledger}", "--reconciled", "--absent-after-hours=0", expect=1)
            unasked = completeness_of(program, *LAST_TWO_DAYS, expect=1)
            for _ in range(KILLS):
                kill_on_the_way(program, endpoint)
            done = json.loads(program.run("reconcile", SPAN, "--json").stdout)
            program.run("status", "--wait-idle", "120")
            verified = program.run("verify", f"--ledger={ledger}", "--reconciled", "--absent-after-hours=0")
            at_rest = program.sql(ROWS_AT_REST)
            told_after = in_the_warehouse(program)
            complete = completeness_of(program, *LAST_TWO_DAYS, "--min=1")
            not_final = completeness_of(program, *LAST_TWO_DAYS, "--final", expect=1)

            again = json.loads(program.run("reconcile", SPAN, "--json").stdout)
            program.run("status", "--wait-idle", "120")

            assert before["cdrs"] < before["n"] < SESSIONS
            assert done["complete"], verified.stdout
            assert sum(app["events_published"] for app in again["applications"]) == 0
            assert program.sql(ROWS_AT_REST) == at_rest
            assert told_before == in_truth(ledger, was_asked=False)
            assert told_after == in_truth(ledger, was_asked=True)
            assert min(total(told_before, name) for name in ("sessions_without_cdr", "recordings_missing")) > 0
            assert min(total(told_after, name) for name in ("sessions_api_only", "recordings_recovered")) > 0
            assert {problem["kind"] for problem in unasked["problems"]} == {"not asked", "share"}
            assert (complete["problems"], {line["share"] for line in complete["totals"]}) == ([], {1.0})
            assert {problem["kind"] for problem in not_final["problems"]} == {"provisional"}
            assert {line["state"] for line in not_final["hours"]} == {"final", "provisional"}
            assert program.sql("select * from field_disagreements") == []
            assert asked(endpoint)["refused"] == 0
            one = program.sql(ONE_OF_THE_API)[0]
            published = json.loads(program.run("reconcile", f"--session={one['session_id']}", "--json").stdout)
            assert published["events"] == {str(one["sdk_app_id"]): published["events"][str(one["sdk_app_id"])]}
            shown = program.run("session", str(one["sdk_app_id"]), one["session_id"], "--ask-api").stdout
            assert "API: never pushed, all of it is the API's" in shown
            eventually(lambda: 'callweave_completeness_share{span="last_24h"} 1.0' in metrics_of(program, "loader"))


LAST_TWO_DAYS = ("--from=48h", "--by=hour")
ONE_OF_THE_API = """
select any_value(sdk_app_id) as sdk_app_id, session_id from sessions group by session_id
having count(*) = 1 and any_value(source) = 'api' limit 1
"""
"""Two applications may use one SessionId, and `reconcile --session` asks all."""


def completeness_of(program: Program, *arguments: str, expect: int = 0) -> dict[str, Any]:
    """What `callweave completeness` says."""
    document: dict[str, Any] = json.loads(program.run("completeness", *arguments, "--json", expect=expect).stdout)
    return document


def metrics_of(program: Program, role: str) -> str:
    """What a role's admin port tells."""
    with _direct.open(f"{program.roles()[role]['admin_url']}/metrics", timeout=60) as response:
        return str(response.read().decode())


def kill_on_the_way(program: Program, endpoint: str) -> None:
    """Start a reading, and kill it once it has asked for a few hours more."""
    before = asked(endpoint)["requests"]
    process = program.start("reconcile", SPAN)
    try:
        eventually(lambda: asked(endpoint)["requests"] > before + 3 or process.poll() is not None)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.kill()
        assert process.wait() == -9


@pytest.mark.timeout(600)
def test_up_reconciles_by_itself_and_says_what_keeps_it_from_it(tmp_path: Path, kafka: str, topic_prefix: str) -> None:
    now = int(time.time())
    ledger = a_ledger_of(tmp_path, make_sessions(seed=7, count=60, now=now, days=1))

    with api_of(Program(tmp_path / "data", kafka, topic_prefix), ledger) as endpoint:
        program = reader(Program(tmp_path / "data", kafka, topic_prefix), endpoint, RECONCILE__BACK_FILL_DAYS="1")
        with program.up():
            # Nothing was ever pushed to this pipeline: all it has, the API told.
            eventually(lambda: program.sql("select count(*) as n from sessions where source = 'api'")[0]["n"] == 60)
            assert "ok    api: SdkAppId" in program.run("doctor", expect=None).stdout
            order(endpoint, {"revoke": "AKIDsimulated"})
            doctor = program.run("doctor", expect=1).stdout
            assert "FAULT api: SdkAppId" in doctor
            assert "was revoked, disabled or mistyped" in doctor


def order(endpoint: str, orders: dict[str, object]) -> None:
    """Change the simulator while it serves."""
    request = urllib.request.Request(f"http://{endpoint}/control", json.dumps(orders).encode())
    _direct.open(request, timeout=60).close()


def test_reconcile_without_a_key_says_what_to_set(tmp_path: Path, kafka: str, topic_prefix: str) -> None:
    done = Program(tmp_path, kafka, topic_prefix).run("reconcile", expect=2)

    assert "set CALLWEAVE_API__SECRET_ID" in done.stderr


async def test_what_was_read_is_known_to_whoever_looks(kafka: str, topic_prefix: str) -> None:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, topic_prefix=topic_prefix))
    await apply_topics(settings)
    hours = [an_hour(datetime(2026, 11, 24, number, tzinfo=UTC)) for number in range(20)]
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for hour in hours:
            await producer.send_and_wait(RECONCILE.name(topic_prefix), hour.encoded(), hour.key)

    seen = [len((await read_progress(settings)).asked) for _ in range(5)]

    assert seen == [20] * 5
