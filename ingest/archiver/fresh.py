"""A fresh address from TCCC's API, where the pushed one has expired or none was pushed. It lives for a day.

The rule: an address of the API's is used at once and written nowhere (architecture.md law 8).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ingest.reconcile.client import Caller
from ingest.reconcile.failure import ApiError
from ingest.reconcile.paging import Span, read_page
from schemas.archive import RecordingFile

_BEFORE: Final = timedelta(days=2)
_AFTER: Final = timedelta(days=1)
_REACH: Final = timedelta(days=179)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API says. `is_known` without addresses: the call is there, and has no such file."""

    addresses: tuple[str, ...]
    is_known: bool
    problem: str | None = None


class FreshAddresses:
    """Asks with the client that may read an application; one that nobody may read has no fresh addresses."""

    def __init__(self, callers: Mapping[int, Caller], now: Callable[[], datetime]) -> None:
        self._callers = callers
        self._now = now

    async def of(self, record: RecordingFile) -> Answer:
        """Ask for the addresses of one file, now."""
        caller = self._callers.get(record.sdk_app_id)
        if caller is None:
            return Answer((), is_known=False)
        now = self._now()
        around = record.generated_at or record.first_seen_at
        start, end = max(around - _BEFORE, now - _REACH), min(around + _AFTER, now)
        if start >= end:
            return Answer((), is_known=False, problem="the API no longer knows calls of that time")
        try:
            rows, _ = await read_page(caller, Span(record.sdk_app_id, start, end, (record.session_id,)), 0)
        except ApiError as exc:
            return Answer((), is_known=False, problem=f"TCCC's API: {exc.code}")
        row = next(
            (row for row in rows if isinstance(row, Mapping) and row.get("SessionId") == record.session_id), None
        )
        if row is None:
            return Answer((), is_known=False)
        found = _voicemail(row, record.names) if record.file_kind == "voicemail" else _recording(row, record.names)
        return Answer(found, is_known=True)


def _recording(row: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    legs = row.get("ServeParticipants")
    carriers = [row, *(leg for leg in legs if isinstance(leg, Mapping))] if isinstance(legs, list) else [row]
    found = [
        carrier.get(name)
        for carrier in carriers
        if str(carrier.get("RecordId")) in names
        for name in ("RecordURL", "CustomRecordURL")
    ]
    return tuple(address for address in found if isinstance(address, str) and address)


def _voicemail(row: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    listed = row.get("VoicemailRecordURL")
    addresses = [one for one in ([listed] if isinstance(listed, str) else listed or []) if isinstance(one, str) and one]
    if len(addresses) == 1:
        return tuple(addresses)
    # The API lists them without any name: `api:<n>` is the n-th that no push told of, and a pushed one is none of them.
    places = [int(name.partition(":")[2]) for name in names if name.partition(":")[2].isdigit()]
    return tuple(addresses[place - 1] for place in places if 0 < place <= len(addresses))
