"""Finds the few items that a batch fails on, by halving: one bad item among a thousand costs about twenty attempts."""

from collections.abc import Callable


def refused(count: int, attempt: Callable[[int, int], str | None]) -> dict[int, str]:
    """Positions that fail alone, with the reason. `attempt(start, stop)` tries a slice and says why it failed."""
    found: dict[int, str] = {}
    slices = [(0, count)] if count else []
    while slices:
        start, stop = slices.pop()
        reason = attempt(start, stop)
        if reason is None:
            continue
        if stop - start == 1:
            found[start] = reason
            continue
        middle = (start + stop) // 2
        slices += [(middle, stop), (start, middle)]
    return found
