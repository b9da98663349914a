"""ClickHouse as most contracts take it: callweave's tables are there and empty. DuckLake: see `tests.support.lakes`."""

from collections.abc import Iterator

import pytest

from tests.support.clickhouse import ClickHouseServer, laid_out_database


@pytest.fixture
def clickhouse_url(clickhouse_server: ClickHouseServer) -> Iterator[str]:
    """URL of a database as a loader of deadline 3600 left it before its first record."""
    with laid_out_database(clickhouse_server) as url:
        yield url
