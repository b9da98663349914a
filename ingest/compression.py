"""Compresses the producer's batches with one zstd compressor that stays: aiokafka makes another for each batch, which
costs five times what the work does, as the door's batches are of a record or two.

The rule: what any client reads is what was appended, whatever was compressed before it.
"""

import sys

from aiokafka.record import default_records as pure
from aiokafka.record.default_records import DefaultRecordBatchBuilder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL = 3  # aiokafka's


def keep_compressor() -> None:
    """From now on, for every producer of this process (there is no public way; the version is pinned for it)."""
    compressor = zstd.ZstdCompressor(_LEVEL)

    def encode(data: bytes) -> bytes:
        return compressor.compress(data, zstd.ZstdCompressor.FLUSH_FRAME)

    for module in (pure, sys.modules[DefaultRecordBatchBuilder.__module__]):  # the second is compiled, where it can be
        vars(module)["zstd_encode"] = encode
