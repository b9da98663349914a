"""The golden scenarios as pushes, and the pure harness that runs them."""

import json
from pathlib import Path
from typing import Any

from tests.support.harness import Harness

SCENARIOS = sorted(path.parent for path in (Path(__file__).parents[1] / "golden").glob("*/pushes.jsonl"))
START_MS = 1_700_000_000_000


def deliveries(scenario: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (scenario / "pushes.jsonl").read_text(encoding="utf-8").splitlines() if line]


def run(pushes: list[dict[str, Any]]) -> Harness:
    harness = Harness()
    for push in pushes:
        raw = push["raw"] if "raw" in push else json.dumps(push["body"], ensure_ascii=False)
        harness.pipe_push(
            raw.encode(),
            action=push.get("action"),
            headers=push.get("headers", {}),
            at_ms=START_MS + push["at"],
            published_ms=START_MS + push.get("published", push["at"]),
        )
    return harness
