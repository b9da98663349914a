"""From WAREHOUSE__URL to the warehouse it names. Drivers are imported only when their warehouse is chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypedDict
from urllib.parse import unquote

from sinks.ddl import literal
from sinks.kpi.rules import NOBODY_HAS_SAID, KpiRules
from sinks.sink import MisconfiguredError, Reader, Sink

_KNOWN: Final = "duckdb:///, postgresql://, clickhouse://, ducklake: or parquet:///"
_POSTGRES: Final = ("postgresql://", "postgres://")


class _Options(TypedDict):
    """What every sink is told."""

    recording_deadline_seconds: int
    may_migrate: bool
    kpi_rules: Sequence[KpiRules]


def open_sink(
    url: str,
    *,
    data_dir: Path,
    recording_deadline_seconds: int,
    may_migrate: bool = True,
    kpi_rules: Sequence[KpiRules] = NOBODY_HAS_SAID,
) -> Sink:
    """The sink that `url` names; nothing is connected before its `open`. A relative file lies in `data_dir`.

    may_migrate: whether opening upgrades a warehouse that is not laid out as it must be; else it refuses.
    """
    options: _Options = {
        "recording_deadline_seconds": recording_deadline_seconds,
        "may_migrate": may_migrate,
        "kpi_rules": kpi_rules,
    }
    if url.startswith("duckdb:"):
        from sinks.duckdb import DuckDbSink  # noqa: PLC0415 - see the module's docstring

        path = _file(url, data_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        return DuckDbSink(path, **options)
    if url.startswith(_POSTGRES):
        _need_psycopg()
        from sinks.postgres import PostgresSink  # noqa: PLC0415

        return PostgresSink(url, **options)
    if url.startswith("ducklake:"):
        from sinks.ducklake import DuckLakeSink  # noqa: PLC0415
        from sinks.ducklake_address import LakeAddress  # noqa: PLC0415

        address = LakeAddress.parse(url, data_dir)
        return DuckLakeSink(address, **options)
    if url.startswith("parquet:"):
        from sinks.parquet import ParquetSink  # noqa: PLC0415

        return ParquetSink(_folder(url, data_dir), **options)
    if url.startswith("clickhouse:"):
        _need_clickhouse_connect()
        from sinks.clickhouse import ClickHouseSink  # noqa: PLC0415

        return ClickHouseSink(url, **options)
    raise MisconfiguredError(_unknown(url))


def open_reader(url: str, *, data_dir: Path) -> Reader:
    """Read-only access without a loader. A DuckDB file that a loader has open raises SinkUnavailableError."""
    if url.startswith("duckdb:"):
        from sinks.duckdb_query import DuckDbReader  # noqa: PLC0415

        return DuckDbReader(_file(url, data_dir))
    if url.startswith(_POSTGRES):
        _need_psycopg()
        from sinks.postgres_query import PostgresReader  # noqa: PLC0415
        from sinks.postgres_session import Address  # noqa: PLC0415

        return PostgresReader(Address(url))
    if url.startswith("ducklake:"):
        from sinks.ducklake_address import LakeAddress  # noqa: PLC0415
        from sinks.ducklake_query import DuckLakeReader  # noqa: PLC0415

        return DuckLakeReader(LakeAddress.parse(url, data_dir))
    if url.startswith("parquet:"):
        from sinks.parquet_query import ParquetReader  # noqa: PLC0415

        return ParquetReader(_folder(url, data_dir))
    if url.startswith("clickhouse:"):
        _need_clickhouse_connect()
        from sinks import clickhouse_session  # noqa: PLC0415
        from sinks.clickhouse_query import ClickHouseReader  # noqa: PLC0415

        return ClickHouseReader(clickhouse_session.Address(url))
    raise MisconfiguredError(_unknown(url))


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a warehouse's SQL spells what its dialects disagree about."""

    text: Callable[[str], str]
    instant: Callable[[datetime], str]
    by_bytes: str = ""
    """After a text that is to be ordered by its bytes."""


def spelling_of(url: str) -> Spelling:
    """The spelling of the warehouse that `url` names."""
    if url.startswith("clickhouse:"):
        from sinks import clickhouse_sql  # noqa: PLC0415

        return Spelling(clickhouse_sql.text_literal, clickhouse_sql.instant_literal)
    return Spelling(literal, _instant, ' COLLATE "C"' if url.startswith(_POSTGRES) else "")


def _instant(moment: datetime) -> str:
    return f"CAST('{moment.astimezone(UTC).isoformat()}' AS TIMESTAMP WITH TIME ZONE)"


def _file(url: str, data_dir: Path) -> Path:
    prefix, _, path = url.partition(":///")
    if prefix != "duckdb" or not path or path.endswith("/"):
        raise MisconfiguredError("WAREHOUSE__URL names no DuckDB file: write duckdb:///relative or duckdb:////absolute")
    return data_dir / unquote(path)


def _folder(url: str, data_dir: Path) -> Path:
    prefix, _, path = url.partition(":///")
    if prefix != "parquet" or not path.strip("/"):
        raise MisconfiguredError("WAREHOUSE__URL names no folder: write parquet:///relative or parquet:////absolute")
    return (data_dir / unquote(path)).absolute()


def _need_psycopg() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415
    except ImportError as exc:
        raise MisconfiguredError(
            "WAREHOUSE__URL is a Postgres address and its driver is not installed: pip install 'callweave[postgres]'"
        ) from exc


def _need_clickhouse_connect() -> None:
    try:
        import clickhouse_connect  # noqa: F401, PLC0415
    except ImportError as exc:
        raise MisconfiguredError(
            "WAREHOUSE__URL is a ClickHouse address and its driver is not installed: "
            "pip install 'callweave[clickhouse]'"
        ) from exc


def _unknown(url: str) -> str:
    # Only the scheme is repeated: the rest may hold a password.
    scheme = url.partition(":")[0] if ":" in url else "nothing"
    return f"WAREHOUSE__URL begins with {scheme[:20]!r}: use {_KNOWN}"
