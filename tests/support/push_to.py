"""One push, as TCCC makes it: POST, and what was answered."""

import json
import urllib.error
import urllib.request
from typing import Any


def push(
    url: str, body: bytes, *, push_id: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Status and answer."""
    sent = {**({"X-TCCC-PUSH-UUID": push_id} if push_id else {}), **(headers or {})}
    request = urllib.request.Request(url, data=body, headers=sent)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)
