"""docs/bi-tools.md: pandas reads every warehouse as the page says, the same numbers from each."""

from contextlib import closing

import clickhouse_connect
import duckdb
import pandas as pd
import psycopg

from sinks.ducklake_address import LAKE, LakeAddress
from sinks.snapshot import Snapshots
from sinks.warehouse import open_sink
from tests.contract.same_day import load, simulated_day
from tests.support.clickhouse import PASSWORD, USER, database_of
from tests.support.lakes import DUCKLAKE, PARQUET, lay_out_ducklake
from tests.support.loading import DUCKDB

SQL = (
    "SELECT s.direction, count(*) AS recordings, min(s.started_at) AS first_at FROM session_recordings AS s "
    "GROUP BY s.direction ORDER BY s.direction"
)


def seen(frame: pd.DataFrame) -> list[tuple[str | None, int, str]]:
    """The rows, and that times came as UTC."""
    assert str(frame["first_at"].dt.tz) in ("UTC", "Etc/UTC")
    return [
        (None if pd.isna(row.direction) else row.direction, int(row.recordings), str(row.first_at.tz_convert("UTC")))
        for row in frame.itertuples()
        if not pd.isna(row.direction)
    ]


def test_pandas_reads_the_same_from_every_warehouse(tmp_path, postgres_url, clickhouse_url, clickhouse_server):
    day = simulated_day(80, 9)
    lay_out_ducklake(tmp_path)
    published = tmp_path / "published" / "calls.duckdb"
    for url in (DUCKDB, postgres_url, clickhouse_url, DUCKLAKE, PARQUET):
        with closing(open_sink(url, data_dir=tmp_path, recording_deadline_seconds=3600)) as sink:
            sink.open()
            load(sink, day, 1)
            if url == DUCKDB:
                Snapshots(sink, published, 0).publish()
    with duckdb.connect(published, read_only=True) as copy:
        copy.execute("SET TimeZone = 'UTC'")
        of_the_copy = seen(copy.sql(SQL).df())
    with psycopg.connect(postgres_url) as connection:
        cursor = connection.execute(SQL)
        of_postgres = seen(pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description]))
    client = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=clickhouse_server.port,
        username=USER,
        password=PASSWORD,
        database=database_of(clickhouse_url),
        tz_mode="aware",
    )
    with closing(client):
        of_clickhouse = seen(client.query_df(SQL))
    with closing(LakeAddress.parse(DUCKLAKE, tmp_path).attached(read_only=True)) as lake:
        lake.execute(f"USE {LAKE}")
        of_the_lake = seen(lake.sql(SQL).df())
    with duckdb.connect() as anybody:
        anybody.execute("SET TimeZone = 'UTC'")
        anybody.execute((tmp_path / "files" / "current.sql").read_text())
        of_files = seen(anybody.sql(SQL).df())

    assert len(of_the_copy) >= 2
    assert of_postgres == of_clickhouse == of_the_lake == of_files == of_the_copy
