"""Asks a running role how it is, at its admin port.

The rule: it needs nothing but the standard library, for `up` asks all day and shall be small.
"""

import json
import urllib.error
import urllib.request
from typing import Any, Final

from callweave.runtime import RoleEntry

DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens an admin port without a proxy, whatever the environment says."""


def ask_readiness(entry: RoleEntry) -> tuple[bool, str | None]:
    """Whether a role is ready, and if not, why; or what is wrong though it is."""
    answer = _ask(entry, "/health/ready")
    if isinstance(answer, str):
        return False, answer
    return answer["ready"], answer["reason"] or answer.get("degraded")


def ask_liveness(entry: RoleEntry) -> tuple[bool | None, str | None]:
    """Whether a role is live, and if not, why; None where it does not answer at all."""
    answer = _ask(entry, "/health/live")
    if isinstance(answer, str):
        return None, answer
    return answer["live"], answer["reason"]


def _ask(entry: RoleEntry, path: str) -> dict[str, Any] | str:
    """The answer, whatever its status; or why there is none."""
    try:
        with DIRECT.open(f"{entry.admin_url}{path}", timeout=5) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as exc:
        answer = json.load(exc)
    except OSError as exc:
        return f"its admin port does not answer: {exc}"
    return answer
