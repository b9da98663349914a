"""`[kpi]` of the settings: thresholds, switches, time zone, opening hours, what a key means; for all accounts or some.

The rule: what an account does not say for itself, everybody's settings say. The loader writes the outcome into the
warehouse (`kpi_settings`), and the numbers read it there.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Self
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from callweave.tenant_settings import SdkAppId
from sinks.kpi.rules import ALWAYS_OPEN, EVERYBODY, QUARTERS_A_DAY, KpiRules

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS: Final = re.compile(
    r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? (?P<from>\d\d):(?P<from_minute>\d\d)-(?P<to>\d\d):(?P<to_minute>\d\d)"
)
_QUARTER_MINUTES: Final = 15


class KpiRulesSettings(BaseModel):
    """What everybody has, and what an account may have for itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_zone: str = "UTC"
    target_seconds: int = Field(default=20, ge=0)
    short_abandon_seconds: int = Field(default=5, ge=0)
    ringing_is_abandoned: bool = True
    genesys_adds_flow_outs: bool = False
    genesys_drops_short_abandons: bool = False
    genesys_drops_abandons: bool = False
    very_short_seconds: int = Field(default=10, ge=0)
    late_seconds: int = Field(default=900, ge=0)
    provisional_seconds: int = Field(default=86_400, ge=0)
    fcr_days: int = Field(default=7, ge=1, le=90)
    containment_hours: int = Field(default=24, ge=1, le=24 * 90)
    business_hours: str = ""
    satisfaction_scores: dict[str, int] = {}

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is no time zone: write an IANA name such as Asia/Shanghai or America/New_York")
        return value

    @field_validator("business_hours")
    @classmethod
    def _can_be_read(cls, value: str) -> str:
        open_quarters(value)
        return value


class AccountKpiSettings(KpiRulesSettings):
    """Accounts that say some of it for themselves."""

    sdk_app_ids: tuple[SdkAppId, ...] = Field(min_length=1)


class KpiSettings(KpiRulesSettings):
    """How numbers are counted."""

    accounts: tuple[AccountKpiSettings, ...] = ()

    @model_validator(mode="after")
    def _accounts_are_told_once(self) -> Self:
        told = Counter(app for account in self.accounts for app in account.sdk_app_ids)
        twice = [app for app, count in told.items() if count > 1]
        if twice:
            raise ValueError(f"account {twice[0]} stands twice under kpi.accounts: say all of it in one")
        return self


def kpi_rules(settings: KpiSettings) -> tuple[KpiRules, ...]:
    """The rows of `kpi_settings`: everybody's, then each account's own."""
    said = settings.model_dump(exclude={"accounts"})
    return tuple(_rules(said, settings.accounts))


def open_quarters(business_hours: str) -> str:
    """672 digits, 1 where the centre is open, from Monday 00:00. Raises ValueError with what to write instead."""
    if not business_hours.strip():
        return ALWAYS_OPEN
    week = [["0"] * QUARTERS_A_DAY for _ in _DAYS]
    for span in business_hours.split(","):
        found = _HOURS.fullmatch(span.strip().lower())
        if found is None or found["first"] not in _DAYS or (found["last"] or "mon") not in _DAYS:
            raise ValueError(f"{span.strip()!r} are no hours: write mon-fri 09:00-18:00, sat 10:00-14:00")
        opens, closes = (_quarter(found[end], found[f"{end}_minute"], span) for end in ("from", "to"))
        if opens >= closes:
            raise ValueError(
                f"{span.strip()!r} ends before it begins: write what is after midnight as hours of that day"
            )
        first = _DAYS.index(found["first"])
        last = _DAYS.index(found["last"] or found["first"])
        for day in range(first, first + (last - first) % 7 + 1):
            week[day % 7][opens:closes] = "1" * (closes - opens)
    return "".join("".join(day) for day in week)


def _quarter(hour: str, minute: str, span: str) -> int:
    minutes = int(hour) * 60 + int(minute)
    if int(minute) > 59 or minutes > 24 * 60 or minutes % _QUARTER_MINUTES:
        raise ValueError(f"{span.strip()!r} holds {hour}:{minute}: write quarters of an hour, 00:00 to 24:00")
    return minutes // _QUARTER_MINUTES


def _rules(said: dict[str, Any], accounts: tuple[AccountKpiSettings, ...]) -> Iterator[KpiRules]:
    yield _row(EVERYBODY, said)
    for account in accounts:
        own = {**said, **account.model_dump(exclude={"sdk_app_ids"}, exclude_unset=True)}
        for app in account.sdk_app_ids:
            yield _row(app, own)


def _row(sdk_app_id: int, said: dict[str, Any]) -> KpiRules:
    scores = tuple(sorted(said["satisfaction_scores"].items()))
    return KpiRules(
        sdk_app_id,
        open_quarters=open_quarters(said["business_hours"]),
        **{**said, "satisfaction_scores": scores},
    )
