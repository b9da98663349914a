"""What `doctor` says of fields that push and API fill differently."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from callweave.doctor import _drift
from callweave.settings import Settings
from sinks.rows import lay_out, read_document
from sinks.sink import Batch
from sinks.warehouse import open_sink
from tests.support.sessions import a_call, a_disagreement, session_record

NOW = datetime.now(UTC).replace(microsecond=0)


def finding_of(folder: Path, *calls: Any, url: str | None = None) -> str:
    """What doctor finds in a warehouse of these calls."""
    sink = open_sink(url or "duckdb:///calls.duckdb", data_dir=folder, recording_deadline_seconds=3600)
    sink.open()
    rows, _ = lay_out(read_document(*session_record(call)) for call in calls)
    sink.write(Batch(rows, (), {}, {}))
    sink.close()
    finding = _drift(Settings.model_validate({"data_dir": folder, "warehouse": {"url": url}}))
    assert finding.is_ok
    return finding.finding


def some_calls(count: int, *fields: str, **changes: Any) -> list[Any]:
    rows = [a_disagreement(field) for field in fields]
    name = "-".join(fields)
    values = {"last_received_at": NOW, "field_disagreements": rows, **changes}
    return [a_call(f"{name}-{number}", NOW, "push+api", **values) for number in range(count)]


@pytest.mark.parametrize("warehouse", ["duckdb", pytest.param("postgres", marks=pytest.mark.services)])
def test_fields_that_differ_often_are_named_whatever_the_leg(warehouse, request, tmp_path):
    url = request.getfixturevalue("postgres_url") if warehouse == "postgres" else None
    calls = [
        *some_calls(6, "ServeParticipants[0].Type"),
        *some_calls(6, "ServeParticipants[1].Type", "Duration"),
        *some_calls(30),
    ]

    found = finding_of(tmp_path, *calls, url=url)

    assert found.startswith(
        "of 42 sessions that both push and API know, they differ in ServeParticipants[].Type in 12:"
    )
    assert "Duration" not in found


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ([], "nothing to compare"),
        (some_calls(9, "Duration"), "agree, in 9 sessions"),
        (some_calls(10, "Duration", last_received_at=datetime(2020, 1, 1, tzinfo=UTC)), "nothing to compare"),
    ],
)
def test_few_or_old_disagreements_are_no_drift(tmp_path, calls, words):
    assert words in finding_of(tmp_path, *calls)
