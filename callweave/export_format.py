"""What an export can be written as; by itself, for the command line reads it before it needs a warehouse's library."""

from enum import StrEnum


class Format(StrEnum):
    """What the files are."""

    PARQUET = "parquet"
    CSV = "csv"
