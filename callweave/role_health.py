"""Asks a running role how it is, at its admin port.

The rule: it needs nothing but the standard library, for `up` asks all day and shall be small.
"""

import json
import urllib.error
import urllib.request
from typing import Final

from callweave.runtime import RoleEntry

DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens an admin port without a proxy, whatever the environment says."""


def ask_readiness(entry: RoleEntry) -> tuple[bool, str | None]:
    """Whether a role is ready, and if not, why; or what is wrong though it is."""
    try:
        with DIRECT.open(f"{entry.admin_url}/health/ready", timeout=5) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as exc:
        answer = json.load(exc)
    except OSError as exc:
        return False, f"its admin port does not answer: {exc}"
    return answer["ready"], answer["reason"] or answer.get("degraded")


def ask_liveness(entry: RoleEntry) -> tuple[bool | None, str | None]:
    """Whether a role is live, and if not, why; None where it does not answer at all."""
    try:
        with DIRECT.open(f"{entry.admin_url}/health/live", timeout=5) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as exc:
        answer = json.load(exc)
    except OSError as exc:
        return None, f"its admin port does not answer: {exc}"
    return answer["live"], answer["reason"]
