"""Bounds the width and the depth of a decoded body before anything walks it: a small text can mean a lot of work.

Every value but the outermost stands behind a bracket or a comma, so counting those answers for nearly every push.
"""

from typing import Any


def is_too_wide(payload: Any, text: bytes, *, values_max: int) -> bool:
    """Whether a payload, decoded from this text, has more members and items than that."""
    if _brackets(text) + text.count(b",") <= values_max:
        return False
    count, level = 0, [payload]
    while level and count <= values_max:
        level = _inner(level)
        count += len(level)
    return count > values_max


def is_too_deep(payload: Any, text: bytes, *, depth_max: int) -> bool:
    """Whether its objects and arrays stand deeper in each other than that. Ask after its width."""
    if _brackets(text) <= depth_max:
        return False
    depth, level = 0, _containers([payload])
    while level and depth <= depth_max:
        depth += 1
        level = _containers(_inner(level))
    return depth > depth_max


def _brackets(text: bytes) -> int:
    return text.count(b"{") + text.count(b"[")


def _inner(level: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in level:
        if isinstance(value, dict):
            found += value.values()
        elif isinstance(value, list):
            found += value
    return found


def _containers(level: list[Any]) -> list[Any]:
    return [value for value in level if isinstance(value, (dict, list))]
