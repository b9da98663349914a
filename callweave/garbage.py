"""How often a role looks for garbage in cycles: as rarely as its memory allows.

Whatever a push leaves behind is gone with its last reference; what is left for the collector to look through is the
program itself, some hundred thousand objects that never go away.
"""

import gc

YOUNG_OBJECTS = 10_000
"""New containers before the collector looks at them; CPython's 700 are a dozen pushes."""
YOUNG_OBJECTS_OF_HAULS = 250_000
"""In the loader: the documents of a haul are as many, are no cycles, and go with it; looking through them was a seventh
of reading them."""


def settle_garbage(young_objects: int = YOUNG_OBJECTS) -> None:
    """Call once a role is built: what there is now stays, and is never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(young_objects, 20, 20)
