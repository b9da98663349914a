"""Scenarios that a support engineer can write: pushes as they came, sessions and dead letters as they should be.

A scenario is a folder: `pushes.jsonl` (one delivery a line: at, in milliseconds; published, if later; action; headers;
body, or raw text), `sessions.json`, `dead_letters.json`, `README.md`. `make golden-update` rewrites the two; the diff
is the review.
"""

import json
import random
from pathlib import Path

import pytest

from tests.support.golden import SCENARIOS, deliveries, run


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
