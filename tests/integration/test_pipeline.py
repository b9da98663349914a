"""From a push to a row, over the wire, on every warehouse: everything that was sent is there, once."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program

TROUBLE = {
    "retry": 0.10,
    "repush": 0.03,
    "shuffle": 1.0,
    "withhold": 0.02,
    "useless": 0.01,
    "correction": 0.02,
    "record_first": 0.05,
    "missing_header": 0.05,
    "no_action": 0.02,
    "numbers_as_text": 0.05,
    "milliseconds": 0.02,
    "unknown_fields": 0.05,
    "epoch_record_id": 0.05,
    "empty_record_id": 0.02,
    "endpoint_number": 0.1,
    "custom_url": 0.05,
    "null_arrays": 0.1,
    "bad_field": 0.02,
    "control_text": 0.02,
    "duplicate_key": 0.02,
    "gzip": 0.05,
    "bom": 0.05,
    "im_actions": 0.01,
}
MOVES_WITH_A_RETRY = {
    "version",
    "last_received_at",
    "loaded_at",
    "document_digest",
    "seen_count",
    "last_seen_at",
    "as_of",
    # By the clock of the query.
    "provisional_count",
    "provisional_share",
    "fcr_provisional_count",
}
TABLES = {
    "sessions": "sdk_app_id, session_id",
    "legs": "sdk_app_id, session_id, leg_sequence",
    "recordings": "sdk_app_id, session_id, recording_id",
    "voicemails": "sdk_app_id, session_id, voicemail_id",
    "dead_letters": "dead_letter_id",
    "session_recordings": "sdk_app_id, session_id, recording_id",
    "kpi_daily": "sdk_app_id, day",
}


@pytest.mark.timeout(600)
def test_everything_that_was_sent_is_there_once_in_every_warehouse(
    tmp_path: Path, kafka: str, topic_prefix: str, postgres_url: str, clickhouse_url: str
) -> None:
    duckdb = Program(tmp_path / "duckdb", kafka, topic_prefix)
    postgres = Program(tmp_path / "postgres", kafka, topic_prefix, {"WAREHOUSE__URL": postgres_url})
    clickhouse = Program(tmp_path / "clickhouse", kafka, topic_prefix, {"WAREHOUSE__URL": clickhouse_url})
    programs = (duckdb, postgres, clickhouse)
    ledger, again = tmp_path / "ledger.jsonl", tmp_path / "again.jsonl"
    faults = [f"--fault={name}={rate}" for name, rate in TROUBLE.items()]

    with duckdb.up() as url, postgres.role("loader"), clickhouse.role("loader"):
        duckdb.run("simulate", f"--url={url}", "--sessions=700", "--seed=7", f"--ledger={ledger}", *faults)
        for program in programs:
            program.run("status", "--wait-idle", "120")
            program.run("verify", f"--ledger={ledger}")
        before = {program.data_dir.name: everything(program) for program in programs}

        assert before["postgres"] == before["duckdb"]
        assert before["clickhouse"] == before["duckdb"]

        duckdb.run(
            "simulate", f"--url={url}", f"--again={ledger}", "--seed=8", f"--ledger={again}", "--fault=retry=0.05"
        )
        for program in programs:
            program.run("status", "--wait-idle", "120")
            program.run("verify", f"--ledger={again}")
            assert everything(program) == before[program.data_dir.name]

        assert duckdb.run("doctor", expect=None).stdout.count("ok ") >= 5
        session = duckdb.sql("select sdk_app_id, session_id from sessions where leg_count > 1 limit 1")[0]
        shown = duckdb.run("session", str(session["sdk_app_id"]), session["session_id"]).stdout
        assert "report" in shown
        assert "warehouse: version" in shown
        letter = duckdb.sql("select dead_letter_id, raw_bytes_count from dead_letters limit 1")[0]
        whole = json.loads(duckdb.run("dead-letters", "show", letter["dead_letter_id"], "--json").stdout)
        assert whole["raw_bytes_count"] == letter["raw_bytes_count"]


def everything(program: Program) -> dict[str, list[dict[str, Any]]]:
    """All rows, without what a retry may move."""
    return {
        table: [
            {name: comparable(value) for name, value in row.items() if name not in MOVES_WITH_A_RETRY}
            for row in program.sql(f"select * from {table} order by {key}")
        ]
        for table, key in TABLES.items()
    }


def comparable(value: Any) -> Any:
    """JSON columns are text whose spacing and order belong to the warehouse, and so does a sum's last digit."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, str) and value[:1] in "{[":
        return json.loads(value)
    return value
