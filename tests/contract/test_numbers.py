"""The views of numbers against the same numbers counted in plain Python, from what happened in the simulator."""

from pathlib import Path

import pytest

from tests.contract.numbers_check import WAREHOUSES, NumbersDay, differences, numbers_day
from tests.support.loading import DUCKDB


@pytest.fixture(scope="module")
def told() -> NumbersDay:
    return numbers_day(1_000, seed=3)


@pytest.mark.parametrize("warehouse", WAREHOUSES)
def test_views_count_what_plain_python_counts(
    request: pytest.FixtureRequest, warehouse: str, tmp_path: Path, told: NumbersDay
) -> None:
    url = DUCKDB if warehouse == "duckdb" else request.getfixturevalue(f"{warehouse}_url")

    assert list(differences(url, tmp_path, told)) == []
