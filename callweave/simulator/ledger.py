"""The ledger: a JSONL file of everything that was sent and of the rows that must follow.

First line: the header. Then one line for each session ("kind": "session") and each useless push ("kind": "useless").
It is ASCII, written beside its place and renamed into it, so that it is never half there.
"""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from callweave.simulator.facts import SESSION_JSON, Session
from callweave.simulator.pushes import Outcome, Push, Sent
from callweave.simulator.truth import expected_rows
from callweave.simulator.worlds import possible_arrivals

FORMAT = 1


class LedgerError(ValueError):
    """A file is no ledger, or of a format that this version does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPush:
    """One push and what became of it."""

    push_uuid: str
    content: str
    query: str
    outcome: Outcome
    deliveries: int
    answered_deliveries: int
    sha256: str
    bytes_count: int
    sent_at: str | None = None
    answered_at: str | None = None
    order: int | None = None  # the place in which it was settled, over all runs of this ledger
    with_header: bool = True
    content_encoding: str | None = None
    leaves_letter: bool = False
    body: str | None = None
    body_base64: str | None = None

    @property
    def raw(self) -> bytes:
        """The bytes as they went over the wire."""
        if self.body_base64 is not None:
            return base64.b64decode(self.body_base64)
        assert self.body is not None
        return self.body.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSession:
    """One session: what happened (`facts`), what was pushed, what must be in the warehouse.

    `expected` is None when nothing arrived; `alternatives` are as good, as answers were lost. When `is_unsettled`,
    too many were, and nothing can be said of it.
    """

    sdk_app_id: int
    session_id: str
    facts: dict[str, Any]
    pushes: list[LedgerPush]
    expected: dict[str, Any] | None
    alternatives: list[dict[str, Any] | None] = field(default_factory=list)
    is_unsettled: bool = False

    @property
    def name(self) -> str:
        """How people call it."""
        return f"{self.sdk_app_id}:{self.session_id}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger in memory."""

    header: dict[str, Any]
    sessions: list[LedgerSession]
    useless: list[LedgerPush]


_PUSH_JSON = TypeAdapter(LedgerPush)
_LEDGER_SESSION_JSON = TypeAdapter(LedgerSession)


def note_push(sent: Sent, *, first_order: int = 0) -> LedgerPush:
    """Write down a push; `first_order` is where this run's order starts."""
    push = sent.push
    body: str | None
    try:
        body, body_base64 = push.raw.decode(), None
    except UnicodeDecodeError:
        body, body_base64 = None, base64.b64encode(push.raw).decode()
    return LedgerPush(
        push_uuid=push.push_uuid,
        content=push.content,
        query=push.query,
        outcome=sent.outcome,
        deliveries=sent.deliveries,
        answered_deliveries=sent.answered_deliveries,
        sha256=hashlib.sha256(push.raw).hexdigest(),
        bytes_count=len(push.raw),
        sent_at=_iso(sent.sent_at),
        answered_at=_iso(sent.answered_at),
        order=None if sent.settled_order is None else first_order + sent.settled_order,
        with_header=push.with_header,
        content_encoding=push.content_encoding,
        leaves_letter=push.leaves_letter,
        body=body,
        body_base64=body_base64,
    )


def note_session(session: Session, pushes: Sequence[LedgerPush], *, receipts_keep_order: bool = True) -> LedgerSession:
    """Write down a session with the rows that follow from what arrived, or may have.

    receipts_keep_order: False where the receiver's clock was moved, so that it may have dated contents in any order.
    """
    in_order = sorted(pushes, key=lambda push: (push.order is None, push.order or 0))
    worlds = possible_arrivals(
        ((push.content, push.outcome) for push in in_order), receipts_keep_order=receipts_keep_order
    )
    outcomes = [expected_rows(session, arrived) for arrived in worlds or [()]]
    alternatives = [rows for place, rows in enumerate(outcomes) if rows not in outcomes[:place]][1:]
    return LedgerSession(
        sdk_app_id=session.sdk_app_id,
        session_id=session.session_id,
        facts=SESSION_JSON.dump_python(session, mode="json"),
        pushes=list(pushes),
        expected=outcomes[0],
        alternatives=alternatives,
        is_unsettled=worlds is None,
    )


def facts_of(session: LedgerSession) -> Session:
    """Give what happened in a session of a ledger that was read."""
    return SESSION_JSON.validate_python(session.facts)


def push_again(noted: LedgerPush, *, push_uuid: str, owner: int | None, redeliveries: int) -> Push:
    """Give the same push under a new UUID."""
    return Push(
        push_uuid=push_uuid,
        content=noted.content,
        query=noted.query,
        raw=noted.raw,
        content_encoding=noted.content_encoding,
        with_header=noted.with_header,
        owner=owner,
        redeliveries=redeliveries,
        leaves_letter=noted.leaves_letter,
    )


def write_ledger(
    path: Path, header: dict[str, Any], sessions: Iterable[LedgerSession], useless: Iterable[LedgerPush]
) -> None:
    """Put the whole ledger in its place at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft_name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(draft_name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(_line("header", {"format": FORMAT} | header))
            file.writelines(_line("session", asdict(session)) for session in sessions)
            file.writelines(_line("useless", asdict(push)) for push in useless)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_ledger(path: Path) -> Ledger:
    """Read a ledger whole. Raise LedgerError with one sentence."""
    lines = iterate_ledger(path)
    header = next(lines)
    assert isinstance(header, dict)
    ledger = Ledger(header, [], [])
    for line in lines:
        if isinstance(line, LedgerSession):
            ledger.sessions.append(line)
        elif isinstance(line, LedgerPush):
            ledger.useless.append(line)
    return ledger


def iterate_ledger(path: Path) -> Iterator[dict[str, Any] | LedgerSession | LedgerPush]:
    """Give the header, then each session and useless push. Raise LedgerError with one sentence."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            number = 0
            for number, text in enumerate(file, 1):
                try:
                    read = _read_line(json.loads(text), is_first=number == 1)
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    raise LedgerError(f"Line {number} of {path} is no line of a ledger: {error}.") from error
                yield read
            if not number:
                raise LedgerError(f"The ledger {path} is empty.")
    except OSError as error:
        raise LedgerError(f"The ledger {path} can't be read: {error.strerror}.") from error


def _read_line(document: Any, *, is_first: bool) -> dict[str, Any] | LedgerSession | LedgerPush:
    kind = document.pop("kind")
    if is_first != (kind == "header"):
        raise LedgerError("the header stands in the first line, and nowhere else")
    match kind:
        case "header":
            if document["format"] != FORMAT:
                raise LedgerError(f"its format is {document['format']}, and this version reads {FORMAT}")
            header: dict[str, Any] = document
            return header
        case "session":
            return _LEDGER_SESSION_JSON.validate_python(document)
        case "useless":
            return _PUSH_JSON.validate_python(document)
        case _:
            raise LedgerError(f"kind {kind!r} is unknown")


def _line(kind: str, document: dict[str, Any]) -> str:
    return json.dumps({"kind": kind} | document, separators=(",", ":")) + "\n"


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
