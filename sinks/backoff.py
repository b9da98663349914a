"""How long to wait before the next attempt: longer each time, and never in step with anybody else."""

import random
from collections.abc import Iterator


def delays(first_seconds: float, most_seconds: float) -> Iterator[float]:
    """Endless waits: doubling from `first_seconds` to `most_seconds`, each drawn from its upper half."""
    whole = first_seconds
    while True:
        yield whole * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        whole = min(whole * 2, most_seconds)
