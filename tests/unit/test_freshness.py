"""How old a row is when it is committed, told once a call and never of what only the API knew."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from sinks import freshness
from sinks.freshness import CallFreshness, since_receipt
from sinks.rows import SessionKey, SessionRows
from sinks.sink import Written

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def rows(*sessions: tuple[str, float | None, str | None]) -> SessionRows:
    """(session id, seconds since its end, source); each was received a second ago."""
    instants = pa.timestamp("us", "UTC")
    table = pa.table(
        {
            "last_received_at": pa.array([NOW - timedelta(seconds=1)] * len(sessions), instants),
            "ended_at": pa.array(
                [None if ago is None else NOW - timedelta(seconds=ago) for _, ago, _ in sessions], instants
            ),
            "source": pa.array([source for *_, source in sessions], pa.string()),
        }
    )
    keys = tuple(SessionKey(1, name) for name, *_ in sessions)
    return SessionRows(keys, {"sessions": table}, {"sessions": range(len(sessions) + 1)})


def written(*names: str) -> Written:
    return Written(frozenset(SessionKey(1, name) for name in names), 0, 0)


def test_a_call_is_told_once_however_often_its_row_is_replaced() -> None:
    calls = CallFreshness()
    batch: Any = rows(("a", 7, "push"), ("b", 3, "push+api"))

    assert calls.since_end(batch, written("a", "b"), NOW) == [7, 3]
    assert calls.since_end(batch, written("a", "b"), NOW) == []


def test_calls_without_an_end_or_from_the_api_alone_or_stale_say_nothing() -> None:
    batch = rows(("no-end", None, "push"), ("api", 90_000, "api"), ("stale", 5, "push"))

    assert CallFreshness().since_end(batch, written("no-end", "api"), NOW) == []
    assert since_receipt(batch, written("api"), NOW) == [1]


def test_what_is_remembered_is_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(freshness, "REMEMBERED_MAX", 2)
    calls = CallFreshness()
    for name in "abc":
        calls.since_end(rows((name, 1, "push")), written(name), NOW)

    assert calls.since_end(rows(("c", 1, "push")), written("c"), NOW) == []
    assert calls.since_end(rows(("a", 1, "push")), written("a"), NOW) == [1]
