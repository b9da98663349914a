"""The collector of cycles, once a role is built."""

import gc
from collections.abc import Iterator

import pytest

from callweave.garbage import YOUNG_OBJECTS, YOUNG_OBJECTS_OF_HAULS, settle_garbage


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.parametrize("young_objects", [YOUNG_OBJECTS, YOUNG_OBJECTS_OF_HAULS])
def test_what_is_built_is_not_looked_through_again_and_cycles_made_later_still_go(young_objects: int) -> None:
    settle_garbage(young_objects)
    assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_threshold()[0] == young_objects

    class Node:
        gone = 0

        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            Node.gone += 1

    for _ in range(2 * young_objects):
        Node()
    assert Node.gone > 0
