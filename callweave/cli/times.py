"""A moment, as people write it on the command line; UTC unless they say otherwise."""

import re
from datetime import UTC, datetime, timedelta

import typer

_AGO = re.compile(r"([0-9]{1,4})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_DAYS = {"today": timedelta(0), "yesterday": timedelta(days=1)}


def read_time(text: str, now: datetime, option: str) -> datetime:
    """ISO 8601, the beginning of today or yesterday, or so long ago: 30d, 12h, 90m."""
    word = text.strip()
    if word in _DAYS:
        return midnight(now) - _DAYS[word]
    ago = _AGO.fullmatch(word)
    if ago is not None:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: write 2026-11-24, 2026-11-24T08:00, yesterday, or 30d, 12h, 90m ago",
            param_hint=option,
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def midnight(moment: datetime) -> datetime:
    """The beginning of the day, in UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
