"""The circuit breaker: when it stops a role, and when it does not."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.breaker import Breaker, BreakerLimits

LIMITS = BreakerLimits(in_a_row_max=3, percent_max=50, window_records=8)


def test_more_than_the_limit_in_a_row_stops_and_the_limit_itself_does_not() -> None:
    assert Breaker(LIMITS).after([True] * 3).tripped is None
    assert "4 records in a row" in str(Breaker(LIMITS).after([True] * 4).tripped)


def test_a_good_record_begins_the_row_anew() -> None:
    assert Breaker(LIMITS).after([True, True, True, False, True]).tripped is None


def test_more_than_the_share_of_a_full_window_stops() -> None:
    mixed = [True, False, True, True, False, True, True]

    assert Breaker(LIMITS).after(mixed).tripped is None
    assert "5 of the last 8 records" in str(Breaker(LIMITS).after([*mixed, False]).tripped)


def test_the_share_itself_does_not_stop() -> None:
    assert Breaker(LIMITS).after([True, False] * 100).tripped is None


def test_a_hundred_percent_turns_the_share_off() -> None:
    limits = BreakerLimits(in_a_row_max=10**6, percent_max=100, window_records=4)

    assert Breaker(limits).after([True] * 1000).tripped is None


def test_the_sentence_says_what_to_do() -> None:
    sentence = str(Breaker(LIMITS).after([True] * 9).tripped)

    assert "offsets are unmoved" in sentence
    assert "dead-letters list" in sentence
    assert "DEAD_LETTERS__IN_A_ROW_MAX" in sentence


@given(st.lists(st.booleans(), max_size=60), st.data())
def test_it_does_not_matter_how_records_were_cut_into_batches(verdicts: list[bool], data: st.DataObject) -> None:
    whole = Breaker(LIMITS).after(verdicts)
    cut = Breaker(LIMITS)
    rest = verdicts
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        cut, rest = cut.after(rest[:size]), rest[size:]

    assert cut.tripped == whole.tripped
    if whole.tripped is None:
        assert cut == whole


@given(st.lists(st.booleans(), max_size=60))
def test_it_stops_exactly_when_a_plain_count_says_so(verdicts: list[bool]) -> None:
    def too_many(upto: int) -> bool:
        seen = verdicts[:upto]
        row = 0
        while row < len(seen) and seen[-1 - row]:
            row += 1
        last = seen[-8:]
        return row > 3 or (len(last) == 8 and sum(last) > 4)

    stops = any(too_many(upto) for upto in range(1, len(verdicts) + 1))

    assert (Breaker(LIMITS).after(verdicts).tripped is not None) == stops
