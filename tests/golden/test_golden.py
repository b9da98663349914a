"""Scenarios that a support engineer can write: pushes as they came, sessions and dead letters as they should be.

A scenario is a folder: `pushes.jsonl` (one delivery a line: at, in milliseconds; action; headers; body, or raw text),
`sessions.json`, `dead_letters.json`, `README.md`. `make golden-update` rewrites the two; the diff is the review.
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Harness

FOLDER = Path(__file__).parent
SCENARIOS = sorted(path.parent for path in FOLDER.glob("*/pushes.jsonl"))
START_MS = 1_700_000_000_000


def deliveries(scenario: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (scenario / "pushes.jsonl").read_text(encoding="utf-8").splitlines() if line]


def run(pushes: list[dict[str, Any]]) -> Harness:
    harness = Harness()
    for push in pushes:
        raw = push["raw"] if "raw" in push else json.dumps(push["body"], ensure_ascii=False)
        harness.pipe_push(
            raw.encode(), action=push.get("action"), headers=push.get("headers", {}), at_ms=START_MS + push["at"]
        )
    return harness


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_scenario(scenario: Path, golden_update: bool) -> None:
    harness = run(deliveries(scenario))
    actual = {
        "sessions.json": harness.tables(),
        "dead_letters.json": [
            {"stage": letter.stage, "reason": letter.reason, "action": letter.action, "detail": letter.detail}
            for letter in harness.letters
        ],
    }
    assert (scenario / "README.md").read_text(encoding="utf-8").strip()
    for name, value in actual.items():
        text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        if golden_update:
            (scenario / name).write_text(text, encoding="utf-8")
        assert text == (scenario / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_no_other_order_of_processing_changes_the_scenario(scenario: Path) -> None:
    pushes = deliveries(scenario)
    as_received = run(pushes).tables()
    for seed in range(5):
        shuffled = list(pushes)
        random.Random(seed).shuffle(shuffled)

        assert run([*shuffled, *pushes[:1]]).tables() == as_received
