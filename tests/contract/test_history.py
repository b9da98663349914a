"""`session_versions` in every warehouse: off unless asked for, and the same however often and however it is told."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from callweave.history import versions_of
from callweave.settings import Settings, WarehouseSettings
from schemas import jsontext
from schemas.events import NormalizedEvent
from sinks.correcting import Correction, laid_out
from sinks.rows import VersionsOf
from sinks.sink import Batch
from streams.core.fold import fold
from tests.contract.test_sinks import Warehouse
from tests.contract.test_sinks import warehouse as warehouse  # noqa: PLC0414 - the fixture of every warehouse
from tests.support.events import KEY, START_MS, an_event

NOW = datetime.fromtimestamp(START_MS / 1000, UTC) + timedelta(days=10)
EVENTS = [
    an_event("record", {"RecordId": "r-1", "EndpointUser": "13900000001"}, at=0, push_id="a"),
    an_event("cdr", {"Direction": 0, "Caller": "13900000001", "RecordId": "r-1"}, at=1_000, push_id="b"),
    an_event("cdr", {"Direction": 0, "Caller": "13900000001", "RecordId": "r-1"}, at=2_000, push_id="c"),
    an_event("cdr", {"Direction": 1, "Caller": "13900000001", "RecordId": "r-1"}, at=86_400_000, push_id="d"),
]
ROWS = "SELECT version, push_id, report_kind, is_repeat, changed FROM session_versions ORDER BY version"


def history(**settings: Any) -> VersionsOf:
    warehouse = WarehouseSettings(**{"history": True, **settings})
    told = versions_of(Settings.model_construct(warehouse=warehouse), lambda: NOW)
    assert told is not None
    return told


def records(events: list[NormalizedEvent]) -> list[bytes]:
    """What the worker publishes of them, one after the other."""
    stored, found = None, []
    for event in events:
        folded = fold(KEY, stored, [event])
        stored = folded.stored or stored
        found += [folded.record] if folded.record else []
    return found


def load(warehouse: Warehouse, value: bytes, versions: VersionsOf | None) -> None:
    rows, unfit = laid_out([Correction(KEY, value)], versions)
    assert not unfit
    warehouse.sink.write(Batch(rows, (), {}, {}))


def test_each_version_stands_with_its_receipt_and_what_it_changed(warehouse: Warehouse) -> None:
    published = records(EVENTS)
    # Compaction took the others.
    load(warehouse, published[-1], history())
    rows = warehouse.rows(ROWS)
    changed = [None if row[4] is None else jsontext.decode(row[4].encode()) for row in rows]

    assert [row[1:4] for row in rows] == [
        ("a", "record", False),
        ("b", "cdr", False),
        ("c", "cdr", True),
        ("d", "cdr", False),
    ]
    assert rows[-1][0] == warehouse.rows("SELECT version FROM sessions")[0][0]
    assert changed[1]["direction"] == {"from": None, "to": "inbound"}
    assert changed[2] is None
    assert changed[3]["direction"] == {"from": "inbound", "to": "outbound"}
    assert "13900000001" not in repr(rows)


def test_order_and_redelivery_give_the_same_history(warehouse: Warehouse) -> None:
    published = [value for seed in range(3) for value in records(shuffled(EVENTS, seed))]
    load(warehouse, records(EVENTS)[-1], history())
    expected = warehouse.rows(ROWS)
    for value in shuffled([*published, *published], 7):
        load(warehouse, value, history())

    assert warehouse.rows(ROWS) == expected


def test_without_the_setting_there_is_none(warehouse: Warehouse) -> None:
    assert versions_of(Settings.model_construct(warehouse=WarehouseSettings()), lambda: NOW) is None
    load(warehouse, records(EVENTS)[-1], None)

    assert warehouse.rows(ROWS) == []
    assert len(warehouse.rows("SELECT session_id FROM sessions")) == 1


def test_what_is_older_than_the_retention_is_not_laid_down() -> None:
    rows, _ = laid_out([Correction(KEY, records(EVENTS)[-1])], history(history_days=9))

    assert rows.tables["session_versions"]["push_id"].to_pylist() == ["d"]


def test_a_state_that_nobody_here_can_read_costs_the_history_and_not_the_session() -> None:
    value = jsontext.decode(records(EVENTS)[-1])
    value["state"]["schema_version"] = 99
    rows, unfit = laid_out([Correction(KEY, jsontext.encode(value))], history())

    assert (len(rows), unfit, len(rows.tables["session_versions"])) == (1, {}, 0)


def shuffled(items: list[Any], seed: int) -> list[Any]:
    return random.Random(seed).sample(items, len(items))
