"""Corrections and what came of them as JSON, between `callweave rebuild` and the loader that owns the warehouse."""

import base64
from collections.abc import Sequence
from typing import Any

from sinks.correcting import Corrected, Correction
from sinks.rows import SessionKey


def corrections_to_json(corrections: Sequence[Correction]) -> list[list[str | None]]:
    """For the loader."""
    return [
        [base64.b64encode(item.key).decode(), base64.b64encode(item.value).decode(), item.digest]
        for item in corrections
    ]


def corrections_from_json(asked: Any) -> list[Correction]:
    """At the loader; ValueError, KeyError or TypeError where they are none."""
    return [
        Correction(base64.b64decode(key), base64.b64decode(value), digest)
        for key, value, digest in asked["corrections"]
    ]


def corrected_to_json(corrected: Corrected) -> dict[str, Any]:
    """The loader's answer."""
    return {
        "applied": [list(key) for key in sorted(corrected.applied)],
        "refused": [[*key, reason] for key, reason in corrected.refused.items()],
    }


def corrected_from_json(answer: dict[str, Any]) -> Corrected:
    """The answer, read."""
    return Corrected(
        frozenset(SessionKey(app, session) for app, session in answer["applied"]),
        {SessionKey(app, session): reason for app, session, reason in answer["refused"]},
    )
