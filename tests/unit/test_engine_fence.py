"""The fence: whoever stood still for longer than a session writes nothing any more."""

import pytest

from streams.engine.fence import SessionFence
from streams.engine.halt import ExitStatus
from tests.support.engine import ProcessGoneError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_that_stood_still_for_longer_than_its_session_ends(exits: list[int]) -> None:
    clock = Clock()
    fence = SessionFence(10.0, 3.0, clock)
    fence.check()
    clock.now += 7.1  # the last heartbeat may have been sent three seconds before the pause
    with pytest.raises(ProcessGoneError):
        fence.check()
    assert exits == [ExitStatus.RESTART]


def test_a_shorter_pause_is_nobodys_business(exits: list[int]) -> None:
    clock = Clock()
    fence = SessionFence(10.0, 3.0, clock)
    for _ in range(5):
        clock.now += 6.9
        fence.check()
    assert exits == []


def test_the_time_before_the_first_look_counts_for_nothing(exits: list[int]) -> None:
    clock = Clock()
    fence = SessionFence(10.0, 3.0, clock)
    clock.now += 60.0  # a slow start
    fence.check()
    assert exits == []
