"""How often a role looks for garbage in cycles: as rarely as its memory allows.

Whatever a push leaves behind is gone with its last reference; what is left for the collector to look through is the
program itself, some hundred thousand objects that never go away.
"""

import gc

YOUNG_OBJECTS = 10_000
"""New containers before the collector looks at them; CPython's 700 are a dozen pushes."""


def settle_garbage() -> None:
    """Call once a role is built: what there is now stays, and is never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
