"""What is missing of one call, and why: each as a code that the page words in the viewer's language.

Pure: rows and the clock in, findings out. Overdue is judged now, as `missing_recordings` does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Row = Mapping[str, Any]
TCCC_KEEPS_AUDIO = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is worded in `static/words.json` as `lack.<code>`; `about` fills it in."""

    code: str
    about: dict[str, Any]


def lacking(
    session: Row | None, legs: Sequence[Row], recordings: Sequence[Row], *, deadline_seconds: int, now: datetime
) -> Iterator[Finding]:
    """Everything that is missing, most telling first."""
    if session is None:
        yield Finding("not_in_warehouse", {})
        return
    if not session["has_cdr"]:
        yield Finding("no_cdr", {})
    answered = {leg["leg_sequence"]: leg.get("answered_at") is not None for leg in legs}
    end = _moment(session.get("ended_at") or session["last_received_at"])
    overdue = now - end > timedelta(seconds=deadline_seconds)
    for row in recordings:
        about = {"recording_id": row["recording_id"], "side": row.get("side"), "leg": row.get("leg_sequence")}
        if row["received_at"] is not None:
            if not row["is_expected"]:
                yield Finding("recording_unnamed", about)
            if not row.get("custom_url") and _is_gone(row, now):
                yield Finding("audio_expired", about)
        elif row["absent_at"] is not None:
            yield Finding("recording_absent", about)
        elif not _was_answered(row, session, answered):
            yield Finding("recording_of_unanswered", about)
        elif overdue:
            yield Finding("recording_overdue", about)
        else:
            yield Finding("recording_awaited", about)


def _was_answered(row: Row, session: Row, answered: Mapping[int, bool]) -> bool:
    if row.get("leg_sequence") is None:
        return session.get("answered_at") is not None
    return answered.get(row["leg_sequence"], False)


def _is_gone(row: Row, now: datetime) -> bool:
    return row.get("generated_at") is not None and now - _moment(row["generated_at"]) > TCCC_KEEPS_AUDIO


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
