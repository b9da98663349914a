"""How fast ClickHouse is loaded and read here: `python -m bench.clickhouse [sessions that stand there already]`.

Each batch goes through the sink and, in the same run, the same Arrow table goes plainly into a MergeTree without keys,
checks or offsets: the ratio is what being right costs. The engine is the tests' own, behind the same HTTP.
"""

import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from sinks import clickhouse
from sinks.clickhouse import ClickHouseSink
from sinks.rows import Document, SessionKey, SessionRows, lay_out
from sinks.sink import Batch, LogPartition
from tests.support.clickhouse import fresh_database, session_clickhouse
from tests.support.sessions import APP, a_leg, a_recording, a_session

PARTITION = LogPartition("tccc.sessions", 0)
BASE_BATCH = 10_000
READS = {
    "count of the stored rows": "SELECT count(version) FROM callweave_sessions WHERE version > 0",
    "count of sessions (FINAL)": "SELECT count(version) FROM sessions WHERE version > 0",
    "talk by day, stored": "SELECT toDate(started_at), sum(talk_seconds) FROM callweave_sessions GROUP BY 1",
    "talk by day, sessions (FINAL)": "SELECT toDate(started_at), sum(talk_seconds) FROM sessions GROUP BY 1",
    "legs by type (FINAL, ARRAY JOIN)": "SELECT leg_type, count(*) FROM legs GROUP BY 1",
    "one session": f"SELECT * FROM sessions WHERE sdk_app_id = {APP} AND session_id = 's-77'",  # noqa: S608 - our own
    "kpi_daily": "SELECT * FROM kpi_daily",
}


def main() -> None:
    base = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with session_clickhouse() as server, fresh_database(server) as url:
        sink = ClickHouseSink(url, recording_deadline_seconds=3600)
        sink.open()
        with closing(sink):
            for start in range(0, base, BASE_BATCH):
                write(sink, rows(range(start, start + BASE_BATCH), version=1))
            client = sink._connected()  # noqa: SLF001 - the same client
            client.command("CREATE TABLE plain AS callweave_sessions ENGINE = MergeTree ORDER BY tuple()")
            print(f"{base} sessions stand there, with 2 legs and 3 recordings each")
            for size, count in ((1_000, 8), (10_000, 4)):
                load(sink, size, count, base)
            for name, sql in READS.items():
                print(f"{name:34} {1000 * timed(lambda sql=sql: sink.query(sql), 5):8.0f} ms")


def load(sink: ClickHouseSink, size: int, count: int, base: int) -> None:
    client = sink._connected()  # noqa: SLF001
    through, plainly = [], []
    for number in range(count):
        # Two thirds are new, one third newer documents of sessions anywhere in the table.
        first = base + (number + 1) * size + 100 * size
        chosen = [*range(first, first + size * 2 // 3), *range(number, base, base // (size // 3 + 1))]
        batch = rows(chosen[:size], version=2 + number)
        through.append(write(sink, batch))
        table = clickhouse._session_table(batch, datetime.now(UTC))  # noqa: SLF001
        plainly.append(timed(lambda table=table: client.insert_arrow("plain", table), 1))
    ours, theirs = median(through), median(plainly)
    print(
        f"batches of {size:6}: {1000 * ours:6.0f} ms ({size / ours:7.0f} sessions/s); "
        f"plain insert {1000 * theirs:6.0f} ms; ratio {ours / theirs:.1f}"
    )


def write(sink: ClickHouseSink, batch: SessionRows) -> float:
    stored = sink.offsets().get(PARTITION)
    landing = Batch(batch, (), {PARTITION: (stored or 0) + 1}, {PARTITION: stored})
    return timed(lambda: sink.write(landing), 1)


def rows(numbers: Any, *, version: int) -> SessionRows:
    laid_out, _ = lay_out(document(number, version) for number in numbers)
    return laid_out


def document(number: int, version: int) -> Document:
    body = {**BODY, "session_id": f"s-{number}", "version": str(version)}
    body["started_at"] = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)).isoformat()
    return Document(SessionKey(APP, f"s-{number}"), version, f"{number:032x}", body)


BODY = a_session(
    has_cdr=True,
    direction="inbound",
    caller="+8613800000000",
    talk_seconds=60,
    extra={"Field": "x" * 40},
    legs=[a_leg(number, agent_mail="agent@example.com", leg_type="x") for number in range(2)],
    recordings=[a_recording(f"r-{number}", url="https://example.com/" + "u" * 80) for number in range(3)],
).model_dump(mode="json")


def timed(job: Callable[[], Any], times: int) -> float:
    durations = []
    for _ in range(times):
        begun = time.perf_counter()
        job()
        durations.append(time.perf_counter() - begun)
    return median(durations)


if __name__ == "__main__":
    main()
