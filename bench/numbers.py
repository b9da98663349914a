"""What the numbers cost to read, in CPU: one day, all days, the page's and the report's questions, on each warehouse.

`make bench-numbers SESSIONS=1000000` (`python -m bench.numbers`). A year of calls stands there; what counts is one day
beside all days. CPU is that of every thread of the process that answers, so it tells of the work on a busy machine too.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psutil
import psycopg
import pyarrow as pa

from bench.loading import CHILDREN_EACH, an_address, load, say
from callweave.dashboard.calls import find_calls
from callweave.dashboard.filters import Filters
from callweave.dashboard.pipeline import pipeline_panel
from callweave.dashboard.spelling import Spelling
from callweave.dashboard.today import today_panel
from callweave.reading import DirectQuestions
from callweave.report.facts import Span, read_report
from schemas.columns import CHILDREN, SESSIONS, ColumnType, Table
from sinks.kpi.rules import KpiRules
from sinks.kpi.views import KPI_VIEWS
from sinks.rows import ARROW_TYPES, STAMPED, SessionKey, SessionRows
from sinks.sink import QueryLimits, Reader
from sinks.warehouse import open_reader, open_sink

WAREHOUSES = ("duckdb", "postgres", "clickhouse")
DAYS = 365
LAST = datetime(2026, 11, 24, tzinfo=UTC)
ZONE = "Asia/Shanghai"
LIMITS = QueryLimits(rows_max=1_000_000, seconds_max=300)
NO_DAYS = frozenset({"kpi_settings", "kpi_satisfaction_keys", "kpi_definitions"})

_AGE = "(s.place * {days} * 86400 // {sessions})"
"""Of a session, in seconds after the first one."""
_FROM = """
(SELECT n AS place, hash(n) AS dice FROM wanted) AS s
"""
_INBOUND = "s.dice % 3 <> 0"
_MOMENTS = {
    "started_at": "0",
    "queued_at": "12",
    "rang_at": "15 + s.dice % 20",
    "answered_at": "20 + s.dice % 25",
    "ended_at": "60 + s.dice % 400",
    "first_received_at": "70 + s.dice % 400",
    "last_received_at": "75 + s.dice % 400",
    "received_at": "80 + s.dice % 400",
    "generated_at": "62 + s.dice % 400",
}
_FIXED = {
    "sdk_app_id": "1400000001",
    # As TCCC's: nothing of the time is in it.
    "session_id": "format('{:016x}', s.dice)",
    "version": "1",
    "has_cdr": "true",
    "direction": f"CASE WHEN {_INBOUND} THEN 'inbound' ELSE 'outbound' END",
    "call_type": f"CASE WHEN {_INBOUND} THEN 'inbound' ELSE 'outbound' END",
    "customer_number": "format('+86138{:08d}', s.dice % {callers})",
    "line_number": "format('+86755{:04d}', s.dice % 12)",
    "skill_group_id": "s.dice % 9",
    "skill_group_name": "format('group {}', s.dice % 9)",
    "end_status": "CASE WHEN s.dice % 7 = 0 THEN 'waitingGiveUp' ELSE 'ok' END",
    "hung_up_by": "CASE WHEN s.dice % 2 = 0 THEN 'seat' ELSE 'user' END",
    "agent_mail": "format('agent{}@example.com', s.dice % 200)",
    "agent_name": "format('Agent {}', s.dice % 200)",
    "source": "'push'",
    "recordings_expected": "3",
    "recordings_received": "3",
    "recordings_missing": "0",
    "leg_count": "2",
    "is_expected": "true",
}


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sessions", type=int, default=1_000_000)
    options.add_argument("--keep", type=Path, help="a folder where DuckDB's file is found, or left, for another run")
    options.add_argument("warehouses", nargs="*", default=WAREHOUSES)
    asked = options.parse_args()
    results = {name: measure(name, asked.sessions, asked.keep) for name in asked.warehouses}
    print(json.dumps({"sessions": asked.sessions, "cpu_seconds": results}, indent=2))


def measure(name: str, sessions: int, keep: Path | None) -> dict[str, dict[str, float]]:
    """CPU seconds of each view, one day and all days, and of the page's and the report's questions."""
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callweave-bench-")))
        url = stack.enter_context(an_address(name))
        sink = open_sink(url, data_dir=folder, recording_deadline_seconds=3600, kpi_rules=(KpiRules(time_zone=ZONE),))
        stack.enter_context(closing(sink))
        sink.open()
        if not sink.query("SELECT COUNT(*) FROM sessions").rows[0][0]:
            fill(sink, sessions)
            sink.checkpoint()
        reader: Reader = sink if name == "duckdb" else open_reader(url, data_dir=folder)
        analyzed(name, url)
        return spent_on(name, url, reader, server_of(name, url))


def spent_on(name: str, url: str, reader: Reader, server: int | None) -> dict[str, dict[str, float]]:
    """CPU seconds of each question to a warehouse that is full."""
    day = (LAST - timedelta(days=DAYS // 2)).date().isoformat()
    spent: dict[str, dict[str, float]] = {}

    def note(what: str, **questions: Callable[[], object]) -> None:
        spent[what] = {which: round(cpu_of(server, question), 3) for which, question in questions.items()}
        say(f"{name}: {what} " + ", ".join(f"{which} {value:.2f}" for which, value in spent[what].items()))

    for view in KPI_VIEWS:
        if view.name not in NO_DAYS:
            counted = "COUNT(*)" if view.name in ("kpi_calls", "kpi_sessions") else "*"
            note(
                view.name,
                day=partial(asked, reader, f"SELECT {counted} FROM {view.name} WHERE day = DATE '{day}'"),  # noqa: S608
                all=partial(asked, reader, f"SELECT {counted} FROM {view.name}"),  # noqa: S608
            )
    note("completeness", all=lambda: asked(reader, "SELECT * FROM completeness"))
    questions, words = DirectQuestions(reader), Spelling.of(url)
    since = datetime.fromisoformat(day).replace(tzinfo=UTC)
    one_day = Filters(since, since + timedelta(days=1))
    number = reader.query("SELECT MAX(customer_number) FROM sessions", LIMITS).rows[0][0]
    found = partial(find_calls, questions, words, one_day, sees_personal=False)
    note(
        "the page",
        day=lambda: today_panel(questions, words, one_day),
        month=lambda: today_panel(questions, words, Filters(since, since + timedelta(days=31))),
        pipeline=lambda: pipeline_panel(questions, words, one_day),
        calls=partial(found, None),
        number=partial(found, number),
    )
    note("the report", day=lambda: read_report(questions, Span(since.date(), since.date())))
    return spent


def analyzed(name: str, url: str) -> None:
    """As autovacuum does by itself, sooner or later."""
    if name == "postgres":
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(b"VACUUM ANALYZE")


def asked(reader: Reader, sql: str) -> None:
    """One question, answered whole."""
    reader.query(sql, LIMITS)


def cpu_of(server: int | None, question: Callable[[], object]) -> float:
    """The least of two."""
    seconds = []
    for _ in range(2):
        before = spent_by(server)
        question()
        seconds.append(spent_by(server) - before)
    return min(seconds)


def spent_by(server: int | None) -> float:
    """CPU of this process, and of a server with its processes, those that have ended too."""
    own = time.process_time()
    if server is None:
        return own
    time.sleep(0.2)  # a backend ends after its answer
    process = psutil.Process(server)
    spent = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    return own + sum(spent[0]) - spent[0].iowait + sum(times.user + times.system for times in spent[1:])


def server_of(name: str, url: str) -> int | None:
    """The process that answers; None where it is this one."""
    if name == "duckdb":
        return None
    if name == "postgres":
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        return psutil.Process(row[0]).ppid()
    return max(psutil.Process().children(), key=lambda child: child.create_time()).pid


def fill(sink: Any, sessions: int) -> None:
    """A year of calls, oldest first."""
    step, offset = 50_000, 0
    for start in range(0, sessions, step):
        offset = load(sink, rows_of(range(start, min(start + step, sessions)), sessions), offset)


def rows_of(numbers: range, sessions: int) -> SessionRows:
    """Sessions of these numbers: two legs and three recordings each."""
    with duckdb.connect() as maker:
        maker.execute("SET TimeZone = 'UTC'")
        maker.register("wanted", pa.table({"n": pa.array(numbers, pa.int64())}))
        parent = made(maker, SESSIONS, _FROM, sessions)
        tables = {SESSIONS.name: parent}
        bounds = {SESSIONS.name: list(range(len(numbers) + 1))}
        for child in CHILDREN:
            each = CHILDREN_EACH.get(child.name, 0)
            tables[child.name] = made(maker, child, f"{_FROM}, range({each}) AS c(c)", sessions)
            bounds[child.name] = [each * at for at in range(len(numbers) + 1)]
    keys = tuple(SessionKey(1_400_000_001, name) for name in parent["session_id"].to_pylist())
    return SessionRows(keys, tables, bounds)


def made(maker: duckdb.DuckDBPyConnection, table: Table, source: str, sessions: int) -> pa.Table:
    first = int((LAST - timedelta(days=DAYS)).timestamp())
    age = _AGE.format(days=DAYS, sessions=sessions)
    cells = {
        **_FIXED,
        "customer_number": f"format('+86138{{:08d}}', (s.dice // 7) % {max(1, sessions // 4)})",
        **{name: f"to_timestamp({first} + {age} + {after})" for name, after in _MOMENTS.items()},
    }
    if table.name == "legs":
        cells |= {"leg_sequence": "c", "agent_mail": "format('agent{}@example.com', (s.dice + c) % 200)"}
    if table.name == "recordings":
        cells |= {"recording_id": "format('r-{}', c)", "leg_sequence": "CASE WHEN c < 2 THEN c END"}
    if table.name != "sessions":
        cells.pop("version")
    fallback = {
        ColumnType.BOOLEAN: "false",
        ColumnType.JSON: "NULL",
        ColumnType.BYTES: "NULL",
        ColumnType.TEXT: "format('{:x}', s.dice)" if table.name == "sessions" else "NULL",
        ColumnType.INTEGER: "NULL",
        ColumnType.INSTANT: "CAST(NULL AS TIMESTAMPTZ)",
    }
    due = {ColumnType.TEXT: "format('{:x}', s.dice)", ColumnType.INTEGER: "0", ColumnType.INSTANT: "now()"}
    columns = [column for column in table.columns if column.name != STAMPED]
    cells = {
        column.name: cells.get(column.name, (fallback if column.nullable else {**fallback, **due})[column.type])
        for column in columns
    }
    listed = ", ".join(f'{cell} AS "{name}"' for name, cell in cells.items())
    schema = pa.schema([pa.field(column.name, ARROW_TYPES[column.type]) for column in columns])
    order = "s.place, c" if table.name != SESSIONS.name else "s.place"
    return maker.execute(f"SELECT {listed} FROM {source} ORDER BY {order}").to_arrow_table().cast(schema)  # noqa: S608


if __name__ == "__main__":
    main()
