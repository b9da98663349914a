from datetime import UTC, datetime, timedelta

from ingest.reconcile.windows import Asked, Hour, Timing, due_hours, is_due, unsettled_hours

APP = 1400000001
TIMING = Timing()
HOUR = Hour(490_000, APP)
MINUTE = timedelta(minutes=1)


def asked(minutes_after_its_end: float, *, is_final: bool = False, until: datetime | None = None) -> Asked:
    return Asked(HOUR.end + minutes_after_its_end * MINUTE, until or HOUR.end, is_final)


def due_minutes(known: Asked | None) -> list[int]:
    """At which minutes after its end the hour becomes due, being read each time."""
    minutes = []
    for minute in range(-50, 40 * 60):
        now = HOUR.end + minute * MINUTE
        if is_due(HOUR, known, TIMING, now):
            minutes.append(minute)
            known = Asked(now, TIMING.until(HOUR, now), TIMING.settles(HOUR, now))
    return minutes


def test_an_hour_is_read_while_it_lasts_then_again_as_its_calls_change_and_then_never_again() -> None:
    minutes = due_minutes(None)

    assert minutes[:4] == [-49, -44, -39, -34]
    assert [minute for minute in minutes if minute > 10] == [11, 15, 40, 130, 370, 490, 30 * 60 + 10]


def test_nothing_younger_than_the_lag_is_asked_for() -> None:
    now = HOUR.start + timedelta(minutes=25, microseconds=7)

    assert TIMING.until(HOUR, now) == HOUR.start + timedelta(minutes=15)
    assert not is_due(HOUR, None, TIMING, HOUR.start + timedelta(minutes=10))


def test_an_hour_that_was_missed_while_nobody_asked_is_read_once_for_all_its_steps() -> None:
    assert is_due(HOUR, asked(10), TIMING, HOUR.end + timedelta(days=3))
    assert TIMING.settles(HOUR, HOUR.end + timedelta(days=3))
    assert not is_due(HOUR, asked(3 * 24 * 60, is_final=True), TIMING, HOUR.end + timedelta(days=9))


def test_an_hour_whose_count_never_stands_still_is_asked_for_hourly() -> None:
    last = asked(31 * 60)

    assert not is_due(HOUR, last, TIMING, last.asked_at + timedelta(minutes=59))
    assert is_due(HOUR, last, TIMING, last.asked_at + timedelta(minutes=60))


def test_the_newest_hours_come_first_and_a_stop_longer_than_the_back_fill_leaves_no_gap() -> None:
    now = HOUR.start + timedelta(days=10)
    known = {HOUR: asked(31 * 60, is_final=True)}
    hours = list(due_hours(APP, known, back_fill=timedelta(days=1), timing=TIMING, now=now))

    assert hours == sorted(hours, reverse=True)
    assert len(hours) == 10 * 24 - 1  # all since the one that is final, the last one of which has nothing to read yet
    assert len(list(due_hours(APP, {}, back_fill=timedelta(days=1), timing=TIMING, now=now))) == 24


def test_an_old_hour_that_is_not_final_is_read_though_it_is_beyond_the_back_fill() -> None:
    now = HOUR.start + timedelta(days=30)
    newest = Hour(HOUR.epoch + 30 * 24 - 1, APP)
    known = {HOUR: asked(10), newest: Asked(now, newest.end, is_final=True)}
    hours = list(due_hours(APP, known, back_fill=timedelta(0), timing=TIMING, now=now))

    assert hours == [HOUR]


def test_a_back_fill_leaves_out_an_hour_that_has_nothing_to_read_yet() -> None:
    hour = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    for minutes, newest in ((9.0, 2), (10.0, 2), (10.1, 3)):
        now = hour + minutes * MINUTE
        hours = unsettled_hours(APP, {}, hour - timedelta(hours=5), now, timing=TIMING, now=now)
        assert max(hours).start.hour == newest, minutes


def test_a_back_fill_goes_as_far_as_the_api_tells_and_skips_what_is_final() -> None:
    now = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)
    first = now - timedelta(days=400)
    hours = unsettled_hours(APP, {}, first, now, timing=TIMING, now=now)
    known = {hour: Asked(now, hour.end, is_final=True) for hour in hours[100:]}

    assert hours[-1].start > now - timedelta(days=180)
    assert len(hours) == 180 * 24 - 1  # the oldest would be refused by the time of its last page
    assert unsettled_hours(APP, known, first, now, timing=TIMING, now=now) == hours[:100]
