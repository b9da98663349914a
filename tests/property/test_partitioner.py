"""Our partitioner and aiokafka's: the same partition for every key, or a session's events part."""

from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as theirs
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.partitioner import murmur2, partition_of


@given(st.binary(max_size=200))
@example(b"")
@example(b"1400000001:6f1b0d7a-4c5c-4bb6-8a5d-2d8b5f6b7c11")
def test_a_key_has_the_hash_that_kafka_gives_it(key: bytes) -> None:
    assert murmur2(key) == theirs(key)


@given(st.binary(max_size=200), st.integers(min_value=1, max_value=100))
def test_a_key_is_put_where_every_other_client_puts_it(key: bytes, count: int) -> None:
    partitions = list(range(count))
    assert partition_of(key, partitions, partitions) == DefaultPartitioner()(key, partitions, partitions)
