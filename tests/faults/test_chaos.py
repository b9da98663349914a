"""A short `make chaos`: faults strike real processes while pushes come, and nothing that was answered is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.chaos import report
from tests.faults.chaos.performance import Options, perform
from tests.faults.chaos.stage import clear

SEED = 20
SECONDS = 30.0


@pytest.mark.services
@pytest.mark.timeout(600)
async def test_nothing_that_was_answered_is_lost_whatever_strikes(tmp_path: Path) -> None:
    said: list[str] = []
    options = Options(
        seed=SEED,
        seconds=SECONDS,
        warehouses=("duckdb", "postgres"),
        folder=tmp_path / "run",
        rate=50.0,
        pace_seconds=3.0,
    )

    outcome = await perform(options, said.append)

    told = "\n".join([*said, *report.lines(outcome)])
    assert outcome.is_clean, told
    assert len(outcome.struck) == len(outcome.plan) >= 6, told
    assert outcome.acknowledged >= 300, told
    for judgement in outcome.judgements.values():
        assert judgement.pushes_found == judgement.pushes_acknowledged == outcome.acknowledged, told
        assert judgement.sessions_compared >= 100, told
    clear(options.folder)


def test_every_breakage_of_the_proof_still_finds_what_it_breaks() -> None:
    code = "from tests.faults.chaos.sabotage import SABOTAGES\nfor sabotage in SABOTAGES.values(): sabotage.commit()\n"

    broken = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)

    assert broken.returncode == 0, broken.stderr
