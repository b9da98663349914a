"""`schemas.keyed`'s records by the suffix of their topic, which is the name of their table; how they are read."""

from typing import Final

from pydantic import ValidationError

from schemas import jsontext
from schemas.archive import ARCHIVE_RECORDS
from schemas.enrichment import ENRICHMENT_RECORDS
from schemas.keyed import KeyedRecord

RECORDS: Final[dict[str, type[KeyedRecord]]] = {**ENRICHMENT_RECORDS, **ARCHIVE_RECORDS}

_NUL = b"\\u0000"


class NotARecordError(ValueError):
    """A value of one of these topics that is no record of it. The message says what is wrong, without its values."""


def decode_keyed(suffix: str, key: bytes | None, value: bytes) -> KeyedRecord:
    """Read a Kafka record. Raises NotARecordError."""
    record = read_keyed(suffix, value)
    # The topic is compacted by key: under a wrong one, a record would outlive or remove another row's.
    if record.key != key:
        raise NotARecordError("the record's key is not that of its row")
    return record


def read_keyed(suffix: str, value: bytes) -> KeyedRecord:
    """Read a value, where no record carries its key. Raises NotARecordError."""
    if _NUL in value:
        raise NotARecordError("a text holds NUL, which no warehouse stores")
    try:
        return RECORDS[suffix].model_validate(jsontext.decode(value), strict=False)
    except (jsontext.NotJsonError, ValidationError) as exc:
        raise NotARecordError(f"the value is no record of {suffix} that this version knows") from exc
