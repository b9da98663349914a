"""Find a call: by SessionId, number or agent, and list the calls of a span; the newest first, bounded.

The rule: a number is found by all of its digits, so that the page gives nobody numbers who does not know them; those
who may see numbers may look for the last ones too.
"""

import re
from collections.abc import Iterator
from typing import Final

from callweave.dashboard import spelling
from callweave.dashboard.filters import Filters
from callweave.dashboard.panels import Panel, Table
from callweave.dashboard.personal import personal_of
from callweave.dashboard.spelling import Spelling
from callweave.reading import Questions
from schemas.endpoint import normalize_endpoint
from sinks.sink import QueryLimits

CALLS_MAX: Final = 200
LIMITS: Final = QueryLimits(rows_max=CALLS_MAX, seconds_max=15.0)
COLUMNS: Final = (
    "sdk_app_id",
    "session_id",
    "started_at",
    "direction",
    "customer_number",
    "skill_group_name",
    "agent_mail",
    "agent_name",
    "wait_seconds",
    "talk_seconds",
    "end_status",
    "recordings_received",
    "recordings_missing",
    "has_cdr",
)
_NUMBER: Final = re.compile(r"[+]?[0-9][0-9\s().-]*")
_SUFFIX_DIGITS_MIN: Final = 4
_MOMENT: Final = "COALESCE(started_at, first_received_at)"


def find_calls(
    questions: Questions, words: Spelling, filters: Filters, term: str | None, *, sees_personal: bool
) -> Panel:
    """The calls that a term means; without one, all that the filters leave."""
    conditions = list(narrowed(filters))
    if filters.has_own_span or term is None:
        conditions.append(_within(words, filters))
    if term is not None:
        conditions.append(f"({' OR '.join(_meant(term, sees_personal=sees_personal))})")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    answer = questions.ask(
        words.statement(
            f"SELECT {', '.join(COLUMNS)} FROM sessions {where} "  # noqa: S608  (`spelling` makes every value)
            f"ORDER BY {_MOMENT} DESC, session_id LIMIT {CALLS_MAX + 1}"
        ),
        LIMITS,
    )
    return Panel({"calls": Table(COLUMNS, answer.rows, answer.truncated, personal_of(COLUMNS))})


def _within(words: Spelling, filters: Filters) -> str:
    """That `_MOMENT` is in the span, in words for which Postgres has an index."""
    since, until = words.moment(filters.since), words.moment(filters.until)
    return (
        f"((started_at >= {since} AND started_at < {until}) OR "
        f"(started_at IS NULL AND first_received_at >= {since} AND first_received_at < {until}))"
    )


def narrowed(filters: Filters) -> Iterator[str]:
    """What account, queue and agent ask of any row that has a session's key and its queue."""
    if filters.account is not None:
        yield f"sdk_app_id = {filters.account}"
    if filters.queue is not None:
        yield f"skill_group_name = {spelling.text(filters.queue)}"
    if filters.agent is not None:
        agent = f"agent_mail = {spelling.text(filters.agent)}"
        yield f"({_among('sessions', agent)} OR {_among('legs', agent)})"


def _meant(term: str, *, sees_personal: bool) -> Iterator[str]:
    """A term may be the id of a session, an agent, or a number, however it is written."""
    yield f"session_id = {spelling.text(term)}"
    if _NUMBER.fullmatch(term):
        numbers = sorted(spellings_of(term))
        listed = spelling.texts(numbers)
        yield f"customer_number IN ({listed})"
        yield f"caller IN ({listed})"
        yield f"callee IN ({listed})"
        digits = re.sub(r"\D", "", term)
        if sees_personal and len(digits) >= _SUFFIX_DIGITS_MIN:
            yield f"customer_number LIKE {spelling.text(f'%{digits}')}"
        return
    folded = spelling.text(term.casefold())
    yield f"LOWER(agent_mail) = {folded}"
    yield f"LOWER(agent_name) = {folded}"
    if "@" in term:
        yield _among("legs", f"LOWER(agent_mail) = {folded}")


def spellings_of(number: str) -> set[str]:
    """How TCCC may have sent a number: as typed, or with any of the prefixes of its country."""
    typed = re.sub(r"[\s().-]", "", number)
    national = normalize_endpoint(typed)
    return {typed, national, f"86{national}", f"0086{national}", f"+86{national}", f"00{national}", f"+{national}"}


def _among(table: str, condition: str) -> str:
    return f"(sdk_app_id, session_id) IN (SELECT sdk_app_id, session_id FROM {table} WHERE {condition})"  # noqa: S608  (see above)
