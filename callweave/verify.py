"""Compares a warehouse with a ledger: every row that must be there, every row that must not, every dead letter.

It asks plain SQL that DuckDB and Postgres both understand, in pages, and only about the ledger's own sessions.
What it prints names the session or recording and both values, so that a person can go and look.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

from callweave.simulator.ledger import LedgerPush, LedgerSession, iterate_ledger
from callweave.simulator.reconciled import FILLED, Reconciliation, reconciled

Query = Callable[[str], list[dict[str, object]]]
"""Runs one SELECT; cells as JSON has them: times as ISO text, bytes as base64 text, JSON columns as text."""

_PAGE_ROWS = 5_000
_LETTER_PAGE_ROWS = 500
_SESSIONS_AT_ONCE = 200
_SHOWN_OF_A_KIND = 20


class Kind(StrEnum):
    """What can be wrong."""

    MISSING_SESSION = "sessions that are in no row"
    UNEXPECTED_SESSION = "sessions that should not be there"
    MISSING_ROW = "rows that are not there"
    EXTRA_ROW = "rows that should not be there"
    WRONG_VALUE = "values that differ"
    DUPLICATE_KEY = "keys that are not unique"
    MISSING_DEAD_LETTER = "useless pushes that are no dead letter"
    UNEXPECTED_DEAD_LETTER = "usable pushes that became a dead letter"
    DEAD_LETTER_COUNT = "dead letters that were seen less often than answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing on which warehouse and ledger disagree."""

    kind: Kind
    table: str
    key: str
    message: str
    column: str | None = None
    expected: Any = None
    actual: Any = None


@dataclass(slots=True)
class Counts:
    """What was compared."""

    sessions: int = 0
    sessions_unsettled: int = 0  # so many answers were lost that nothing can be said of them
    legs: int = 0
    recordings: int = 0
    recordings_expected: int = 0
    recordings_received: int = 0
    recordings_missing: int = 0
    voicemails: int = 0
    pushes: int = 0
    pushes_given_up: int = 0
    pushes_withheld: int = 0
    dead_letters: int = 0


@dataclass(slots=True)
class Verification:
    """The result: what was compared, and what differs."""

    counts: Counts = field(default_factory=Counts)
    differences: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the warehouse agrees with the ledger."""
        return not self.differences

    def lines(self, *, shown_of_a_kind: int = _SHOWN_OF_A_KIND) -> list[str]:
        """Give the result for people: differences by kind, the first of each, then one line that counts."""
        text: list[str] = []
        for kind in Kind:
            of_kind = [difference for difference in self.differences if difference.kind is kind]
            if of_kind:
                text.append(f"{len(of_kind)} {kind.value}:")
                text += [f"  {difference.message}" for difference in of_kind[:shown_of_a_kind]]
                if len(of_kind) > shown_of_a_kind:
                    text.append(f"  and {len(of_kind) - shown_of_a_kind} more")
        return [*text, self._summary()]

    def _summary(self) -> str:
        counts = self.counts
        verdict = "The warehouse agrees with the ledger" if self.ok else f"{len(self.differences)} differences"
        unsettled = f"; {counts.sessions_unsettled} sessions can't be judged" if counts.sessions_unsettled else ""
        return (
            f"{verdict}: {counts.sessions} sessions, {counts.legs} legs, {counts.recordings} recordings"
            f" ({counts.recordings_received} received, {counts.recordings_missing} of"
            f" {counts.recordings_expected} expected ones missing), {counts.voicemails} voicemails,"
            f" {counts.dead_letters} dead letters, from {counts.pushes} pushes"
            f" ({counts.pushes_given_up} given up, {counts.pushes_withheld} withheld){unsettled}."
        )


def compare(ledger: Path, query: Query, *, reconciliation: Reconciliation | None = None) -> Verification:
    """Compare the warehouse behind `query` with a ledger. Raise LedgerError when the file is none.

    With a reconciliation, the warehouse must hold all that the API of `simulate-api` knows too.
    """
    result = Verification()
    letters = _LetterBook()
    sessions: list[LedgerSession] = []
    for line in iterate_ledger(ledger):
        if isinstance(line, LedgerPush):
            _count_push(result.counts, line)
            letters.expect_useless(line)
        elif isinstance(line, LedgerSession):
            for push in line.pushes:
                _count_push(result.counts, push)
            letters.expect_of(line)
            sessions.append(line if reconciliation is None else reconciled(line, reconciliation))
            if len(sessions) == _SESSIONS_AT_ONCE:
                _compare_sessions(sessions, query, result)
                sessions = []
    _compare_sessions(sessions, query, result)
    result.differences += _duplicate_keys(query)
    result.differences += letters.compare(query, result.counts)
    return result


def _count_push(counts: Counts, push: LedgerPush) -> None:
    if push.deliveries:
        counts.pushes += 1
        counts.pushes_given_up += push.outcome in {"refused", "uncertain"}
    counts.pushes_withheld += push.outcome == "withheld"


# Reading the warehouse

_KEY = ("sdk_app_id", "session_id")

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "sessions": (
        "version", "has_cdr", "direction", "call_type", "caller", "callee", "customer_number", "line_number",
        "started_at", "queued_at", "rang_at", "answered_at", "ended_at", "ivr_seconds", "wait_seconds", "talk_seconds",
        "end_status", "hung_up_by", "skill_group_id", "skill_group_name", "agent_mail", "agent_name", "leg_count",
        "recordings_expected", "recordings_received", "recordings_missing", "voicemail_count", "uui", "user_remark",
        "first_received_at", "last_received_at", "source", "extra", "loaded_at",
    ),
    "legs": (
        "leg_sequence", "agent_mail", "agent_phone", "leg_type", "started_at", "rang_at", "answered_at", "ended_at",
        "end_status", "recording_id", "skill_group_id", "skill_group_name", "transfer_from", "transfer_from_type",
        "transfer_to", "transfer_to_type", "extra",
    ),
    "recordings": (
        "recording_id", "is_expected", "received_at", "absent_at", "side", "leg_sequence", "endpoint_user",
        "generated_at", "url", "custom_url", "matched_by", "pushed_recording_id", "source", "extra",
    ),
    "voicemails": ("voicemail_id", "endpoint_user", "generated_at", "url", "received_at", "source", "extra"),
}  # fmt: skip

_CHILD_KEY = {"legs": "leg_sequence", "recordings": "recording_id", "voicemails": "voicemail_id"}
_NEVER_NULL = ("version", "first_received_at", "last_received_at", "loaded_at")

_Row = dict[str, Any]
_SessionKey = tuple[int, str]


@dataclass(slots=True)
class _Held:
    """What the warehouse holds of one session."""

    sessions: list[_Row] = field(default_factory=list)
    legs: list[_Row] = field(default_factory=list)
    recordings: list[_Row] = field(default_factory=list)
    voicemails: list[_Row] = field(default_factory=list)


def _fetch(sessions: Sequence[LedgerSession], query: Query) -> dict[_SessionKey, _Held]:
    held: dict[_SessionKey, _Held] = {(one.sdk_app_id, one.session_id): _Held() for one in sessions}
    listed = quoted_list(session.session_id for session in sessions)
    for table, columns in _COLUMNS.items():
        order = [*_KEY, *([_CHILD_KEY[table]] if table in _CHILD_KEY else [])]
        select = (
            f"select {', '.join((*_KEY, *columns))} from {table}"  # noqa: S608 - names of our own, and quoted ids
            f" where session_id in ({listed}) order by {', '.join(order)}"
        )
        for row in pages(query, select, rows=_PAGE_ROWS):
            of_session = held.get((int(str(row["sdk_app_id"])), str(row["session_id"])))
            if of_session is not None:  # else another SdkAppId's session of that id, which the ledger doesn't know
                getattr(of_session, table).append(row)
    return held


def pages(query: Query, select: str, *, rows: int) -> Iterator[_Row]:
    """Give all rows of an ordered SELECT, so many at a time."""
    offset = 0
    while True:
        page = query(f"{select} limit {rows} offset {offset}")
        yield from page
        if len(page) < rows:
            return
        offset += rows


def quoted_list(texts: Iterable[str]) -> str:
    """Write texts for SQL's `in (...)`, each once."""
    return ", ".join(sorted({"'" + text.replace("'", "''") + "'" for text in texts}))


def _duplicate_keys(query: Query) -> Iterator[Difference]:
    keys = {"sessions": _KEY, "dead_letters": ("dead_letter_id",)}
    keys |= {table: (*_KEY, child) for table, child in _CHILD_KEY.items()}
    for table, key in keys.items():
        names = ", ".join(key)
        select = (
            f"select {names}, count(*) as copies from {table}"  # noqa: S608 - names of our own
            f" group by {names} having count(*) > 1 order by {names}"
        )
        for row in islice(pages(query, select, rows=_PAGE_ROWS), 10 * _PAGE_ROWS):
            key_text = ":".join(str(row[name]) for name in key)
            yield Difference(
                kind=Kind.DUPLICATE_KEY,
                table=table,
                key=key_text,
                actual=row["copies"],
                message=f"{table} {key_text} has {row['copies']} rows of one key",
            )


# Sessions


def _compare_sessions(sessions: Sequence[LedgerSession], query: Query, result: Verification) -> None:
    if not sessions:
        return
    held = _fetch(sessions, query)
    for session in sessions:
        if session.is_unsettled:
            result.counts.sessions_unsettled += 1
            continue
        of_session = held[session.sdk_app_id, session.session_id]
        outcomes = [session.expected, *session.alternatives]
        differing = [list(_compare_session(session, rows, of_session)) for rows in outcomes]
        best = min(range(len(outcomes)), key=lambda place: len(differing[place]))
        result.differences += differing[best]
        _count_rows(result.counts, outcomes[best])


def _count_rows(counts: Counts, rows: dict[str, Any] | None) -> None:
    if rows is None:
        return
    counts.sessions += 1
    counts.legs += len(rows["legs"])
    counts.recordings += len(rows["recordings"])
    counts.recordings_expected += rows["session"]["recordings_expected"]
    counts.recordings_received += rows["session"]["recordings_received"]
    counts.recordings_missing += rows["session"]["recordings_missing"]
    counts.voicemails += len(rows["voicemails"])


def _compare_session(session: LedgerSession, expected: dict[str, Any] | None, held: _Held) -> Iterator[Difference]:
    name = f"session {session.name}"
    if expected is None:
        if held.sessions or held.legs or held.recordings or held.voicemails:
            yield Difference(
                kind=Kind.UNEXPECTED_SESSION,
                table="sessions",
                key=session.name,
                message=f"{name} is in the warehouse, and nothing of it was sent and answered",
            )
        return
    if held.sessions:
        yield from _compare_row("sessions", session.name, name, expected["session"], held.sessions[0])
        yield from _null_where_never(session.name, name, held.sessions[0])
    else:
        yield Difference(
            kind=Kind.MISSING_SESSION,
            table="sessions",
            key=session.name,
            message=f"{name} {_first_answer(session)}, and is in no row",
        )
    yield from _compare_legs(session, expected["legs"], held.legs)
    yield from _compare_tracks(session, "recordings", expected["recordings"], held.recordings)
    yield from _compare_tracks(session, "voicemails", expected["voicemails"], held.voicemails)


def _null_where_never(key: str, name: str, row: _Row) -> Iterator[Difference]:
    for column in _NEVER_NULL:
        if row[column] is None:
            yield Difference(
                kind=Kind.WRONG_VALUE,
                table="sessions",
                key=key,
                column=column,
                message=f"{name}: {column} is NULL in the warehouse, and never may be",
            )


def _compare_legs(session: LedgerSession, expected: list[_Row], held: list[_Row]) -> Iterator[Difference]:
    remaining = list(held)
    for row in expected:
        sequence = row["leg_sequence"]
        label = f"leg {sequence} of session {session.name}"
        match = next((one for one in remaining if _number(one["leg_sequence"]) == sequence), None)
        if match is None:
            yield _missing("legs", f"{session.name}:{sequence}", f"{label} is in no row", row)
        else:
            remaining.remove(match)
            yield from _compare_row("legs", f"{session.name}:{sequence}", label, row, match)
    for one in _without_copies(remaining, held, "leg_sequence"):
        yield _extra("legs", session, f"leg {one['leg_sequence']}", one, "leg_sequence")


def _compare_tracks(session: LedgerSession, table: str, expected: list[_Row], held: list[_Row]) -> Iterator[Difference]:
    """Compare recordings or voicemails: by id where the contract gives one, else by address."""
    word, id_column = table.removesuffix("s"), _CHILD_KEY[table]
    remaining = list(held)
    with_id_first = sorted(expected, key=lambda row: row.get("recording_id") is None)
    for row in with_id_first:
        recording_id = row.get("recording_id")
        identity = recording_id if recording_id is not None else row.get("voicemail_id")
        column, value = (id_column, identity) if identity is not None else ("url", row["url"])
        label = f"{word} {value} of session {session.name}"
        match = next((one for one in remaining if one[column] == value), None)
        if match is None:
            why = f"{_answered(session, table, row)}, and is in no row"
            yield _missing(table, f"{session.name}:{value}", f"{label} {why}", row)
        else:
            remaining.remove(match)
            yield from _compare_track(session, table, (f"{session.name}:{value}", label), row, match)
    for one in _without_copies(remaining, held, id_column):
        yield _extra(table, session, f"{word} {one[id_column]}", one, id_column)


def _compare_track(
    session: LedgerSession, table: str, names: tuple[str, str], expected: _Row, held: _Row
) -> Iterator[Difference]:
    """Compare one track; when it counts as not received (or the other way), the rest follows and is not told."""
    key, label = names
    if (held["received_at"] is not None) != expected["is_received"]:
        why = f"{_answered(session, table, expected)}, and {'not ' * expected['is_received']}received in the warehouse"
        yield Difference(
            kind=Kind.WRONG_VALUE,
            table=table,
            key=key,
            column="received_at",
            expected="received" if expected["is_received"] else None,
            actual=held["received_at"],
            message=f"{label} {why}",
        )
        return
    derived = {"is_received"} | ({"recording_id"} if expected.get("recording_id") is None else set())
    promised = {column: value for column, value in expected.items() if column not in derived}
    yield from _compare_row(table, key, label, promised, held)


def _without_copies(remaining: list[_Row], held: list[_Row], column: str) -> Iterator[_Row]:
    """Leave out second rows of one key; those are told of as such."""
    keys_left = [row[column] for row in remaining]
    keys_held = [row[column] for row in held]
    seen: set[object] = set()
    for row in remaining:
        key = row[column]
        if key not in seen and keys_left.count(key) == keys_held.count(key):
            yield row
        seen.add(key)


def _missing(table: str, key: str, message: str, row: _Row) -> Difference:
    return Difference(kind=Kind.MISSING_ROW, table=table, key=key, message=message, expected=row)


def _extra(table: str, session: LedgerSession, label: str, row: _Row, column: str) -> Difference:
    return Difference(
        kind=Kind.EXTRA_ROW,
        table=table,
        key=f"{session.name}:{row[column]}",
        message=f"{label} of session {session.name} is in the warehouse, and not in the ledger",
        actual=row,
    )


def _first_answer(session: LedgerSession) -> str:
    times = sorted(push.answered_at for push in session.pushes if push.answered_at)
    return f"was answered ErrCode 0 at {_clock(times[0])}" if times else "should be there"


def _answered(session: LedgerSession, table: str, row: _Row) -> str:
    """Tell when the push behind a row was answered."""
    if not row["is_received"]:
        return "is named by the CDR and was never pushed"
    if row["source"] == "api":
        return "is known to the API"
    content = f"{'record' if table == 'recordings' else 'voicemail'}:"
    tracks = session.facts["recordings" if table == "recordings" else "voicemails"]
    for push in sorted(session.pushes, key=lambda push: push.answered_at or ""):
        is_of_track = (
            push.content.startswith(content) and tracks[int(push.content.partition(":")[2])]["url"] == row["url"]
        )
        if is_of_track and push.answered_at:
            return f"was answered ErrCode 0 at {_clock(push.answered_at)}"
    return "may have been received"


def _clock(iso_text: str) -> str:
    return iso_text[11:19]


# Cells


def _compare_row(table: str, key: str, label: str, expected: _Row, actual: _Row) -> Iterator[Difference]:
    for column, value in expected.items():
        held = actual[column]
        if not _agrees(column, value, held):
            yield _wrong(table, key, label, column, value, held)


def _wrong(table: str, key: str, label: str, column: str, expected: Any, actual: Any) -> Difference:
    told = f"{label}: {column} is {_shown(actual)} in the warehouse, {_shown_expected(column, expected)} by the ledger"
    return Difference(
        kind=Kind.WRONG_VALUE, table=table, key=key, column=column, expected=expected, actual=actual, message=told
    )


def _shown(value: Any) -> str:
    return "NULL" if value is None else str(value)


def _shown_expected(column: str, value: Any) -> str:
    if value == FILLED:
        return "any value"
    if isinstance(value, dict) and set(value) == {"any_of"}:
        return " or ".join(dict.fromkeys(_shown_expected(column, one) for one in value["any_of"]))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else _shown(value)


def _agrees(column: str, expected: Any, actual: Any) -> bool:
    if isinstance(expected, dict) and set(expected) == {"any_of"}:
        return any(_agrees(column, one, actual) for one in expected["any_of"])
    if expected == FILLED:
        return actual is not None
    if expected is None or actual is None:
        return expected is None and actual is None
    if column.endswith("_at"):
        return _moment(expected) == _moment(actual)
    if column == "extra":
        return _same_json(expected, _parsed(actual))
    if type(expected) is int:
        return _number(actual) == expected
    return type(expected) is type(actual) and bool(expected == actual)


def _moment(cell: object) -> datetime | None:
    """Read a time; None for what is none, so that it agrees with nothing."""
    try:
        moment = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell).strip())
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _number(cell: object) -> int | None:
    """Read a whole number; large ones, and ids, may come as text."""
    if isinstance(cell, bool):
        return None
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() else None
    try:
        return int(str(cell))
    except ValueError:
        return None


def _parsed(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _same_json(expected: Any, actual: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and neither true nor "1". A member that is `maybe` something may be absent too."""
    if isinstance(expected, dict) and set(expected) == {"any_of"}:
        return any(_same_json(one, actual) for one in expected["any_of"])
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, dict) and isinstance(actual, dict):
        optional = {name: value["maybe"] for name, value in expected.items() if _is_maybe(value)}
        required = expected.keys() - optional.keys()
        return required <= actual.keys() <= expected.keys() and all(
            _same_json(optional.get(name, expected[name]), value) for name, value in actual.items()
        )
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(_same_json, expected, actual))
    return bool(expected == actual)


def _is_maybe(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"maybe"}


# Dead letters

_SESSION_ID = re.compile(rb'"SessionId": "([0-9a-f-]{36})"')


@dataclass(slots=True)
class _LetterBook:
    """Which bodies must be dead letters, which may be, and which must not."""

    useless: dict[str, tuple[LedgerPush, int, bool]] = field(default_factory=dict)
    groups: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # of each, one body at least
    usable: dict[str, str] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)

    def expect_useless(self, push: LedgerPush) -> None:
        """Add a useless push; the same body again is the same letter."""
        _, answered, was_answered = self.useless.get(push.sha256, (push, 0, False))
        self.useless[push.sha256] = (
            push,
            answered + push.answered_deliveries,
            was_answered or push.outcome == "answered",
        )

    def expect_of(self, session: LedgerSession) -> None:
        """Add the pushes of a session: no letters, but for fields that no column can hold."""
        groups: dict[str, list[str]] = {}
        for push in session.pushes:
            if push.leaves_letter:
                self.allowed.add(push.sha256)
                if push.outcome == "answered":
                    groups.setdefault(push.content, []).append(push.sha256)
            elif push.outcome == "answered":
                self.usable[push.sha256] = f"{push.content} of session {session.name}"
        self.groups += [(f"{content} of session {session.name}", tuple(hashes)) for content, hashes in groups.items()]

    def compare(self, query: Query, counts: Counts) -> Iterator[Difference]:
        """Read the dead letters, and tell what is missing or too many."""
        seen = letters_by_body(query, self.useless.keys() | self.usable.keys() | self.allowed)
        yield from self._sessions_of_useless(query)
        counts.dead_letters += sum(was_answered for _, _, was_answered in self.useless.values()) + len(self.groups)
        for sha256, (push, answered, was_answered) in self.useless.items():
            label = f"useless push {push.push_uuid} ({push.content}, {push.bytes_count} bytes)"
            if sha256 in seen and seen[sha256] < answered:
                yield Difference(
                    kind=Kind.DEAD_LETTER_COUNT,
                    table="dead_letters",
                    key=sha256,
                    column="seen_count",
                    expected=answered,
                    actual=seen[sha256],
                    message=f"{label} was answered {answered} times, and seen_count is {seen[sha256]}",
                )
            elif sha256 not in seen and was_answered:
                told = f"was answered ErrCode 0 at {_clock(push.answered_at)}" if push.answered_at else "was answered"
                yield _missing_letter(sha256, f"{label} {told} and is no dead letter")
        for label, hashes in self.groups:
            if not seen.keys() & set(hashes):
                yield _missing_letter(
                    hashes[0], f"{label} has a field that no column can hold, and left no dead letter"
                )
        for sha256, label in self.usable.items():
            if sha256 in seen and sha256 not in self.allowed:
                yield Difference(
                    kind=Kind.UNEXPECTED_DEAD_LETTER,
                    table="dead_letters",
                    key=sha256,
                    message=f"{label} can be used, and became a dead letter",
                )

    def _sessions_of_useless(self, query: Query) -> Iterator[Difference]:
        """Tell of sessions that were made of what is useless."""
        named = {
            found[1].decode(): push for push, _, _ in self.useless.values() if (found := _SESSION_ID.search(push.raw))
        }
        names = iter(sorted(named))
        while chunk := list(islice(names, _SESSIONS_AT_ONCE)):
            select = (
                f"select sdk_app_id, session_id from sessions where session_id in ({quoted_list(chunk)})"  # noqa: S608 - quoted
                f" order by sdk_app_id, session_id"
            )
            for row in pages(query, select, rows=_PAGE_ROWS):
                key = f"{row['sdk_app_id']}:{row['session_id']}"
                push = named[str(row["session_id"])]
                yield Difference(
                    kind=Kind.UNEXPECTED_SESSION,
                    table="sessions",
                    key=key,
                    message=f"session {key} is in the warehouse, made of a useless push ({push.content})",
                )


def letters_by_body(query: Query, known: AbstractSet[str]) -> dict[str, int]:
    """Give how often each known body (by its SHA-256) was seen as a dead letter."""
    seen: dict[str, int] = {}
    select = "select dead_letter_id, raw, seen_count from dead_letters order by dead_letter_id"
    for row in pages(query, select, rows=_LETTER_PAGE_ROWS):
        sha256 = hashlib.sha256(_bytes(row["raw"])).hexdigest()
        if sha256 in known:
            seen[sha256] = seen.get(sha256, 0) + (_number(row["seen_count"]) or 0)
    return seen


def _missing_letter(key: str, message: str) -> Difference:
    return Difference(kind=Kind.MISSING_DEAD_LETTER, table="dead_letters", key=key, message=message)


def _bytes(cell: object) -> bytes:
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell)
    try:
        return base64.b64decode(str(cell or ""), validate=True)
    except (binascii.Error, ValueError):
        return b""
