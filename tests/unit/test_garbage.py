"""The collector of cycles, once a role is built."""

import gc
from collections.abc import Iterator

import pytest

from callweave.garbage import YOUNG_OBJECTS, settle_garbage


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_is_built_is_not_looked_through_again_and_cycles_made_later_still_go() -> None:
    settle_garbage()
    assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_threshold()[0] == YOUNG_OBJECTS

    class Node:
        gone = 0

        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            Node.gone += 1

    for _ in range(2 * YOUNG_OBJECTS):
        Node()
    assert Node.gone > 0
