"""Every anomaly that is planted in a warehouse is named, and a warehouse that agrees has none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from callweave.anomalies import Anomaly, judge
from callweave.simulator.worlds import possible_arrivals
from tests.support.planted import Warehouse, write_a_ledger


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    opened = Warehouse()
    yield opened
    opened.close()


def test_a_warehouse_that_agrees_holds_every_acknowledged_push(warehouse: Warehouse, tmp_path: Path) -> None:
    judgement = judge(write_a_ledger(tmp_path / "ledger.jsonl"), warehouse.query)

    assert judgement.anomalies == []
    assert judgement.pushes_found == judgement.pushes_acknowledged == 6
    assert (judgement.sessions_compared, judgement.letters_compared) == (2, 1)


@pytest.mark.parametrize(
    ("statement", "anomaly", "pushes_found"),
    [
        ("delete from voicemails", Anomaly.LOST_WRITE, 5),
        ("delete from sessions where session_id = 's-2'", Anomaly.LOST_WRITE, 6),
        ("delete from dead_letters", Anomaly.LOST_WRITE, 5),
        ("update dead_letters set seen_count = 1", Anomaly.LOST_WRITE, 6),
        ("update recordings set received_at = NULL where recording_id = 'rec-root'", Anomaly.LOST_WRITE, 5),
        ("insert into sessions select * from sessions where session_id = 's-2'", Anomaly.DUPLICATE, 6),
        ("update dead_letters set seen_count = 9", Anomaly.DUPLICATE, 6),
        ("update sessions set end_status = 'userReject' where has_cdr", Anomaly.STALE_OVERWRITE, 6),
        ("update sessions set leg_count = 3 where has_cdr", Anomaly.TORN_SESSION, 6),
        ("insert into legs (sdk_app_id, session_id, leg_sequence) values (1, 's-9', 0)", Anomaly.TORN_SESSION, 6),
        (
            "insert into legs (sdk_app_id, session_id, leg_sequence) values (1400000001, 's-1', 7)",
            Anomaly.PHANTOM,
            6,
        ),
    ],
)
def test_a_planted_anomaly_is_named(
    warehouse: Warehouse, tmp_path: Path, statement: str, anomaly: Anomaly, pushes_found: int
) -> None:
    warehouse.plant(statement)

    judgement = judge(write_a_ledger(tmp_path / "ledger.jsonl"), warehouse.query)

    assert judgement.count(anomaly) >= 1
    assert judgement.pushes_found == pushes_found
    assert any(line.startswith(anomaly.value) for line in judgement.lines())


def test_what_follows_from_a_lost_push_is_no_anomaly_of_its_own(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.plant("update sessions set has_cdr = false, end_status = NULL, caller = NULL where has_cdr")

    judgement = judge(write_a_ledger(tmp_path / "ledger.jsonl"), warehouse.query)

    assert [found.anomaly for found in judgement.anomalies] == [Anomaly.LOST_WRITE]
    assert judgement.pushes_found == 5


def test_a_push_that_was_given_up_may_be_there_or_not(warehouse: Warehouse, tmp_path: Path) -> None:
    ledger = write_a_ledger(tmp_path / "ledger.jsonl", doubt=True)
    assert judge(ledger, warehouse.query).anomalies == []

    warehouse.plant("update recordings set received_at = NULL, url = NULL, custom_url = NULL, endpoint_user = NULL,"
                    " generated_at = NULL, matched_by = NULL, pushed_recording_id = NULL, source = NULL"
                    " where recording_id = 'rec-ann'")  # fmt: skip
    warehouse.plant("update sessions set recordings_received = 1, recordings_missing = 2 where has_cdr")

    assert judge(ledger, warehouse.query).anomalies == []


def test_a_cdr_that_was_given_up_may_be_received_after_a_later_one() -> None:
    worlds = possible_arrivals([("cdr:0", "uncertain"), ("cdr:1", "answered")])

    assert worlds == [("cdr:1",), ("cdr:0", "cdr:1"), ("cdr:1", "cdr:0")]


def test_a_clock_that_was_stepped_may_date_cdrs_in_any_order() -> None:
    history = [("cdr:0", "answered"), ("record:0", "answered"), ("cdr:1", "answered")]

    assert possible_arrivals(history) == [("cdr:0", "record:0", "cdr:1")]
    assert set(possible_arrivals(history, receipts_keep_order=False) or ()) == {
        ("cdr:0", "record:0", "cdr:1"),
        ("cdr:0", "cdr:1", "record:0"),
        ("cdr:1", "cdr:0", "record:0"),
    }
