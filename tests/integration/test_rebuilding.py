"""`callweave rebuild` and `export` as processes: beside a running loader, and killed half-way."""

import json
import signal
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq

from sinks.correcting import Correction, correct, correcting_digest
from sinks.warehouse import open_sink
from streams.core.fold import fold
from tests.support.events import APP, an_event
from tests.support.loading import Log
from tests.support.program import Program, eventually


def calls(count: int) -> list[tuple[bytes, bytes]]:
    """Records of the sessions topic, as the worker publishes them."""
    records = []
    for number in range(count):
        session = f"s-{number:04d}"
        payload = {
            "SessionId": session,
            "Direction": 0,
            "Caller": f"+8613900{number:06d}",
            "StartTimestamp": 1_763_942_400,  # 2025-11-24, midnight in UTC
            "ServeParticipants": [{"Mail": "ann@example.com", "Sequence": 0}],
        }
        event = an_event("cdr", payload, push_id=session).model_copy(update={"session_id": session})
        record = fold(event.key, None, [event]).record
        assert record is not None
        records.append((event.key, record))
    return records


def plant(url: str, data_dir: Path, key: bytes, record: bytes) -> None:
    """What a loader with a bug would have left: the same version, another caller, and the loader does not mend it."""
    sink = open_sink(url, data_dir=data_dir, recording_deadline_seconds=3600)
    sink.open()
    digest = correcting_digest("0" * 32, "", datetime.now(UTC) - timedelta(days=1))
    with closing(sink):
        correct(sink, [Correction(key, record.replace(b"+86139", b"+86138"), digest)], None)


def rebuild(program: Program, *arguments: str, expect: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(program.run("rebuild", "--json", *arguments, expect=expect).stdout)
    return found


async def test_a_rebuild_and_an_export_work_beside_the_loader_that_owns_the_file(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    program = Program(tmp_path, kafka, topic_prefix, {"WAREHOUSE__HISTORY": "true"})
    program.run("topics", "apply")
    records = calls(3)
    log = Log(kafka, topic_prefix)
    await log.send(log.sessions, records)
    plant("duckdb:///calls.duckdb", tmp_path, *records[1])
    with program.role("loader"):
        eventually(lambda: "loader" in program.roles() and len(callers(program)) == 3)
        dry = rebuild(program, "--dry-run", expect=1)
        wrong = callers(program)
        done = rebuild(program, expect=0)
        right = callers(program)
        again = rebuild(program, expect=0)
        program.run("export", "--date", "2025-11-24", "--out", str(tmp_path / "out"))
        beyond = program.run("export", "--date", "2025-13-24", expect=2).stderr

    assert (dry["different"], dry["equal"], dry["replaced"]) == (1, 2, 0)
    (difference,) = dry["differences"]
    assert (difference["sdk_app_id"], difference["session_id"], difference["finding"]) == (APP, "s-0001", "different")
    assert [name for name in difference["columns"] if not name.startswith("session_versions.")] == [
        "sessions.caller",
        "sessions.customer_number",
    ]
    assert wrong[1] == "+8613800000001"
    assert (done["replaced"], done["not_covered"], right[1]) == (1, 0, "+8613900000001")
    assert (again["equal"], again["replaced"]) == (3, 0)
    day = tmp_path / "out" / "2025-11-24"
    assert pq.read_table(day / "sessions.parquet")["caller"].to_pylist() == right
    assert len(pq.read_table(day / "legs.parquet")) == 3
    assert pq.read_table(day / "session_versions.parquet")["push_id"].to_pylist() == ["s-0000", "s-0001", "s-0002"]
    assert "is no day" in beyond


def callers(program: Program) -> list[str]:
    done = program.run("sql", "select caller from sessions order by session_id", "--json", expect=None)
    return [] if done.returncode else [row["caller"] for row in json.loads(done.stdout)]


async def test_a_rebuild_that_is_killed_half_way_has_done_no_harm_and_the_next_one_ends_it(
    kafka: str, topic_prefix: str, tmp_path: Path, postgres_url: str
) -> None:
    program = Program(tmp_path, kafka, topic_prefix, {"WAREHOUSE__URL": postgres_url})
    program.run("topics", "apply")
    records = calls(520)
    log = Log(kafka, topic_prefix)
    await log.send(log.sessions, records)
    # The second chunk of sessions waits for this row.
    plant(postgres_url, tmp_path, *records[-1])
    with psycopg.connect(postgres_url) as somebody, psycopg.connect(postgres_url, autocommit=True) as looker:

        def count(table: str) -> int:
            row = looker.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            assert row is not None
            return int(row[0])

        somebody.execute("SELECT * FROM sessions FOR UPDATE")
        killed = program.start("rebuild")
        try:
            eventually(lambda: count("sessions") > 1)
            other = program.run("rebuild", expect=2).stderr
        finally:
            killed.send_signal(signal.SIGKILL)
            assert killed.wait(60) == -signal.SIGKILL
        somebody.rollback()
        half = count("sessions"), count("legs")
        done = rebuild(program, expect=0)

        assert half == (501, 501), "every session that was replaced has its legs"
        assert "another `callweave rebuild`" in other
        assert (done["equal"], done["absent"], done["different"], done["replaced"]) == (500, 19, 1, 20)
        assert (count("sessions"), count("legs")) == (520, 520)
        assert not (tmp_path / "rebuild" / "states").exists()
