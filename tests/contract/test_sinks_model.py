"""Laws 5 and 9 as a property: any order, any split into batches and any repetition of documents gives the same tables.

The model is a dictionary that keeps the highest (version, digest) of each session.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columns import SESSION_TABLES, TABLES
from sinks.clickhouse import ClickHouseSink
from sinks.clickhouse_layout import stored_tables
from sinks.duckdb import DuckDbSink
from sinks.intake import prepare, take_in
from sinks.letters import letter_table
from sinks.log import Record
from sinks.rows import Document, lay_out, read_document
from sinks.sink import Batch, LogPartition, Reader, Sink
from tests.support.clickhouse import ClickHouseServer, fresh_database
from tests.support.sessions import (
    APP,
    RECEIVED_AT,
    a_leg,
    a_letter,
    a_recording,
    a_session,
    a_voicemail,
    session_record,
)

SESSIONS_0 = LogPartition("tccc.sessions", 0)
LETTERS_0 = LogPartition("tccc.dead_letters", 0)

# Text that warehouses trip over, short so that keys collide.
texts = st.text(st.sampled_from("ab\t\n\\'\"电😀"), max_size=3)
instants = st.none() | st.integers(0, 10**6).map(
    lambda number: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
)
documents = st.builds(
    lambda app, session, version, caller, started, extra, children: a_session(
        session or "x",
        sdk_app_id=APP + app,
        version=version,
        caller=caller,
        started_at=started,
        extra=extra,
        legs=[a_leg(number, agent_mail=caller) for number in range(children[0])],
        recordings=[a_recording(f"r-{number}") for number in range(children[1])],
        voicemails=[a_voicemail(f"v-{number}") for number in range(children[2])],
    ),
    st.integers(0, 1),
    st.sampled_from("ab"),
    st.integers(0, 3) | st.just(2**63 - 1),
    st.none() | texts,
    instants,
    st.none()
    | st.dictionaries(texts, st.integers() | texts | st.lists(st.booleans(), max_size=2), min_size=1, max_size=2),
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)),
)
letters = st.sampled_from([b"1", b"2", b"3"]).flatmap(
    lambda raw: st.integers(0, 5).map(lambda at: a_letter(raw, occurred_at=RECEIVED_AT + timedelta(seconds=at)))
)


@pytest.fixture(scope="module")
def warehouse() -> Iterator[DuckDbSink]:
    sink = DuckDbSink(None, recording_deadline_seconds=3600)
    sink.open()
    with closing(sink):
        yield sink


@pytest.fixture(scope="module")
def clickhouse(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseSink]:
    with fresh_database(clickhouse_server) as url:
        sink = ClickHouseSink(url, recording_deadline_seconds=3600)
        sink.open()
        with closing(sink):
            yield sink


@settings(max_examples=60)
@given(st.data(), st.lists(documents, max_size=8), st.lists(letters, max_size=5))
def test_any_order_split_and_repetition_gives_the_tables_of_the_model(
    warehouse: DuckDbSink, data: st.DataObject, published: list[Any], useless: list[Any]
) -> None:
    log = _log(data, published, useless)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))

    for table in TABLES:
        warehouse._connected().execute(f"DELETE FROM {table.name}")
    for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True):
        _write(warehouse, log[start:stop])

    _same_tables(warehouse, _model(log))
    _same_counts(warehouse, useless)


@settings(max_examples=10)
@given(st.data(), st.lists(documents, max_size=8), st.lists(letters, max_size=5))
def test_without_transactions_a_batch_may_also_land_in_part_and_be_read_again_with_other_bounds(
    clickhouse: ClickHouseSink, data: st.DataObject, published: list[Any], useless: list[Any]
) -> None:
    log = _log(data, published, useless)
    # From where the loader read, to where: what is read again had landed, and its offsets had not.
    spans = data.draw(st.lists(st.tuples(st.integers(0, len(log)), st.integers(0, len(log))), max_size=4))

    for table in stored_tables():
        clickhouse._connected().command(f"TRUNCATE TABLE {table.name}")
    for start, stop in [*map(sorted, spans), (0, len(log))]:
        _write(clickhouse, log[start:stop])

    _same_tables(clickhouse, _model(log))
    _same_counts(clickhouse, useless)


def _log(data: st.DataObject, published: list[Any], useless: list[Any]) -> list[Record]:
    log = [Record(SESSIONS_0, 0, *session_record(document)) for document in published]
    log += data.draw(st.lists(st.sampled_from(log), max_size=5)) if log else []
    log += [Record(LETTERS_0, offset, b"", letter.encoded()) for offset, letter in enumerate(useless)]
    return data.draw(st.permutations(log))


def _write(sink: Sink, records: list[Record]) -> None:
    intake, rows = prepare(take_in(records, letters_topic=LETTERS_0.topic))
    assert not intake.unusable
    sink.write(Batch(rows, intake.letters(), {}, {}))


def _model(log: list[Record]) -> list[Document]:
    kept: dict[Any, Document] = {}
    for record in log:
        if record.partition == SESSIONS_0:
            assert record.value is not None
            document = read_document(record.key, record.value)
            if document.key not in kept or document.rank > kept[document.key].rank:
                kept[document.key] = document
    return list(kept.values())


def _same_tables(sink: Reader, kept: list[Document]) -> None:
    rows, unfit = lay_out(kept)
    assert not unfit
    for table in SESSION_TABLES:
        expected = rows.tables[table.name]
        found = sink.query(f"SELECT {', '.join(expected.column_names)} FROM {table.name}").rows
        assert sorted(map(repr, found)) == sorted(map(repr, _python_rows(expected)))


def _python_rows(table: Any) -> list[tuple[Any, ...]]:
    columns = [
        [value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for value in column.to_pylist()]
        for column in table.columns
    ]
    return list(zip(*columns, strict=True))


def _same_counts(sink: Reader, useless: list[Any]) -> None:
    found = sink.query("SELECT dead_letter_id, seen_count, last_seen_at FROM dead_letters").rows
    expected: dict[str, tuple[int, datetime]] = {}
    for letter in useless:
        count, last = expected.get(letter.dead_letter_id, (0, letter.occurred_at))
        expected[letter.dead_letter_id] = (count + 1, max(last, letter.occurred_at))
    assert {letter_id: (count, last) for letter_id, count, last in found} == expected


def test_a_table_of_no_letters_has_every_column() -> None:
    assert letter_table([]).num_columns == 17
