"""What accounts decide about their numbers: what they leave unsaid, hours, and sentences about mistakes."""

from pathlib import Path

import pytest

from callweave.kpi_settings import KpiSettings, kpi_rules, open_quarters
from callweave.settings import MisconfiguredError, load_settings
from sinks.kpi.rules import NOBODY_HAS_SAID

WITH_ACCOUNTS = """
[kpi]
time_zone = "Asia/Shanghai"
target_seconds = 15
satisfaction_scores = { 1 = 5 }
[[kpi.accounts]]
sdk_app_ids = [1400000001, 1400000002]
target_seconds = 30
"""


def test_nothing_said_is_what_the_warehouse_has_by_itself() -> None:
    assert kpi_rules(KpiSettings()) == NOBODY_HAS_SAID


def test_what_an_account_does_not_say_everybodys_settings_say(tmp_path: Path) -> None:
    file = tmp_path / "callweave.toml"
    file.write_text(WITH_ACCOUNTS)
    rows = kpi_rules(load_settings(file).kpi)

    assert [(row.sdk_app_id, row.time_zone, row.target_seconds, row.satisfaction_scores) for row in rows] == [
        (0, "Asia/Shanghai", 15, (("1", 5),)),
        (1400000001, "Asia/Shanghai", 30, (("1", 5),)),
        (1400000002, "Asia/Shanghai", 30, (("1", 5),)),
    ]


def test_hours_are_quarters_of_the_week() -> None:
    week = open_quarters("mon-tue 09:00-10:15, sat 00:00-24:00, sun-mon 23:45-24:00")
    days = [week[96 * day : 96 * (day + 1)] for day in range(7)]

    assert days[1] == "0" * 36 + "1" * 5 + "0" * 55
    assert days[0] == days[1][:-1] + "1"
    assert days[5] == "1" * 96
    assert days[6] == "0" * 95 + "1"
    assert days[2] + days[3] + days[4] == "0" * 288
    assert open_quarters("") == "1" * 672


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ('time_zone = "Shanghai"', "is no time zone"),
        ('business_hours = "9-17"', "are no hours: write mon-fri 09:00-18:00"),
        ('business_hours = "mon-xyz 09:00-17:00"', "are no hours"),
        ('business_hours = "mon 09:10-17:00"', "write quarters of an hour"),
        ('business_hours = "mon 09:00-24:15"', "write quarters of an hour"),
        ('business_hours = "mon 22:00-06:00"', "ends before it begins"),
        ("target_seconds = -1", "kpi.target_seconds"),
        ("[[kpi.accounts]]\nsdk_app_ids = [5]\n[[kpi.accounts]]\nsdk_app_ids = [5]", "account 5 stands twice"),
        ("[[kpi.accounts]]\nsdk_app_ids = [5]\ntarget = 3", "unknown setting kpi.accounts.0.target"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, setting: str, sentence: str) -> None:
    file = tmp_path / "callweave.toml"
    file.write_text(f"[kpi]\n{setting}\n")
    with pytest.raises(MisconfiguredError, match=r".") as caught:
        load_settings(file)

    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_environment_may_say_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLWEAVE_KPI__TIME_ZONE", "America/New_York")
    monkeypatch.setenv("CALLWEAVE_KPI__SATISFACTION_SCORES", '{"1": 5, "2": 1}')
    (everybody,) = kpi_rules(load_settings().kpi)

    assert (everybody.time_zone, everybody.satisfaction_scores) == ("America/New_York", (("1", 5), ("2", 1)))
