"""Judges a warehouse after trouble, from the sender's ledger alone, and names what is wrong as the literature does.

Its one rule: it is a stranger. It imports nothing of ingest, streams or sinks, and asks the warehouse in plain SQL;
what the product says about itself counts for nothing here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final

from callweave.simulator.ledger import LedgerPush, LedgerSession, iterate_ledger
from callweave.verify import Difference, Kind, Query, compare, letters_by_body, pages, quoted_list

_SESSIONS_AT_ONCE: Final = 500
_PAGE_ROWS: Final = 5_000
_SHOWN_OF_A_KIND: Final = 20
_COPIES_OF_A_DELIVERY: Final = 4
"""A delivery may be appended again: by a second producer, by the spool, by the spool after a crash. That is at least
once; beyond it something reads again from the start."""


class Anomaly(StrEnum):
    """What can be wrong with a store that was acknowledged to."""

    LOST_WRITE = "lost write"  # acknowledged, and not there
    DUPLICATE = "duplicate"  # there more often than it was sent
    STALE_OVERWRITE = "stale overwrite"  # something older stands where something newer was acknowledged
    TORN_SESSION = "torn session"  # a session's counts disagree with its children
    PHANTOM = "phantom"  # there, and never sent
    STALLED = "stalled"  # not there in time after all faults had ended


_ANOMALY_OF: Final[Mapping[Kind, Anomaly]] = {
    Kind.MISSING_SESSION: Anomaly.LOST_WRITE,
    Kind.MISSING_ROW: Anomaly.LOST_WRITE,
    Kind.MISSING_DEAD_LETTER: Anomaly.LOST_WRITE,
    Kind.DEAD_LETTER_COUNT: Anomaly.LOST_WRITE,
    Kind.WRONG_VALUE: Anomaly.STALE_OVERWRITE,
    Kind.DUPLICATE_KEY: Anomaly.DUPLICATE,
    Kind.EXTRA_ROW: Anomaly.PHANTOM,
    Kind.UNEXPECTED_SESSION: Anomaly.PHANTOM,
    Kind.UNEXPECTED_DEAD_LETTER: Anomaly.PHANTOM,
}


_FOLLOWS_FROM_A_LOSS: Final = frozenset({Kind.MISSING_SESSION, Kind.MISSING_ROW, Kind.WRONG_VALUE, Kind.EXTRA_ROW})


@dataclass(frozen=True, slots=True)
class Found:
    """One anomaly: which, and in words what differs."""

    anomaly: Anomaly
    message: str


@dataclass(slots=True)
class Judgement:
    """What was asked of one warehouse, and what is wrong with it."""

    pushes_acknowledged: int = 0
    pushes_found: int = 0
    sessions_compared: int = 0
    sessions_in_doubt: int = 0  # so many answers were lost that their rows cannot be told; their pushes still can
    letters_compared: int = 0
    anomalies: list[Found] = field(default_factory=list)

    def count(self, anomaly: Anomaly) -> int:
        """How many of a kind."""
        return sum(found.anomaly is anomaly for found in self.anomalies)

    def lines(self, *, shown_of_a_kind: int = _SHOWN_OF_A_KIND) -> list[str]:
        """The anomalies for people, the first of each kind."""
        text: list[str] = []
        for anomaly in Anomaly:
            of_kind = [found.message for found in self.anomalies if found.anomaly is anomaly]
            text += [f"{anomaly.value}: {message}" for message in of_kind[:shown_of_a_kind]]
            if len(of_kind) > shown_of_a_kind:
                text.append(f"{anomaly.value}: and {len(of_kind) - shown_of_a_kind} more")
        return text


def judge(ledger: Path, query: Query) -> Judgement:
    """Ask the warehouse behind `query` for everything that the ledger says must, may and must not be there."""
    verification = compare(ledger, query)
    result = Judgement(
        sessions_compared=verification.counts.sessions,
        sessions_in_doubt=verification.counts.sessions_unsettled,
        letters_compared=verification.counts.dead_letters,
    )
    lacking: set[str] = set()
    for session, push, is_there in _acknowledged(ledger, query):
        result.pushes_acknowledged += 1
        result.pushes_found += is_there
        if not is_there:
            lacking.add(session)
            told = f"{push.content} of session {session} was answered ErrCode 0 at {push.answered_at}, and is not there"
            result.anomalies.append(Found(Anomaly.LOST_WRITE, told))
    for difference in verification.differences:
        # Where a push is lost, the rows that it would have filled differ too: that is one anomaly, and not many.
        if difference.kind not in _FOLLOWS_FROM_A_LOSS or _session_of(difference) not in lacking:
            result.anomalies.append(Found(_named(difference), difference.message))
    result.anomalies += _torn(query)
    _judge_letters(ledger, query, result)
    return result


def _named(difference: Difference) -> Anomaly:
    """A recording that was acknowledged and counts as not received is lost, not stale."""
    if difference.kind is Kind.WRONG_VALUE and difference.column == "received_at" and difference.actual is None:
        return Anomaly.LOST_WRITE
    return _ANOMALY_OF[difference.kind]


def _session_of(difference: Difference) -> str:
    return ":".join(difference.key.split(":")[:2])


# Every push that was answered ErrCode 0: is its content there?


def _acknowledged(ledger: Path, query: Query) -> Iterator[tuple[str, LedgerPush, bool]]:
    sessions = (line for line in iterate_ledger(ledger) if isinstance(line, LedgerSession))
    while chunk := list(islice(sessions, _SESSIONS_AT_ONCE)):
        held = _contents(chunk, query)
        for session in chunk:
            there = held.get((session.sdk_app_id, session.session_id), frozenset())
            for push in session.pushes:
                if push.outcome == "answered":
                    yield session.name, push, _mark(session, push.content) in there


def _contents(chunk: Sequence[LedgerSession], query: Query) -> dict[tuple[int, str], frozenset[str]]:
    """Of each session, marks of the contents that the warehouse holds."""
    ids = quoted_list(session.session_id for session in chunk)
    key = "sdk_app_id, session_id"
    asked = (
        f"select {key}, 'cdr' as mark from sessions where has_cdr and session_id in ({ids})",  # noqa: S608 - quoted ids
        f"select {key}, url as mark from recordings where received_at is not null and session_id in ({ids})",  # noqa: S608
        f"select {key}, url as mark from voicemails where session_id in ({ids})",  # noqa: S608
    )
    held: dict[tuple[int, str], set[str]] = {}
    for select in asked:
        for row in pages(query, f"{select} order by 1, 2, 3", rows=_PAGE_ROWS):
            held.setdefault((int(str(row["sdk_app_id"])), str(row["session_id"])), set()).add(str(row["mark"]))
    return {key: frozenset(marks) for key, marks in held.items()}


def _mark(session: LedgerSession, content: str) -> str:
    """What a content leaves in the warehouse: a CDR the flag, a track its address."""
    action, _, place = content.partition(":")
    if action == "cdr":
        return "cdr"
    tracks: list[dict[str, Any]] = session.facts["recordings" if action == "record" else "voicemails"]
    return str(tracks[int(place)]["url"])


# Counts and children


def _torn(query: Query) -> Iterator[Found]:
    """A reader sees a session whole: its counts are those of its children, in every session of the warehouse."""
    counts = {
        "leg_count": "select count(*) from legs as c",
        "recordings_expected": "select count(*) from recordings as c where c.is_expected and",
        "recordings_received": "select count(*) from recordings as c where c.received_at is not null and",
        "recordings_missing": (
            "select count(*) from recordings as c"
            " where c.is_expected and c.received_at is null and c.absent_at is null and"
        ),
        "voicemail_count": "select count(*) from voicemails as c",
    }
    for column, counting in counts.items():
        word = "" if counting.endswith(" and") else " where"
        children = f"({counting}{word} c.sdk_app_id = s.sdk_app_id and c.session_id = s.session_id)"
        select = (
            f"select s.sdk_app_id, s.session_id, s.{column} as counted, {children} as children from sessions as s"  # noqa: S608 - names of our own
            f" where s.{column} <> {children} order by 1, 2"
        )
        for row in islice(pages(query, select, rows=_PAGE_ROWS), _PAGE_ROWS):
            yield Found(
                Anomaly.TORN_SESSION,
                f"session {row['sdk_app_id']}:{row['session_id']}: {column} is {row['counted']},"
                f" and its children are {row['children']}",
            )
    for table in ("legs", "recordings", "voicemails"):
        select = (
            f"select c.sdk_app_id, c.session_id, count(*) as rows from {table} as c where not exists (select 1 from"  # noqa: S608
            " sessions as s where s.sdk_app_id = c.sdk_app_id and s.session_id = c.session_id)"
            " group by c.sdk_app_id, c.session_id order by 1, 2"
        )
        for row in islice(pages(query, select.replace(" as rows", " as orphans"), rows=_PAGE_ROWS), _PAGE_ROWS):
            yield Found(
                Anomaly.TORN_SESSION,
                f"session {row['sdk_app_id']}:{row['session_id']} has {row['orphans']} {table} and no row of its own",
            )


# Useless pushes


def _judge_letters(ledger: Path, query: Query, result: Judgement) -> None:
    """Useless pushes that were answered are letters; none is counted more often than it can have been delivered."""
    deliveries: dict[str, int] = {}
    acknowledged: list[str] = []
    for line in iterate_ledger(ledger):
        if isinstance(line, LedgerPush):
            deliveries[line.sha256] = deliveries.get(line.sha256, 0) + line.deliveries
            if line.outcome == "answered":
                acknowledged.append(line.sha256)
    seen = letters_by_body(query, deliveries.keys())
    result.pushes_acknowledged += len(acknowledged)
    result.pushes_found += sum(sha256 in seen for sha256 in acknowledged)
    for sha256, count in seen.items():
        if count > _COPIES_OF_A_DELIVERY * max(1, deliveries[sha256]):
            result.anomalies.append(
                Found(
                    Anomaly.DUPLICATE,
                    f"the dead letter of body {sha256[:12]} was seen {count} times,"
                    f" after {deliveries[sha256]} deliveries",
                )
            )
