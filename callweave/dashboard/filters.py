"""What a viewer asks to see, as it stands in the page's address: account, queue, agent, a span of time.

The rule: nothing of an address reaches a statement that was not read here into a number, a time or a bounded text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sinks.kpi.rules import EVERYBODY

SPAN_MAX: Final = timedelta(days=31)
TEXT_CHARACTERS_MAX: Final = 200
_UNUSABLE: Final = re.compile(r"[\\\x00-\x1f\x7f]")
_SDK_APP_ID_MAX: Final = 2**63 - 1


class FilterError(Exception):
    """The address asks for something that cannot be shown; the sentence says what."""


@dataclass(frozen=True, slots=True)
class Filters:
    """None: any. `since` ≤ moment < `until`."""

    since: datetime
    until: datetime
    account: int | None = None
    queue: str | None = None
    agent: str | None = None
    has_own_span: bool = False
    """Whether the address names a time; else it is today."""
    time_zone: str = "UTC"
    """Whose days `since` and `until` are."""


def zone_of(account: int | None, zones: Mapping[int, str]) -> str:
    """The zone whose days an account's numbers are counted by; without an account, everybody's."""
    return zones.get(account or EVERYBODY, zones[EVERYBODY])


def read_filters(asked: Mapping[str, str], *, zones: Mapping[int, str], now: datetime) -> Filters:
    """Read an address's query; FilterError where it makes no sense. A day is the day of the numbers' views."""
    account = _account(asked.get("account", ""))
    time_zone = zone_of(account, zones)
    zone = ZoneInfo(time_zone)
    midnight = datetime.combine(now.astimezone(zone).date(), time(), zone)
    since = _moment(asked, "from", zone) or midnight
    until = _moment(asked, "to", zone, is_end=True) or (_midnight_after(since, zone) if "from" in asked else None)
    until = until or _midnight_after(midnight, zone)
    if "to" in asked and "from" not in asked:
        since = datetime.combine((until - timedelta(microseconds=1)).astimezone(zone).date(), time(), zone)
    if until <= since:
        raise FilterError("the end (to) is not after the beginning (from)")
    if until - since > SPAN_MAX:
        raise FilterError(f"the page shows {SPAN_MAX.days} days at most: bring from and to closer together")
    return Filters(
        since=since.astimezone(UTC),
        until=until.astimezone(UTC),
        account=account,
        queue=bounded_text(asked, "queue"),
        agent=bounded_text(asked, "agent"),
        has_own_span=bool(asked.get("from") or asked.get("to")),
        time_zone=time_zone,
    )


def bounded_text(asked: Mapping[str, str], name: str) -> str | None:
    """One text of an address; None where it is empty."""
    text = asked.get(name, "").strip()
    if not text:
        return None
    if len(text) > TEXT_CHARACTERS_MAX or _UNUSABLE.search(text):
        raise FilterError(f"{name} is longer than {TEXT_CHARACTERS_MAX} characters, or holds one that no name has")
    return text


def _account(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _SDK_APP_ID_MAX:
        raise FilterError("account is no SdkAppId: it is a whole number")
    return int(text)


def _moment(asked: Mapping[str, str], name: str, zone: ZoneInfo, *, is_end: bool = False) -> datetime | None:
    """A day (its end, for `to`), or a moment; in the page's time zone unless it says otherwise."""
    text = asked.get(name, "")
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        midnight = datetime.combine(day, time(), zone)
        return _midnight_after(midnight, zone) if is_end else midnight
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise FilterError(f"{name} is no time: write 2026-11-24 or 2026-11-24T09:00") from exc
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _midnight_after(moment: datetime, zone: ZoneInfo) -> datetime:
    return datetime.combine(moment.astimezone(zone).date() + timedelta(days=1), time(), zone)
