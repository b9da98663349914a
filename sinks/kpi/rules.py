"""What an account decides about its numbers: thresholds, switches, time zone, opening hours, what a key means.

The rule: the warehouse holds them, as `kpi_settings` and `kpi_satisfaction_keys`; every view reads them there. Row 0 is
for each account that has none of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.columns import Column, ColumnType, Table

EVERYBODY: Final = 0
"""No account has this SdkAppId, so its row is everybody else's."""
QUARTERS_A_DAY: Final = 96
ALWAYS_OPEN: Final = "1" * 7 * QUARTERS_A_DAY


@dataclass(frozen=True, slots=True)
class KpiRules:
    """One account's."""

    sdk_app_id: int = EVERYBODY
    time_zone: str = "UTC"
    target_seconds: int = 20
    short_abandon_seconds: int = 5
    ringing_is_abandoned: bool = True
    genesys_adds_flow_outs: bool = False
    genesys_drops_short_abandons: bool = False
    genesys_drops_abandons: bool = False
    very_short_seconds: int = 10
    late_seconds: int = 900
    provisional_seconds: int = 86_400
    fcr_days: int = 7
    containment_hours: int = 24
    business_hours: str = ""
    """As a person wrote them; empty is always."""
    open_quarters: str = ALWAYS_OPEN
    """The same for SQL: a 1 for each quarter of an hour, from Monday 00:00, in which the centre is open."""
    satisfaction_scores: tuple[tuple[str, int], ...] = field(default=())
    """What a key of the survey after a call is worth. Empty: nobody has said, so there is no score."""


NOBODY_HAS_SAID: Final = (KpiRules(),)

KPI_SETTINGS: Final = Table(
    "kpi_settings",
    "What an account decides about its numbers (KPI__… of the settings, written when the loader starts)",
    ("sdk_app_id",),
    (
        Column("sdk_app_id", ColumnType.INTEGER, False, "The account; 0 is for each that has no row of its own"),
        Column("time_zone", ColumnType.TEXT, False, "Days and hours of the numbers are this zone's (IANA name)"),
        Column("target_seconds", ColumnType.INTEGER, False, "X: a wait up to this is within the service level"),
        Column("short_abandon_seconds", ColumnType.INTEGER, False, "T: giving up before this is a short abandon"),
        Column("ringing_is_abandoned", ColumnType.BOOLEAN, False, "Giving up while an agent rings is an abandon too"),
        Column("genesys_adds_flow_outs", ColumnType.BOOLEAN, False, "service_level_genesys: flow-outs are divided by"),
        Column("genesys_drops_short_abandons", ColumnType.BOOLEAN, False, "service_level_genesys: short ones are not"),
        Column("genesys_drops_abandons", ColumnType.BOOLEAN, False, "service_level_genesys: no abandon is divided by"),
        Column(
            "very_short_seconds", ColumnType.INTEGER, False, "An answered call that ended before this is very short"
        ),
        Column("late_seconds", ColumnType.INTEGER, False, "A session whose first report came later than this is late"),
        Column("provisional_seconds", ColumnType.INTEGER, False, "So long after its end a session may still change"),
        Column("fcr_days", ColumnType.INTEGER, False, "A caller who is back within these days was not helped"),
        Column("containment_hours", ColumnType.INTEGER, False, "A caller who is back within these was not contained"),
        Column("business_hours", ColumnType.TEXT, False, "When the centre is open, as set; empty is always"),
        Column(
            "open_quarters",
            ColumnType.TEXT,
            False,
            "The same as 672 digits: 1 for each quarter of an hour, from Monday 00:00 of the zone, that is open",
        ),
    ),
)
KPI_SATISFACTION_KEYS: Final = Table(
    "kpi_satisfaction_keys",
    "What a key of the survey after a call is worth (KPI__SATISFACTION_SCORES)",
    ("sdk_app_id", "satisfaction_key"),
    (
        Column("sdk_app_id", ColumnType.INTEGER, False, "The account; 0 is for each that has no row in kpi_settings"),
        Column("satisfaction_key", ColumnType.TEXT, False, "The key, as TCCC reports it"),
        Column("score", ColumnType.INTEGER, False, "What it is worth"),
    ),
)


def settings_rows(rules: Sequence[KpiRules]) -> list[tuple[int | str | bool, ...]]:
    """The rows of `kpi_settings`."""
    return [tuple(getattr(one, name) for name in KPI_SETTINGS.column_names) for one in rules]


def satisfaction_rows(rules: Sequence[KpiRules]) -> list[tuple[int | str | bool, ...]]:
    """The rows of `kpi_satisfaction_keys`."""
    return [(one.sdk_app_id, key, score) for one in rules for key, score in one.satisfaction_scores]
