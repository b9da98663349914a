"""The laws of a full door: never more inside than there are places, first come first in, nobody waits beyond the bound,
and everybody who came is let in, turned away or gone, once."""

import asyncio
from collections.abc import Callable
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from ingest.room import TURNED_AWAY_AT_ONCE, Room

PLACES, WAIT_SECONDS = 2, 1.0
ARRIVE, LEAVE, GO, TURN, PASS = "arrive", "leave", "go", "turn", "pass"

STEPS = st.lists(
    st.sampled_from([(ARRIVE, 0.0), (ARRIVE, 0.0), (LEAVE, 0.0), (GO, 0.0), (TURN, 0.0)])
    | st.tuples(st.just(PASS), st.sampled_from([0.0, 0.4, 0.6, 1.0, 5.0])),
    max_size=TURNED_AWAY_AT_ONCE,
)


class Loop:
    """An event loop whose clock a test winds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._soon: list[Callable[[], None]] = []
        self._later: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, job: Callable[[], None]) -> None:
        self._soon.append(job)

    def call_at(self, when: float, job: Callable[[], None]) -> object:
        self._later.append((when, job))
        return job

    def turn(self) -> None:
        while self._soon:
            self._soon.pop(0)()

    def pass_by(self, seconds: float) -> None:
        until = self.now + seconds
        while due := sorted((entry for entry in self._later if entry[0] <= until), key=lambda entry: entry[0]):
            self._later.remove(due[0])
            self.now = max(self.now, due[0][0])
            due[0][1]()
            self.turn()
        self.now = until


class House:
    """A room, and what became of each guest."""

    def __init__(self) -> None:
        self.loop = Loop()
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.room = Room(PLACES, wait_seconds_max=WAIT_SECONDS, loop=loop)
        self.guests: list[Guest] = []
        self.entered: list[Guest] = []

    def with_fate(self, fate: str) -> "list[Guest]":
        return [guest for guest in self.guests if guest.fate == fate]


class Guest:
    def __init__(self, house: House) -> None:
        self._house = house
        self.came_at = house.loop.now
        self.fate = "waits"
        house.guests.append(self)
        if house.room.has_some:
            self.enter()
        else:
            house.room.wait(self)

    def enter(self) -> None:
        assert self.fate == "waits"
        self.fate = "inside"
        self._house.room.enter()
        self._house.entered.append(self)

    def turn_away(self) -> None:
        assert self.fate == "waits"
        assert self._house.loop.now >= self.came_at + WAIT_SECONDS
        self.fate = "turned away"


@given(STEPS)
def test_whoever_comes_is_let_in_in_order_or_turned_away_in_time(steps: list[tuple[str, float]]) -> None:
    house = House()
    for step, seconds in steps:
        inside, waiting = house.with_fate("inside"), house.with_fate("waits")
        if step == ARRIVE:
            Guest(house)
        elif step == LEAVE and inside:
            inside[0].fate = "served"
            house.room.leave()
        elif step == GO and waiting:
            waiting[-1].fate = "gone"
            house.room.forget(waiting[-1])
        elif step == PASS:
            house.loop.pass_by(seconds)
        elif step == TURN:
            house.loop.turn()

        inside, waiting = house.with_fate("inside"), house.with_fate("waits")
        assert len(inside) <= PLACES
        assert not waiting or len(inside) == PLACES or step != TURN
        assert all(house.loop.now <= guest.came_at + WAIT_SECONDS for guest in waiting)
        assert house.entered == sorted(house.entered, key=house.guests.index)
        assert house.room.has_some == (len(inside) < PLACES and not waiting)
        assert house.room.is_empty == (not inside and not waiting)


def test_a_crowd_is_turned_away_a_few_at_a_time_and_whoever_is_left_may_yet_enter() -> None:
    house = House()
    for _ in range(PLACES + 3 * TURNED_AWAY_AT_ONCE):
        Guest(house)

    house.loop.pass_by(WAIT_SECONDS)
    at_first = len(house.with_fate("turned away"))
    house.entered[0].fate = "served"
    house.room.leave()
    house.loop.turn()
    house.loop.pass_by(WAIT_SECONDS)

    assert at_first == TURNED_AWAY_AT_ONCE
    assert house.entered[-1] is house.guests[PLACES + TURNED_AWAY_AT_ONCE]
    assert len(house.with_fate("turned away")) == 3 * TURNED_AWAY_AT_ONCE - 1
    assert house.with_fate("waits") == []
