"""Where a source partition is read from: what the state says, unless that cannot be true any more."""

import pytest
from faust.types import TP

from streams.engine.positions import (
    NotPositionsError,
    by_partition,
    decode_positions,
    encode_positions,
    is_session_key,
    positions_of,
    start_offset,
    store_key,
)


@pytest.mark.parametrize("committed", [0, 30, 50, 80])
def test_the_state_decides_and_not_the_commit(committed: int) -> None:
    assert start_offset(50, committed=committed, earliest=0, end=100) == (50, None)


def test_a_partition_that_the_state_does_not_know_is_read_from_its_beginning_whatever_was_committed() -> None:
    assert start_offset(None, committed=70, earliest=20, end=100) == (20, None)


def test_a_topic_that_was_made_anew_is_read_from_its_beginning() -> None:
    """Kafka deletes a topic's commits with it; the new one may already be longer than the old one was."""
    start, problem = start_offset(50, committed=None, earliest=0, end=100)
    assert start == 0
    assert problem is not None


def test_a_topic_that_ends_before_the_state_is_read_from_its_beginning() -> None:
    start, problem = start_offset(50, committed=50, earliest=0, end=49)
    assert start == 0
    assert problem is not None


def test_records_deleted_before_they_were_read_are_told() -> None:
    start, problem = start_offset(50, committed=50, earliest=51, end=100)
    assert start == 51
    assert problem is not None


def test_a_new_group_on_a_new_topic_is_no_problem() -> None:
    assert start_offset(0, committed=None, earliest=0, end=100) == (0, None)


def test_positions_survive_their_encoding() -> None:
    positions = {"tccc.record": 9, "tccc.cdr": 2**40}
    assert decode_positions(encode_positions(positions)) == positions


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"tccc.cdr":-1}', b'{"tccc.cdr":"5"}', b'{"tccc.cdr":true}', b"\xff"])
def test_anything_else_says_no_position(raw: bytes) -> None:
    with pytest.raises(NotPositionsError):
        decode_positions(raw)


def test_the_header_is_found_among_others() -> None:
    assert positions_of([("traceparent", b"00"), ("callweave-read", b"{}")]) == b"{}"
    assert positions_of([("traceparent", b"00")]) is None
    assert positions_of(None) is None


def test_no_session_has_a_key_of_the_engine() -> None:
    assert is_session_key(b"1400000000:abc")
    assert not is_session_key(store_key(3))
    assert not is_session_key(b"__faust\0offset__")


def test_positions_are_grouped_by_the_partitions_that_a_batch_touched() -> None:
    offsets = {TP("tccc.cdr", 0): 5, TP("tccc.record", 0): 6, TP("tccc.cdr", 1): 7}
    assert by_partition(offsets, {0, 2}) == {0: {"tccc.cdr": 5, "tccc.record": 6}, 2: {}}
