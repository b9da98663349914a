"""Where the simulator's chance comes from: named streams of one seed, so that one more fault moves nothing else."""

import random
import uuid


def chance(seed: int, *names: str | int) -> random.Random:
    """Give the stream of that name; the same seed and names always give the same numbers."""
    return random.Random(":".join(str(name) for name in (seed, *names)))  # noqa: S311 - calls are drawn, not secrets


def draw_uuid(stream: random.Random) -> str:
    """Draw a UUID of version 4 from a stream."""
    return str(uuid.UUID(int=stream.getrandbits(128), version=4))
