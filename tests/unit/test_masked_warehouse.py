"""Whether a warehouse may be written with these masks, told by what stands in it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from callweave.discretion import mask_problem, standing_numbers
from schemas.masks import NumberMasks
from schemas.person import PersonKey
from sinks.intake import prepare, take_in
from sinks.log import Record
from sinks.sink import Batch, LogPartition, Sink
from sinks.warehouse import open_sink
from tests.support.sessions import a_recording, a_session, session_record

OURS, ANOTHER = (NumberMasks(PersonKey(letter * 32)) for letter in (b"a", b"b"))
NUMBER = "008613900000001"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    opened = open_sink("duckdb:///calls.duckdb", data_dir=tmp_path, recording_deadline_seconds=3600)
    opened.open()
    with closing(opened):
        yield opened


@pytest.mark.parametrize(
    ("standing", "now", "problem"),
    [
        ({"caller": "anonymous", "customer_number": "1008"}, OURS, None),
        ({"caller": "anonymous", "customer_number": "1008"}, None, None),
        ({"customer_number": NUMBER}, None, None),
        ({"customer_number": NUMBER}, OURS, "are not masked"),
        ({"recordings": [a_recording("r", endpoint_user=NUMBER)]}, OURS, "are not masked"),
        ({"customer_number": "anonymous", "caller": OURS.value(NUMBER)}, OURS, None),
        ({"caller": OURS.value(NUMBER)}, None, "MASK_NUMBERS is off"),
        ({"caller": OURS.value(NUMBER)}, ANOTHER, "is another"),
        ({"customer_number": "erased:aaaaaaaaaaaaaaaaaaaa"}, OURS, None),
    ],
)
def test_numbers_and_tokens_are_never_mixed(sink: Sink, standing: Any, now: Any, problem: str | None) -> None:
    place = LogPartition("tccc.sessions", 0)
    records = [Record(place, 0, *session_record(a_session("s", **standing)))]
    _, rows = prepare(take_in(records, letters_topic="tccc.dead_letters"))
    sink.write(Batch(rows, (), {place: 1}, {place: None}))

    found = mask_problem(now, *standing_numbers(lambda sql: sink.query(sql).rows))
    assert (found is None) if problem is None else (found is not None and problem in found)


@pytest.mark.parametrize("now", [None, OURS])
def test_an_empty_warehouse_takes_either(sink: Sink, now: Any) -> None:
    assert mask_problem(now, *standing_numbers(lambda sql: sink.query(sql).rows)) is None
