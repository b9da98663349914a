"""Fold: what a batch's events do to one session, from stored bytes to the record to publish. Pure.

The record of `tccc.sessions` is `{schema_version, version, session: public document, state: private}` (contract.md
part 4). The store keeps the state alone; restoring absorbs `state` alone, and consumers read `session` alone.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas import jsontext
from schemas.events import NormalizedEvent, parse_session_key
from schemas.session import SESSION_SCHEMA_VERSION
from schemas.suppression import NOBODY, Suppressions
from schemas.topics import MESSAGE_BYTES_MAX
from streams.core.absorb import Outcome, absorb, is_within_bounds, unite
from streams.core.erase import erased
from streams.core.project import project_public
from streams.core.state import EMPTY, SessionState, state_from_json, state_to_json

_RECORD_BEGINS = b'{"schema_version":%d,"session":' % SESSION_SCHEMA_VERSION
_STATE_BEGINS, _STATE_ENDS = b',"state":', b',"version":"'
_IS_THE_END = re.compile(rb',"version":"[0-9]+"}')
RECORD_BYTES_MAX = MESSAGE_BYTES_MAX - 64 * 1024
"""A record must fit its topic, with room for the batch's and the headers' own bytes."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What became of one session: the record to publish and the state to store (None: nothing is new).

    `born_ms`: of a session that was not known before, its last receipt.
    """

    record: bytes | None
    stored: bytes | None
    born_ms: int | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    refused: list[NormalizedEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a changelog record did to the stored state. `says_more`: the state now says more than that record.

    `born_ms`: of a session that was not known before, its last receipt.
    """

    stored: bytes
    says_more: bool
    born_ms: int | None = None


class NotASessionRecordError(ValueError):
    """A value of `tccc.sessions` that holds no state."""


def fold(
    key: bytes, stored: bytes | None, events: Sequence[NormalizedEvent], suppressions: Suppressions = NOBODY
) -> Folded:
    """Absorb a batch's events of one session; what exceeds the bounds is refused and changes nothing.

    Of a session that is erased, nothing is stored but what the suppression list leaves (`streams.core.erase`).
    """
    state = EMPTY if stored is None else _stored_state(stored)
    before = state
    outcomes: list[Outcome] = []
    refused: list[NormalizedEvent] = []
    for event in events:
        absorbed = absorb(state, event)
        outcomes.append(absorbed.outcome)
        state = absorbed.state
        if absorbed.outcome is Outcome.REFUSED:
            refused.append(event)
    if state is before:  # absorbing gives the same state back where nothing is new
        return Folded(None, None, None, outcomes, refused)
    state = erased(state, suppressions)
    record, stored_now = session_record(key, state)
    if len(record) > RECORD_BYTES_MAX:
        return _fold_while_it_fits(key, before, events, suppressions)
    return Folded(record, stored_now, state.last_ms if stored is None else None, outcomes, refused)


def restore(stored: bytes | None, value: bytes, suppressions: Suppressions = NOBODY) -> Restored:
    """Absorb a changelog record into what is stored; a stale writer may have written it, so it never just wins.

    Where a session is erased, what older records in the topic still say of it is not believed again.
    """
    try:
        theirs_json = _state_in(value)
        theirs = state_from_json(theirs_json)
    except (jsontext.NotJsonError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise NotASessionRecordError(f"no session record: {type(exc).__name__}") from exc
    if stored is None:
        # A record without a report says nothing, and nothing would ever bring it to its end.
        if not theirs.reports:
            raise NotASessionRecordError("a session record without a report")
        return Restored(jsontext.encode(theirs_json), says_more=False, born_ms=theirs.last_ms)
    mine = _stored_state(stored)
    is_settled = is_within_bounds(theirs) and erased(theirs, suppressions) is theirs
    if is_settled and mine.reports.items() <= theirs.reports.items():
        return Restored(jsontext.encode(theirs_json), says_more=False)  # as `unite` would find, report by report
    united = erased(unite(mine, theirs), suppressions)
    return Restored(jsontext.encode(state_to_json(united)), says_more=united != theirs)


def record_of_stored(key: bytes, stored: bytes) -> bytes:
    """The record that says all that is stored: what restoring republishes."""
    return session_record(key, _stored_state(stored))[0]


def last_receipt_ms(stored: bytes) -> int:
    """The last receipt of what is stored: retirement counts from it."""
    return _stored_state(stored).last_ms


def session_record(key: bytes, state: SessionState) -> tuple[bytes, bytes]:
    """The value of `tccc.sessions` for a state, and the state's JSON within it."""
    document = project_public(*parse_session_key(key), state)
    session, stored = jsontext.encode(document), jsontext.encode(state_to_json(state))
    # Put together from its parts, keys in order, so that the state is written once for the topic and the store.
    version = document["version"].encode()
    return b"".join((_RECORD_BEGINS, session, _STATE_BEGINS, stored, _STATE_ENDS, version, b'"}')), stored


def _fold_while_it_fits(
    key: bytes, state: SessionState, events: Sequence[NormalizedEvent], suppressions: Suppressions
) -> Folded:
    """The rare batch whose record would not fit its topic: event by event, refusing what makes it too large."""
    outcomes: list[Outcome] = []
    refused: list[NormalizedEvent] = []
    is_new = not state.reports
    record: bytes | None = None
    stored: bytes | None = None
    for event in events:
        absorbed = absorb(state, event)
        outcome = absorbed.outcome
        if absorbed.state is not state:
            grown = erased(absorbed.state, suppressions)
            candidate, candidate_stored = session_record(key, grown)
            if len(candidate) > RECORD_BYTES_MAX:
                outcome = Outcome.REFUSED
            else:
                state, record, stored = grown, candidate, candidate_stored
        outcomes.append(outcome)
        if outcome is Outcome.REFUSED:
            refused.append(event)
    return Folded(record, stored, state.last_ms if is_new and state.reports else None, outcomes, refused)


def _state_in(value: bytes) -> Any:
    """The state in a record of `tccc.sessions`; of one that `session_record` wrote, the document is not read.

    The part that is cut out is JSON by itself only where it is the whole state: a payload may hold the same words.
    """
    begin, end = value.find(_STATE_BEGINS), value.rfind(_STATE_ENDS)
    if 0 < begin < end and _IS_THE_END.fullmatch(value, end):
        with contextlib.suppress(jsontext.NotJsonError):
            return jsontext.decode(value[begin + len(_STATE_BEGINS) : end])
    return jsontext.decode(value)["state"]


def _stored_state(stored: bytes) -> SessionState:
    return state_from_json(jsontext.decode(stored))
