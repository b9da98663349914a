"""What every warehouse promises of forgetting: the rows are gone, from the disk too, and the others stand."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sinks.intake import prepare, take_in
from sinks.letters import sighting, tally
from sinks.log import Record
from sinks.rows import SessionKey
from sinks.sink import Batch, LogPartition, Sink
from sinks.warehouse import open_sink
from tests.support.lakes import DUCKLAKE, PARQUET, lay_out_ducklake
from tests.support.sessions import APP, a_leg, a_letter, a_recording, a_session, a_voicemail, session_record

PLACE = LogPartition("tccc.sessions", 0)
SECRET = "8613900000077"


@pytest.fixture(params=["duckdb", "postgres", "clickhouse", "ducklake", "parquet"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    if request.param == "ducklake":
        lay_out_ducklake(tmp_path)
    urls = {"duckdb": "duckdb:///calls.duckdb", "ducklake": DUCKLAKE, "parquet": PARQUET}
    url = urls.get(request.param) or request.getfixturevalue(f"{request.param}_url")
    opened = open_sink(url, data_dir=tmp_path, recording_deadline_seconds=3600)
    opened.open()
    with closing(opened):
        yield opened


def load(sink: Sink, *documents: Any, letters: tuple[Any, ...] = ()) -> None:
    records = [Record(PLACE, at, *session_record(document)) for at, document in enumerate(documents)]
    _, rows = prepare(take_in(records, letters_topic="tccc.dead_letters"))
    stored = sink.offsets().get(PLACE)
    seen = tally(sighting(letter, ("tccc.dead_letters", 0, at)) for at, letter in enumerate(letters))
    sink.write(Batch(rows, seen, {PLACE: (stored or 0) + 1}, {PLACE: stored}))


def a_call(session_id: str, version: int = 1, **changes: Any) -> Any:
    children = {
        "legs": [a_leg(0, agent_phone=SECRET)],
        "recordings": [a_recording("r", endpoint_user=SECRET)],
        "voicemails": [a_voicemail("v", endpoint_user=SECRET)],
    }
    return a_session(session_id, **{"version": version, "caller": SECRET, **children, **changes})


def ids(sink: Sink, table: str) -> list[str]:
    return [row[0] for row in sink.query(f"SELECT DISTINCT session_id FROM {table} ORDER BY 1").rows]


def test_forgotten_sessions_and_letters_are_gone_and_the_others_stand(sink: Sink, tmp_path: Path) -> None:
    letters = (a_letter(raw=b"about " + SECRET.encode()), a_letter(raw=b"another"))
    load(
        sink,
        a_call("gone"),
        a_call("stays", caller="1", legs=[a_leg(0)], recordings=[], voicemails=[]),
        letters=letters,
    )
    load(sink, a_call("gone", version=2))
    offsets = sink.offsets()

    for _ in range(2):
        sink.forget([SessionKey(APP, "gone"), SessionKey(APP, "never was")], [letters[0].dead_letter_id])
        assert ids(sink, "sessions") == ["stays"]
        assert ids(sink, "legs") == ["stays"]
        assert ids(sink, "recordings") == ids(sink, "voicemails") == []
        assert sink.query("SELECT count(*) FROM dead_letters").rows == [(1,)]
    assert sink.offsets() == offsets
    load(sink, a_call("new"))
    assert ids(sink, "sessions") == ["new", "stays"]
    sink.forget([SessionKey(APP, "new")], [])
    left = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert left == []


def test_what_is_left_of_a_session_stays_and_what_it_replaced_goes(sink: Sink, tmp_path: Path) -> None:
    load(sink, a_call("kept"))
    reduced = a_session("kept", version=2, caller="erased:aaaaaaaaaaaaaaaaaaaa", erasure="pseudonymised", leg_count=3)
    load(sink, reduced)
    sink.forget([SessionKey(APP, "kept")], [])

    assert sink.query("SELECT session_id, version, caller, leg_count FROM sessions").rows == [
        ("kept", 2, "erased:aaaaaaaaaaaaaaaaaaaa", 3)
    ]
    assert ids(sink, "legs") == []
    left = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert left == []
