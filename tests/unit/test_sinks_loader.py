"""The loader's order of deeds, with fakes that write one journal: what happened, and after what."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas import jsontext
from schemas.breaker import BreakerLimits
from schemas.columns import RECONCILE_WINDOWS
from schemas.dead_letter import DeadLetter, Reason, Stage
from sinks.halt import HaltError
from sinks.intake import RAW_BYTES_MAX
from sinks.kafka_source import HaulLimits
from sinks.loader import Loader, LoaderSettings
from sinks.log import Haul, LogUnavailableError, Record, UndeliverableLetterError
from sinks.metrics import LoaderMetrics
from sinks.rows import SessionKey
from sinks.sink import (
    Batch,
    FencedError,
    LettersRejectedError,
    LogPartition,
    QueryLimits,
    QueryResult,
    RowsRejectedError,
    SinkUnavailableError,
    Written,
)
from tests.support.sessions import APP, RECEIVED_AT, a_letter, a_session, an_hour, session_record

SESSIONS_0 = LogPartition("tccc.sessions", 0)
LETTERS_0 = LogPartition("tccc.dead_letters", 0)
WINDOWS_0 = LogPartition("tccc.reconcile", 0)

Journal = list[tuple[Any, ...]]


@dataclass
class World:
    """A log in memory, a sink that is a dictionary, and what is to go wrong next (faults are raised in order)."""

    journal: Journal = field(default_factory=list)
    hauls: list[Sequence[Record] | Exception] = field(default_factory=list)
    sink_faults: list[Exception | None] = field(default_factory=list)
    outbox_faults: list[Exception | None] = field(default_factory=list)
    open_faults: list[Exception | None] = field(default_factory=list)
    stored: dict[LogPartition, int] = field(default_factory=dict)
    rows: dict[SessionKey, int] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    asked: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    refuses: set[SessionKey] = field(default_factory=set)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    on_retry: Callable[[], None] = lambda: None


class FakeSource:
    def __init__(self, world: World) -> None:
        self._world = world
        self._positions: dict[LogPartition, int] = {}

    async def open(self, stored: Mapping[LogPartition, int]) -> None:
        _raise_next(self._world.open_faults)
        self._positions = dict(stored)
        self._world.journal.append(("source opened", dict(stored)))

    async def read(self) -> Haul:
        if not self._world.hauls:
            self._world.stop.set()
            return Haul((), self._positions)
        haul = self._world.hauls.pop(0)
        if isinstance(haul, Exception):
            raise haul
        for record in haul:
            self._positions[record.partition] = record.offset + 1
        self._world.journal.append(("read", len(haul)))
        return Haul(haul, dict(self._positions))

    def ends(self) -> Mapping[LogPartition, int]:
        return {SESSIONS_0: 100}

    async def close(self) -> None:
        self._world.journal.append(("source closed",))


class FakeOutbox:
    def __init__(self, world: World) -> None:
        self._world = world

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        _raise_next(self._world.outbox_faults)
        self._world.letters += letters
        self._world.journal.append(("letters acknowledged", [letter.reason.value for letter in letters]))

    async def close(self) -> None:
        pass


class FakeSink:
    def __init__(self, world: World) -> None:
        self._world = world

    def open(self) -> None:
        self._world.journal.append(("sink opened",))

    def offsets(self) -> dict[LogPartition, int]:
        return dict(self._world.stored)

    def write(self, batch: Batch) -> Written:
        world = self._world
        try:
            _raise_next(world.sink_faults)
        except SinkUnavailableError:
            world.journal.append(("sink away",))
            world.on_retry()
            raise
        refused = world.refuses & set(batch.sessions.keys)
        if refused:
            world.journal.append(("sink refused", sorted(key.session_id for key in refused)))
            raise RowsRejectedError(dict.fromkeys(refused, "too long"))
        assert all(world.stored.get(partition) == offset for partition, offset in batch.expected.items())
        world.stored |= batch.offsets
        versions = batch.sessions.tables["sessions"]["version"].to_pylist()
        landed = dict(zip(batch.sessions.keys, versions, strict=True))
        world.rows |= landed
        for name, rows in batch.keyed.items():
            world.asked.setdefault(name, []).extend(rows.to_pylist())
        world.told |= {letter.replay_outcome for letter in batch.letters if letter.replay_outcome is not None}
        world.journal.append(
            ("landed", {key.session_id: version for key, version in landed.items()}, dict(batch.offsets))
        )
        return Written(frozenset(landed), 0, len(batch.letters))

    def forget(self, sessions: Sequence[SessionKey], letters: Sequence[str]) -> None:
        self._world.journal.append(("forgotten", list(sessions), list(letters)))

    def checkpoint(self) -> None:
        self._world.journal.append(("checkpoint",))

    def query(self, sql: str, limits: QueryLimits = QueryLimits()) -> QueryResult:  # noqa: ARG002, B008
        return QueryResult((), [], truncated=False)

    def close(self) -> None:
        self._world.journal.append(("sink closed",))


def _raise_next(faults: list[Exception | None]) -> None:
    fault = faults.pop(0) if faults else None
    if fault is not None:
        raise fault


def a_loader(
    world: World,
    *,
    in_a_row_max: int = 1_000,
    breaker: BreakerLimits | None = None,
    checkpoint_idle_seconds: float = 1e9,
) -> Loader:
    settings = LoaderSettings(
        limits=HaulLimits(),
        breaker=breaker or BreakerLimits(in_a_row_max=in_a_row_max),
        checkpoint_idle_seconds=checkpoint_idle_seconds,
        retry_first_seconds=0.001,
        retry_most_seconds=0.002,
    )
    return Loader(
        FakeSink(world),
        FakeSource(world),
        FakeOutbox(world),
        topic_prefix="tccc.",
        settings=settings,
        metrics=LoaderMetrics(CollectorRegistry()),
        clock=lambda: RECEIVED_AT + timedelta(seconds=2),
    )


def session_at(offset: int, session_id: str = "s-1", **changes: Any) -> Record:
    return Record(SESSIONS_0, offset, *session_record(a_session(session_id, **changes)))


def garbage_at(offset: int, value: bytes = b"garbage") -> Record:
    return Record(SESSIONS_0, offset, b"1:x", value)


def letter_at(offset: int) -> Record:
    letter = a_letter()
    return Record(LETTERS_0, offset, letter.dead_letter_id.encode(), letter.encoded())


async def test_a_haul_is_reduced_to_the_best_document_of_each_session_and_lands_with_its_offsets() -> None:
    world = World(hauls=[[session_at(0), session_at(1, version=3), session_at(2, version=2), session_at(3, "s-2")]])
    loader = a_loader(world)
    await loader.run(world.stop)

    assert world.journal == [
        ("sink opened",),
        ("source opened", {}),
        ("read", 4),
        ("landed", {"s-1": 3, "s-2": 1}, {SESSIONS_0: 4}),
        ("source closed",),
        ("sink closed",),
    ]
    status = loader.status()
    assert (status.sessions_applied, status.lag, status.freshness_p95_seconds) == (2, 96, 2.0)


async def test_letters_are_acknowledged_before_the_offsets_are_stored() -> None:
    world = World(hauls=[[garbage_at(0), session_at(1)]])
    await a_loader(world).run(world.stop)

    assert world.journal[2:5] == [
        ("read", 2),
        ("letters acknowledged", ["SCHEMA_VIOLATION"]),
        ("landed", {"s-1": 1}, {SESSIONS_0: 2}),
    ]
    assert [(letter.stage, letter.raw, letter.topic, letter.partition, letter.offset) for letter in world.letters] == [
        (Stage.LOAD, b"garbage", "tccc.sessions", 0, 0)
    ]


async def test_a_refused_session_becomes_a_letter_and_its_next_best_document_lands() -> None:
    world = World(hauls=[[session_at(0, "bad", version=1), session_at(1, "good"), session_at(2, "bad", version=2)]])
    world.refuses = {SessionKey(APP, "bad")}
    await a_loader(world).run(world.stop)

    assert world.journal[3:8] == [
        ("sink refused", ["bad"]),
        ("letters acknowledged", ["SINK_REJECTED"]),
        ("sink refused", ["bad"]),
        ("letters acknowledged", ["SINK_REJECTED"]),
        ("landed", {"good": 1}, {SESSIONS_0: 3}),
    ]
    assert [letter.offset for letter in world.letters] == [2, 0]
    assert world.letters[0].raw == session_record(a_session("bad", version=2))[1]


async def test_a_document_that_does_not_fit_makes_room_for_the_next_best_of_its_session() -> None:
    key, value = session_record(a_session(version=2))
    broken = value.replace(b'"leg_count":0', b'"leg_count":"many"')
    world = World(hauls=[[session_at(0, version=1), Record(SESSIONS_0, 1, key, broken)]])
    await a_loader(world).run(world.stop)

    assert world.journal[3:5] == [
        ("letters acknowledged", ["SCHEMA_VIOLATION"]),
        ("landed", {"s-1": 1}, {SESSIONS_0: 2}),
    ]
    assert world.letters[0].detail == "sessions.leg_count holds text"


async def test_a_sink_that_is_away_is_retried_in_place_and_readiness_is_false_meanwhile() -> None:
    world = World(hauls=[[session_at(0)], [session_at(1, version=2)]])
    world.sink_faults = [SinkUnavailableError("gone"), SinkUnavailableError("gone")]
    loader = a_loader(world)
    seen: list[tuple[bool, str | None]] = []
    world.on_retry = lambda: seen.append((loader.status().ready, loader.status().reason))
    await loader.run(world.stop)

    assert world.journal[2:7] == [
        ("read", 1),
        ("sink away",),
        ("sink away",),
        ("landed", {"s-1": 1}, {SESSIONS_0: 1}),
        ("read", 1),
    ]
    assert seen == [(True, None), (False, "gone")]


async def test_a_stop_while_the_sink_is_away_leaves_the_offsets_where_they_are() -> None:
    world = World(hauls=[[session_at(0)]], sink_faults=[SinkUnavailableError("gone")] * 1000)
    world.on_retry = world.stop.set
    await a_loader(world).run(world.stop)

    assert world.stored == {}
    assert world.journal[-2:] == [("source closed",), ("sink closed",)]


async def test_when_kafka_comes_back_everything_is_read_from_the_stored_offsets() -> None:
    world = World(hauls=[[session_at(0)], LogUnavailableError("broker away"), [session_at(1, version=2)]])
    world.open_faults = [None, LogUnavailableError("still away"), LogUnavailableError("still away")]
    loader = a_loader(world)
    await loader.run(world.stop)

    assert world.journal[3:7] == [
        ("landed", {"s-1": 1}, {SESSIONS_0: 1}),
        ("source opened", {SESSIONS_0: 1}),
        ("read", 1),
        ("landed", {"s-1": 2}, {SESSIONS_0: 2}),
    ]


async def test_letters_that_kafka_does_not_take_now_are_repeated_before_anything_lands() -> None:
    world = World(hauls=[[garbage_at(0)]], outbox_faults=[LogUnavailableError("away"), None])
    await a_loader(world).run(world.stop)

    assert world.journal[3:5] == [("letters acknowledged", ["SCHEMA_VIOLATION"]), ("landed", {}, {SESSIONS_0: 1})]


async def test_a_letter_that_can_never_be_stored_halts_with_offsets_unmoved() -> None:
    world = World(hauls=[[garbage_at(0), session_at(1)]], outbox_faults=[UndeliverableLetterError("too large")])
    loader = a_loader(world)
    with pytest.raises(HaltError, match="too large"):
        await loader.run(world.stop)

    assert (world.stored, world.rows, loader.status().ready) == ({}, {}, False)


@pytest.mark.parametrize("fault", [FencedError({SESSIONS_0: 7}), LettersRejectedError("refused")])
async def test_what_no_waiting_would_mend_halts(fault: Exception) -> None:
    world = World(hauls=[[session_at(0)]], sink_faults=[fault])
    with pytest.raises(HaltError, match=re.escape(str(fault))):
        await a_loader(world).run(world.stop)

    assert world.journal[-2:] == [("source closed",), ("sink closed",)]


async def test_a_record_among_the_letters_that_is_none_halts() -> None:
    for value in (b"garbage", a_letter().encoded().replace(b'="', b'"')):
        world = World(hauls=[[Record(LETTERS_0, 7, b"k", value)]])
        with pytest.raises(HaltError, match=r"offset 7 of tccc\.dead_letters"):
            await a_loader(world).run(world.stop)

        assert world.stored == {}


async def test_records_of_a_topic_made_anew_land_though_it_ends_where_the_old_one_did() -> None:
    world = World(hauls=[[session_at(0, "after")]], stored={SESSIONS_0: 1})
    await a_loader(world).run(world.stop)

    assert world.rows == {SessionKey(APP, "after"): 1}


async def test_letters_and_tombstones_move_the_offsets_too() -> None:
    world = World(
        hauls=[[letter_at(4), letter_at(5), Record(LETTERS_0, 6, b"k", None), Record(SESSIONS_0, 0, b"k", None)]]
    )
    loader = a_loader(world)
    await loader.run(world.stop)

    assert world.stored == {LETTERS_0: 7, SESSIONS_0: 1}
    assert ("forgotten", [], ["k"]) in world.journal  # the tombstone of a letter: it was erased
    assert loader.status().letters_loaded == 1
    assert world.letters == []


def asked_at(offset: int, raw: bytes) -> Record:
    letter = DeadLetter.of(Stage.LOAD, Reason.SINK_REJECTED, "no", raw=raw, occurred_at=RECEIVED_AT)
    told = letter.replayed(RECEIVED_AT, None, ("tccc.sessions", 0, 0))
    return Record(LETTERS_0, offset, letter.dead_letter_id.encode(), told.encoded())


async def test_a_document_that_is_tried_again_lands_like_any_other_and_its_letter_says_so() -> None:
    world = World(hauls=[[asked_at(0, session_record(a_session(version=5))[1]), session_at(0, "s-2")]])
    await a_loader(world).run(world.stop)

    assert world.journal[3] == ("landed", {"s-1": 5, "s-2": 1}, {LETTERS_0: 1, SESSIONS_0: 1})
    assert world.told == {"LOADED"}


async def test_a_document_that_fails_again_makes_no_letter_and_does_not_count_towards_the_limit() -> None:
    world = World(hauls=[[asked_at(number, b"garbage %d" % number) for number in range(4)]])
    world.hauls[0] = [*world.hauls[0], asked_at(4, session_record(a_session("bad"))[1])]  # type: ignore[misc]
    world.refuses = {SessionKey(APP, "bad")}
    await a_loader(world, in_a_row_max=2).run(world.stop)

    assert (world.letters, world.stored) == ([], {LETTERS_0: 5})
    assert {outcome.partition(": not")[0] for outcome in world.told} == {
        "FAILED_AGAIN: SCHEMA_VIOLATION",
        "FAILED_AGAIN: SINK_REJECTED: too long",
    }


async def test_too_many_unusable_documents_in_a_row_halt_before_any_letter() -> None:
    world = World(hauls=[[garbage_at(0), garbage_at(1), session_at(2), garbage_at(3)], [garbage_at(4), garbage_at(5)]])
    with pytest.raises(HaltError, match="3 records in a row"):
        await a_loader(world, in_a_row_max=2).run(world.stop)

    assert world.stored == {SESSIONS_0: 4}
    assert len(world.letters) == 3


async def test_more_than_half_of_a_window_unusable_halts() -> None:
    mixed = [garbage_at(at) if at % 3 else session_at(at) for at in range(20)]
    world = World(hauls=[mixed])
    loader = a_loader(world, breaker=BreakerLimits(in_a_row_max=100, percent_max=50, window_records=10))
    with pytest.raises(HaltError, match="of the last 10 records"):
        await loader.run(world.stop)

    assert (world.stored, world.letters) == ({}, [])


async def test_refused_sessions_count_towards_the_limit() -> None:
    world = World(hauls=[[session_at(0, "a"), session_at(1, "b"), session_at(2, "c")]])
    world.refuses = {SessionKey(APP, name) for name in "abc"}
    with pytest.raises(HaltError, match="3 records in a row"):
        await a_loader(world, in_a_row_max=2).run(world.stop)

    assert (world.stored, world.letters) == ({}, [])


async def test_housekeeping_waits_until_nothing_arrives() -> None:
    world = World(hauls=[[session_at(0)]])
    await a_loader(world, checkpoint_idle_seconds=0).run(world.stop)

    assert world.journal[3:5] == [("landed", {"s-1": 1}, {SESSIONS_0: 1}), ("checkpoint",)]


async def test_a_value_too_large_for_a_letter_is_cut_and_its_length_is_told() -> None:
    world = World(hauls=[[garbage_at(0, b"x" * (RAW_BYTES_MAX + 5))]])
    await a_loader(world).run(world.stop)

    assert (len(world.letters[0].raw), world.letters[0].raw_bytes_count) == (RAW_BYTES_MAX, RAW_BYTES_MAX + 5)
    assert len(world.letters[0].encoded()) < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"1:s", b"[]"),
        (b"1:s", b"null"),
        (b"1:s", b'{"session":[]}'),
        (b"1:s", b"\xff"),
        (b"1:s", b"[" * 100_000),
        (b"1:s", b'{"session":{"sdk_app_id":"1","session_id":"s","version":"1"}}'),
        (b"1:s", b'{"session":{"sdk_app_id":1,"session_id":"s","version":1}}'),
        (b"1:s", b'{"session":{"sdk_app_id":1,"session_id":"s","version":"9223372036854775808"}}'),
        (b"1:s", b'{"session":{"sdk_app_id":1,"session_id":"\\ud800","version":"1"}}'),
        (b"1:s", b'{"session":{"sdk_app_id":1,"session_id":"s","version":"1"}}'),
        (b"1:t", session_record(a_session("s", sdk_app_id=1))[1]),
        (None, session_record(a_session("s", sdk_app_id=1))[1]),
    ],
)
async def test_whatever_is_no_session_document_becomes_one_letter(key: bytes | None, value: bytes) -> None:
    world = World(hauls=[[Record(SESSIONS_0, 0, key, value)]])
    await a_loader(world).run(world.stop)

    assert [(letter.reason, letter.raw) for letter in world.letters] == [(Reason.SCHEMA_VIOLATION, value)]
    assert world.stored == {SESSIONS_0: 1}


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("has_cdr",), None),
        (("has_cdr",), 1),
        (("leg_count",), 1.5),
        (("leg_count",), True),
        (("leg_count",), 2**63),
        (("caller",), 5),
        (("extra",), []),
        (("started_at",), "yesterday"),
        (("started_at",), "2026-11-24T03:55:00"),
        (("started_at",), 1700000000),
        (("legs",), None),
        (("legs",), {}),
        (("legs",), ["leg"]),
        (("legs", 0, "leg_sequence"), None),
        (("recordings", 0, "recording_id"), 7),
    ],
)
async def test_a_value_that_does_not_fit_its_column_takes_only_its_own_document_out(
    path: tuple[Any, ...], wrong: Any
) -> None:
    good = session_at(0, "good")
    whole = jsontext.decode(session_record(_with_children())[1])
    place: Any = whole["session"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong
    world = World(hauls=[[good, Record(SESSIONS_0, 1, session_record(_with_children())[0], jsontext.encode(whole))]])
    await a_loader(world).run(world.stop)

    assert world.rows == {SessionKey(APP, "good"): 1}
    assert [letter.offset for letter in world.letters] == [1]


def _with_children() -> Any:
    from tests.support.sessions import a_leg, a_recording

    return a_session("bad", legs=[a_leg(0)], recordings=[a_recording()])


async def test_hours_of_the_api_land_in_the_transaction_of_their_offsets_the_latest_reading_of_each() -> None:
    one, other = an_hour(RECEIVED_AT.replace(minute=0, second=0, microsecond=0)), an_hour(RECEIVED_AT)
    early = one.model_copy(update={"asked_at": RECEIVED_AT, "is_final": False})
    negative = one.model_copy(update={"row_count": -1})
    records = [(one.key, one), (early.key, early), (b"1:1", one), (other.key, other), (negative.key, negative)]
    hours = [Record(WINDOWS_0, offset, key, hour.encoded()) for offset, (key, hour) in enumerate(records)]
    world = World(
        hauls=[[session_at(0), *hours, Record(WINDOWS_0, 5, one.key, b"{}"), Record(WINDOWS_0, 6, b"k", None)]]
    )
    await a_loader(world).run(world.stop)

    landed = {name: getattr(one, name) for name in RECONCILE_WINDOWS.column_names if name != "loaded_at"}
    assert world.asked == {RECONCILE_WINDOWS.name: [landed]}
    assert world.journal[3:5] == [
        ("letters acknowledged", ["SCHEMA_VIOLATION"] * 4),
        ("landed", {"s-1": 1}, {SESSIONS_0: 1, WINDOWS_0: 7}),
    ]
    assert [letter.offset for letter in world.letters] == [2, 3, 4, 5]
