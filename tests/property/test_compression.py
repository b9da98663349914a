"""Batches that the kept compressor wrote are read as any other, whatever was compressed before them."""

import cramjam
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from ingest.compression import keep_compressor

ZSTD = 4
VALUES = st.lists(st.binary(max_size=2000) | st.binary(min_size=1, max_size=20).map(lambda piece: piece * 500))


@pytest.fixture(autouse=True)
def _kept() -> None:
    keep_compressor()


@given(st.lists(VALUES.filter(bool), max_size=5))
def test_a_batch_is_read_as_it_was_appended(batches: list[list[bytes]]) -> None:
    for values in batches:
        read = MemoryRecords(bytes(batch_of(values))).next_batch()
        assert read is not None
        assert [record.value for record in read] == values


def test_aiokafkas_own_compressor_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def unasked(*_: object, **__: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(cramjam.zstd, "compress", unasked)
    value = b"a value that repeats itself " * 50
    assert len(batch_of([value])) < len(value)


def batch_of(values: list[bytes]) -> bytearray:
    """A batch as a producer sends it."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=ZSTD, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1_000_000,
    )  # fmt: skip
    for offset, value in enumerate(values):
        assert builder.append(offset, None, b"key", value, []) is not None
    return builder.build()
