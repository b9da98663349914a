"""DuckDB's extensions, loaded from the wheels that bring them (`callweave[ducklake]`): nothing is downloaded.

The rule: a signed file beside our own code, of the very version of the engine; else what `INSTALL` left in the user's
directory; else one sentence that says what to do.
"""

from importlib.util import find_spec
from pathlib import Path

import duckdb

from sinks.ddl import literal
from sinks.sink import MisconfiguredError


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """LOAD one extension. Raises MisconfiguredError where it cannot be had."""
    file = _in_its_wheel(name)
    try:
        connection.execute(f"LOAD {literal(str(file)) if file else name}")
    except duckdb.Error as exc:
        raise MisconfiguredError(
            f"DuckDB {duckdb.__version__} finds no extension {name} of its version: pip install 'callweave[ducklake]', "
            f"which brings it for DuckDB 1.5.5, or run INSTALL {name} in DuckDB on this machine"
        ) from exc


def _in_its_wheel(name: str) -> Path | None:
    spec = find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    return file if file.exists() else None
