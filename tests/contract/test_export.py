"""A day of every warehouse as files: complete, of one moment, whole or not there, and harmless in a spreadsheet."""

import csv
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from callweave import exporting
from callweave.export_format import Format
from callweave.exporting import Exported, Wish, day_bounds, export_days, guarded
from callweave.settings import Settings, WarehouseSettings
from schemas.columns import LEGS, SESSIONS, TABLES
from sinks.sink import QueryLimits, QueryResult, SinkUnavailableError
from tests.contract.test_sinks import Warehouse
from tests.contract.test_sinks import warehouse as warehouse  # noqa: PLC0414 - the fixture of every warehouse
from tests.support.sessions import a_call, a_leg, a_letter, a_recording, a_session

DAY = date(2026, 11, 24)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVERYTHING = Wish()


def export(warehouse: Warehouse, wish: Wish = EVERYTHING) -> Exported:
    warehouse.sink.close()  # as when no loader runs
    settings = Settings.model_construct(data_dir=warehouse.data_dir, warehouse=WarehouseSettings(url=warehouse.url))
    (done,) = export_days(
        settings, [DAY], warehouse.data_dir / "out", wish, now=lambda: NOON, progress=lambda _what, _done, _total: None
    )
    return done


def a_day(warehouse: Warehouse) -> None:
    """A call just before the day, two on it (one of them without a CDR), one just after."""
    midnight = NOON.replace(hour=0)
    warehouse.load(
        a_call("before", midnight, started_at=midnight - timedelta(seconds=1)),
        a_call(
            "first",
            NOON,
            started_at=midnight,
            caller="+8613900000001",
            uui="=HYPERLINK(1)",
            extra={"deep": [1]},
            legs=[a_leg(0, agent_mail="ann@example.com"), a_leg(1)],
            recordings=[a_recording("r-1", received_at=NOON)],
        ),
        a_session("no-cdr", first_received_at=NOON),
        a_call("after", NOON, started_at=midnight + timedelta(days=1)),
        letters=[a_letter(b"\x00\xff", occurred_at=NOON), a_letter(b"next", occurred_at=NOON + timedelta(days=1))],
    )


def test_a_day_holds_its_sessions_with_all_that_is_of_them_and_a_manifest_that_says_so(warehouse: Warehouse) -> None:
    a_day(warehouse)
    done = export(warehouse)
    manifest = json.loads((done.folder / "manifest.json").read_text())
    files = {file.table: pq.read_table(file.path) for file in done.files}

    assert done.is_settled
    assert files["sessions"]["session_id"].to_pylist() == ["first", "no-cdr"]
    assert files["legs"].to_pylist()[0]["agent_mail"] == "ann@example.com"
    assert [len(files[name]) for name in ("legs", "recordings", "voicemails", "dead_letters")] == [2, 1, 0, 1]
    assert files["sessions"]["caller"].to_pylist() == ["+8613900000001", None]
    assert files["sessions"]["started_at"].cast("int64").to_pylist()[0] == int(NOON.timestamp() - 43_200) * 1_000_000
    assert json.loads(files["sessions"]["extra"].to_pylist()[0]) == {"deep": [1]}
    assert files["dead_letters"]["raw"].to_pylist() == [b"\x00\xff"]
    assert {entry["table"]: entry["rows"] for entry in manifest["tables"]} == {
        name: len(rows) for name, rows in files.items()
    }
    assert set(files) == {table.name for table in TABLES}
    for entry in manifest["tables"]:
        content = (done.folder / entry["file"]).read_bytes()
        assert (sha256(content).hexdigest(), len(content)) == (entry["sha256"], entry["bytes"])
    assert sorted(path.name for path in done.folder.iterdir()) == sorted(
        [*(f"{table.name}.parquet" for table in TABLES), "manifest.json"]
    )


def test_csv_keeps_phone_numbers_as_text_and_defuses_formulas(warehouse: Warehouse) -> None:
    a_day(warehouse)
    export(warehouse, Wish(tables=(SESSIONS,)))
    done = export(warehouse, Wish(tables=(SESSIONS, LEGS), format=Format.CSV))
    text = (done.folder / "sessions.csv").read_text()
    first, no_cdr = csv.DictReader(text.splitlines())
    manifest = json.loads((done.folder / "manifest.json").read_text())

    assert '"+8613900000001"' in text, "in quotes, as it was sent"
    assert first["uui"] == "'=HYPERLINK(1)"
    assert (first["started_at"], no_cdr["started_at"]) == ("2026-11-24T00:00:00Z", "")
    assert (first["sdk_app_id"], first["has_cdr"]) == ("1400000001", "true")
    assert json.loads(first["extra"]) == {"deep": [1]}
    assert [entry["guarded_cells"] for entry in manifest["tables"]] == [1, 0]
    assert manifest["formulas"] == "guarded"
    assert {path.name for path in done.folder.iterdir()} == {"sessions.csv", "legs.csv", "manifest.json"}


def a_reader(rows: Callable[[str], Sequence[tuple[Any, ...]]]) -> Any:
    class Reader:
        def query(self, sql: str, limits: QueryLimits) -> QueryResult:
            found = list(rows(sql))
            return QueryResult(("x",), found[: limits.rows_max], truncated=len(found) > limits.rows_max)

        def close(self) -> None:
            pass

    return Reader()


@pytest.fixture
def duckdb_day(tmp_path: Path) -> Settings:
    return Settings.model_construct(data_dir=tmp_path, warehouse=WarehouseSettings(url="parquet:///nowhere"))


def run(settings: Settings, tables: Sequence[Any]) -> Exported:
    (done,) = export_days(
        settings,
        [DAY],
        settings.data_dir / "out",
        Wish(tables=tables),
        now=lambda: NOON,
        progress=lambda _what, _done, _total: None,
    )
    return done


def test_an_hour_that_changes_while_it_is_read_is_read_again(duckdb_day: Settings, monkeypatch: Any) -> None:
    stamps = iter([1, 2, *[3] * 100])

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return [(next(stamps), None)] if "max(loaded_at)" in sql else []

    monkeypatch.setattr(exporting, "open_reader", lambda _url, data_dir: a_reader(rows))  # noqa: ARG005

    assert run(duckdb_day, [SESSIONS, LEGS]).is_settled
    assert next(stamps) == 3


def test_an_hour_that_never_settles_is_told(duckdb_day: Settings, monkeypatch: Any) -> None:
    stamps = iter(range(10_000))
    answers = lambda sql: [(next(stamps), None)] if "max(loaded_at)" in sql else []  # noqa: E731
    monkeypatch.setattr(exporting, "open_reader", lambda _url, data_dir: a_reader(answers))  # noqa: ARG005
    done = run(duckdb_day, [SESSIONS])

    assert not done.is_settled
    assert json.loads((done.folder / "manifest.json").read_text())["is_settled"] is False


def test_more_rows_than_one_answer_holds_come_in_shorter_slices(warehouse: Warehouse, monkeypatch: Any) -> None:
    monkeypatch.setattr(exporting, "_LIMITS", QueryLimits(rows_max=2, seconds_max=60))
    warehouse.load(*(a_call(f"s-{n}", NOON, started_at=NOON + timedelta(seconds=n), legs=[a_leg()]) for n in range(7)))
    done = export(warehouse, Wish(tables=(SESSIONS, LEGS)))

    assert [file.rows_count for file in done.files] == [7, 7]
    assert pq.read_table(done.files[0].path)["session_id"].to_pylist() == [f"s-{n}" for n in range(7)]


def test_what_fails_leaves_no_manifest_and_no_half_of_a_file(duckdb_day: Settings, monkeypatch: Any) -> None:
    folder = duckdb_day.data_dir / "out" / "2026-11-24"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("of an earlier export")
    (folder / ".sessions.parquet.1.unfinished").write_text("of one that was killed")

    def broken(_sql: str) -> list[tuple[Any, ...]]:
        raise ZeroDivisionError

    monkeypatch.setattr(exporting, "open_reader", lambda _url, data_dir: a_reader(broken))  # noqa: ARG005
    with pytest.raises(ZeroDivisionError):
        run(duckdb_day, [SESSIONS])

    assert list(folder.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_in_a_sentence(duckdb_day: Settings, monkeypatch: Any) -> None:
    (duckdb_day.data_dir / "out").write_text("a file")
    monkeypatch.setattr(exporting, "open_reader", lambda _url, data_dir: a_reader(lambda _sql: []))  # noqa: ARG005

    with pytest.raises(SinkUnavailableError, match="2026-11-24 cannot be written"):
        run(duckdb_day, [SESSIONS])


def test_a_day_of_a_time_zone_has_its_own_bounds_and_its_own_length() -> None:
    begin, end = day_bounds(DAY, "Asia/Shanghai")
    assert (begin, end) == (datetime(2026, 11, 23, 16, tzinfo=UTC), datetime(2026, 11, 24, 16, tzinfo=UTC))
    begin, end = day_bounds(date(2026, 10, 25), "Europe/Berlin")
    assert end - begin == timedelta(hours=25)


@pytest.mark.parametrize(
    ("sent", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("'=1", "''=1"),
        ("+8613900000001", "+8613900000001"),
        ("plain = text", "plain = text"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_a_cell_is_text_to_a_spreadsheet_and_what_was_sent_can_be_had_back(sent: str, cell: str) -> None:
    assert guarded(sent) == cell
    assert cell == sent or cell[1:] == sent
