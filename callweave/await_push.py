"""`callweave doctor --await-push MINUTES`: waits for the first push after it was asked, and says what it shows.

It asks the receiver that runs on the data directory, through its admin port; what it shows is masked there.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from callweave.role_health import DIRECT
from callweave.runtime import RoleEntry, Runtime
from callweave.settings import MisconfiguredError, Settings
from ingest.habits import HABITS

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Awaited:
    """The first push that was let in, if one came; and the requests that were refused before it."""

    push: Mapping[str, Any] | None
    refusals: tuple[Mapping[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"push": self.push, "refusals": list(self.refusals)}

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.push is None:
            yield "no push came: look at the push address and its switch in TCCC's console (changes take five minutes)"
            return
        push = self.push
        yield f"the first push: {push['kind'] or 'of no kind that callweave uses'}, answered HTTP {push['status']}"
        yield f"  received at {push['received_at']}, {push['raw_bytes_count']} bytes, query {push['query']!r}"
        for name, value in push["headers"].items():
            yield f"  {name}: {value}"
        yield f"  {push['body'] if push['body'] is not None else 'a body that could not be opened'}"
        yield "what it says about TCCC's habits that nobody has documented (docs/going-live.md):"
        habits = push["habits"]
        yield from (f"  {habit}: {HABITS[habit][1]}" for habit in habits if habit in HABITS)
        if not habits:
            yield "  nothing out of the ordinary"


def await_push(settings: Settings, seconds: float, *, tell: Callable[[str], None]) -> Awaited:
    """Wait for a push; `tell` hears of requests that are refused meanwhile."""
    entry = Runtime(settings.data_dir).role("receiver")
    if entry is None or entry.admin_url is None:
        raise MisconfiguredError(
            f"no receiver runs on {settings.data_dir}: start `callweave up` or `callweave receiver`, or name its --data"
        )
    number = int(_ask(entry, 0)["number"])
    deadline = time.monotonic() + seconds
    refusals: list[Mapping[str, Any]] = []
    tell(f"waiting up to {seconds / 60:g} minutes for a push to {_without_query(entry.push_url)}; call your number now")
    while True:
        seen = _ask(entry, number)
        number = int(seen["number"])
        for refusal in seen["refusals"]:
            refusals.append(refusal)
            tell(_about(refusal))
        if seen["pushes"]:
            return Awaited(seen["pushes"][0], tuple(refusals))
        if time.monotonic() >= deadline:
            return Awaited(None, tuple(refusals))
        time.sleep(POLL_SECONDS)


def _ask(entry: RoleEntry, after: int) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310  (its own admin port, over http)
        f"{entry.admin_url}/pushes?after={after}", headers={"Authorization": f"Bearer {entry.token}"}
    )
    try:
        with DIRECT.open(request, timeout=5) as response:
            answer: dict[str, Any] = json.load(response)
    except (OSError, ValueError) as exc:
        raise MisconfiguredError(f"the receiver's admin port at {entry.admin_url} does not answer: {exc}") from exc
    return answer


def _about(refusal: Mapping[str, Any]) -> str:
    who = "with TCCC's header" if refusal["has_push_uuid"] else "without TCCC's header"
    brought = {
        "none": "brought no credentials",
        "basic": "brought a user and password that are not those of the settings",
        "bearer": "brought a token that is not accepted",
    }.get(refusal["scheme"], "brought credentials of another kind")
    return f"a request {who} was refused (HTTP {refusal['status']}): it {brought}"


def _without_query(url: str | None) -> str:
    return (url or "").partition("?")[0]
