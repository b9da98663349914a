"""For how long a record waits: never too small, whatever was read and whenever somebody looked."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.lag import LagWatch


@given(
    published=st.lists(st.integers(1, 50), min_size=1, max_size=30),
    looks=st.lists(st.tuples(st.integers(0, 1600), st.integers(0, 30)), min_size=1, max_size=20),
)
def test_the_lag_is_never_smaller_than_the_age_of_the_first_unread_record(published, looks):
    """Records come one after another; a reader reads some, and somebody looks at any moment."""
    times = [float(sum(published[: count + 1])) for count in range(len(published))]
    watch: LagWatch[str] = LagWatch()
    read, has_read_or_was_even, now = 0, False, 0.0
    for later, more in sorted(looks):
        now = max(now, float(later))
        end = sum(time <= now for time in times)
        reads_to = min(end, read + more)
        if reads_to > read:
            watch.note_read({"p": times[reads_to - 1]})
            read, has_read_or_was_even = reads_to, True
        lag = watch.seconds("p", waiting=end - read, now=now)
        if end == read:
            has_read_or_was_even = True
            assert lag == 0
        elif has_read_or_was_even:
            assert lag >= now - times[read]


def test_a_record_that_comes_after_a_quiet_night_has_not_waited_all_night():
    watch: LagWatch[str] = LagWatch()
    watch.note_read({"p": 1_000.0})
    assert watch.seconds("p", waiting=0, now=40_000.0) == 0

    assert watch.seconds("p", waiting=1, now=40_015.0) == 15


def test_before_anything_is_known_the_first_look_begins_the_count():
    watch: LagWatch[str] = LagWatch()

    assert [watch.seconds("p", waiting=9, now=now) for now in (100.0, 130.0)] == [0, 30]
