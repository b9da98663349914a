"""`callweave demo`: everything on one machine, calls with every kind of trouble, and the proof that none was lost.

It runs the same `callweave up` that users run, as a process of its own, and looks at it from outside. Then it asks a
simulated API of TCCC for what was never pushed (`callweave.demo_repair`), and compares again.
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callweave.child import die_with_parent
from callweave.cli.common import print_table, say
from callweave.cli.simulating import report_lines, simulate_visibly
from callweave.demo_repair import reconcile_with_simulated_api
from callweave.kafka import bootstrap_servers
from callweave.reading import open_questions
from callweave.settings import MisconfiguredError, ReceiverSettings, Settings
from callweave.simulator.oauth import TokenRequest
from callweave.simulator.reconciled import Reconciliation
from callweave.simulator.run import SimulationOptions
from callweave.standing import look, wait_idle
from callweave.supervisor import ROLES
from callweave.tenant_settings import revealed
from callweave.verify import compare
from ingest.token_endpoint import TOKEN_PATH

TROUBLE = {
    "retry": 0.10,
    "repush": 0.03,
    "shuffle": 1.0,
    "withhold": 0.02,
    "withhold_cdr": 0.01,
    "withhold_voicemail": 0.02,
    "unpushed": 0.01,
    "never_recorded": 0.005,
    "useless": 0.01,
    "missing_header": 0.02,
    "numbers_as_text": 0.02,
    "unknown_fields": 0.02,
    "epoch_record_id": 0.03,
    "gzip": 0.02,
}
READY_SECONDS_MAX = 300.0
IDLE_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 120.0
MARK = ".callweave-demo"

LATER = """\
Look for yourself (everything is in {data}):
  {program} up --data {data}          starts it again, and prints the page's address; then, beside it:
  {program} sql --data {data} "select * from sessions limit 5"
  {program} sql --data {data} "select * from missing_recordings"
  {program} completeness --data {data} --from 4d
  {program} status --data {data}
  {program} session --data {data} {example}
  {program} dead-letters list --data {data}
To point TCCC at your own: README.md, "Point TCCC at it"."""


async def run_demo(settings: Settings, *, config: Path | None, sessions: int, seed: int, rate: float | None) -> int:
    """Run it; 0 only if the warehouse agrees with what was sent."""
    if settings.warehouse.url is not None:
        raise MisconfiguredError("the demo makes its own warehouse: unset CALLWEAVE_WAREHOUSE__URL")
    if settings.tenants or settings.receiver.jwks_url or settings.receiver.sdk_app_ids:
        raise MisconfiguredError(
            "the demo pushes for accounts that it invents, with credentials of ours: run it without tenants,"
            " receiver.jwks_url and receiver.sdk_app_ids (CALLWEAVE_CONFIG names another settings file)"
        )
    _prepare(settings.data_dir)
    ledger = settings.data_dir / "ledger.jsonl"
    started = time.monotonic()
    async with _running_up(settings, config) as url:
        await _until_all_roles_are_ready(settings)
        pace = f", {rate:g} pushes a second" if rate else ""
        say(f"ready after {time.monotonic() - started:.0f} s; pushing {sessions} sessions to {url}{pace}")
        receiver = settings.receiver
        report = await simulate_visibly(
            SimulationOptions(
                url=url,
                sessions=sessions,
                seed=seed,
                faults=TROUBLE,
                rate=rate,
                ledger=ledger,
                user=receiver.username,
                password=receiver.password.get_secret_value() if receiver.password else None,
                token=_token_request(url, receiver),
                verify_tls=receiver.tls_cert_file is None,  # it is for the name that TCCC calls, not for this machine
            )
        )
        for line in report_lines(report):
            say(line)
        with_broker = _with_broker(settings)
        if not await _is_idle(with_broker):
            return 1
        is_whole = await asyncio.to_thread(_compare_pushes, with_broker, ledger)
        say("asking the API (a simulator of TCCC's, through its own SDK) for what was never pushed")
        status = await reconcile_with_simulated_api(with_broker, config=config, ledger=ledger)
        if status != 0 or not await _is_idle(with_broker):
            return 1
        is_repaired = await asyncio.to_thread(_compare_all, with_broker, ledger)
        return 0 if is_whole and is_repaired and not report.given_up else 1


async def _is_idle(settings: Settings) -> bool:
    pending = await wait_idle(settings, IDLE_SECONDS_MAX)
    if pending is not None:
        say(f"not everything arrived within {IDLE_SECONDS_MAX:g} s: {pending}")
    return pending is None


def _compare_pushes(settings: Settings, ledger: Path) -> bool:
    """What arrived against what was pushed."""
    standing = look(settings)
    with open_questions(settings) as questions:
        verification = compare(ledger, lambda statement: questions.ask(statement).dicts())
    print()
    for line in verification.lines():
        print(line)
    p50, p95 = standing.freshness_seconds.get("p50"), standing.freshness_seconds.get("p95")
    if p50 is not None and p95 is not None:
        print(f"freshness, from the receiver's acknowledgement to the committed row: p50 {p50:.2f} s, p95 {p95:.2f} s")
    print()
    return verification.ok


def _compare_all(settings: Settings, ledger: Path) -> bool:
    """What is there against everything that happened, pushed or not; the numbers, and where to look next."""
    with open_questions(settings) as questions:
        verification = compare(
            ledger,
            lambda statement: questions.ask(statement).dicts(),
            reconciliation=Reconciliation(
                asked_at=datetime.now(UTC), absent_after=timedelta(seconds=settings.reconcile.absent_after_seconds)
            ),
        )
        numbers = questions.ask(KPI_SQL)
        repaired = questions.ask(REPAIRED_SQL)
        example = questions.ask("select sdk_app_id, session_id from sessions where leg_count > 1 limit 1").rows
    print()
    for line in verification.lines():
        print(line)
    print()
    print_table(repaired.columns, repaired.rows, title="completeness")
    print()
    print_table(numbers.columns, numbers.rows, title="kpi_daily")
    print()
    named = f"{example[0][0]} {example[0][1]}" if example else "SDK_APP_ID SESSION_ID"
    program = "callweave" if shutil.which("callweave") else ".venv/bin/callweave"
    print(LATER.format(data=settings.data_dir, program=program, example=named))
    return verification.ok


REPAIRED_SQL = """
select sdk_app_id, sum(sessions_known_to_api) as "known to the API", sum(sessions_by_push) as "pushed",
       sum(sessions_api_only) as "repaired calls", sum(recordings_recovered) as "repaired recordings",
       sum(recordings_absent) as "never recorded", sum(recordings_missing) as "still missing"
from completeness group by 1 order by 1
"""
KPI_SQL = """
select sdk_app_id, day, offered_count as offered, answered_count as answered, abandoned_count as abandoned,
       round(100 * service_level_connect) as "service level %", round(asa_seconds) as "ASA s",
       round(aht_without_acw_seconds) as "AHT s", outbound_count as outbound,
       round(100 * outbound_connect_rate) as "connected %",
       round(100 * completeness) as "complete %", round(100 * provisional_share) as "provisional %"
from kpi_daily order by 1, 2
"""


def _prepare(data_dir: Path) -> None:
    """An empty directory, so that the demo always shows the same; only one that a demo made is emptied."""
    if data_dir.exists() and any(data_dir.iterdir()):
        if not (data_dir / MARK).exists():
            raise MisconfiguredError(f"{data_dir} holds something that no demo made: choose an empty --data directory")
        shutil.rmtree(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / MARK).touch()


@asynccontextmanager
async def _running_up(settings: Settings, config: Path | None) -> AsyncIterator[str]:
    """`callweave up` as a process of its own; the push address."""
    command = [sys.executable, "-m", "callweave", "up", "--data", str(settings.data_dir)]
    if config is not None:
        command += ["--config", str(config)]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"CALLWEAVE_RECEIVER__PORT": "0", "CALLWEAVE_LOG__LEVEL": "warning", **os.environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY_SECONDS_MAX)
        if not line.startswith(b"ready "):
            raise MisconfiguredError("`callweave up` did not become ready: the lines above say why")
        yield line.decode().split(" ", 1)[1].strip()
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)


async def _until_all_roles_are_ready(settings: Settings) -> None:
    """Pushes are welcome before; waiting shows the freshness of a pipeline that runs, not of one that starts."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    with_broker = _with_broker(settings)
    while time.monotonic() < deadline:
        standing = await asyncio.to_thread(look, with_broker)
        if standing.is_healthy and {*ROLES} <= {role.role for role in standing.roles}:
            return
        await asyncio.sleep(0.3)
    raise MisconfiguredError("not every role became ready: the lines above say why")


def _token_request(push_url: str, receiver: ReceiverSettings) -> TokenRequest | None:
    if not receiver.client_id:
        return None
    token_url = push_url.partition("?")[0].removesuffix(receiver.path) + TOKEN_PATH
    return TokenRequest(url=token_url, client_id=receiver.client_id, client_secret=revealed(receiver.client_secret))


def _with_broker(settings: Settings) -> Settings:
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": bootstrap_servers(settings)})
    return settings.model_copy(update={"kafka": kafka})
