"""`kill -9` at any instruction: everything that was answered is in Kafka in the end, in the order in which it came."""

import random
from pathlib import Path

import pytest

from ingest.spool_file import look_into
from tests.faults.spool_trials import kill_after, start, started_file

KILLS = 60


def lines_of(path: Path) -> list[str]:
    # The last line of a process that was killed may be cut short; then nobody was told.
    return path.read_text().split("\n")[:-1] if path.exists() else []


def drain(folder: Path) -> None:
    process = start(folder, 0, until_empty=True)
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.timeout(600)
def test_everything_that_was_answered_is_in_kafka_after_dozens_of_kills(tmp_path: Path) -> None:
    chance = random.Random(13)
    for trial in range(KILLS):
        # Every fourth one may be killed while it still opens what the last one left.
        started = started_file(tmp_path, trial) if trial % 4 else None
        kill_after(start(tmp_path, trial), chance.uniform(0.0, 0.06), started)
    answered = lines_of(tmp_path / "answers")
    spooled_at_the_last_kill = look_into(tmp_path / "spool").entries
    drain(tmp_path)

    in_kafka = lines_of(tmp_path / "kafka")
    assert set(answered) - set(in_kafka) == set()
    assert look_into(tmp_path / "spool").entries == 0
    # The trials were no formality: pushes were answered, spooled, and left behind by those that were killed.
    assert len(answered) > KILLS
    assert spooled_at_the_last_kill > 0
    assert not list((tmp_path / "spool").glob("*set-aside*"))


@pytest.mark.parametrize("moment", ["before it is sent", "after it is acknowledged"])
def test_a_drainer_that_is_killed_around_kafkas_acknowledgement_repeats_and_never_loses(
    tmp_path: Path, moment: str
) -> None:
    for trial in range(10, 14):
        kill_after(start(tmp_path, trial), 0.05, started_file(tmp_path, trial))
    answered = set(lines_of(tmp_path / "answers"))
    before = look_into(tmp_path / "spool").entries
    assert before > 0
    for _ in range(3):
        process = start(tmp_path, 0, dies=moment)
        process.join(30)
        assert process.exitcode == -9
        assert look_into(tmp_path / "spool").entries == before
    drain(tmp_path)

    in_kafka = lines_of(tmp_path / "kafka")
    assert answered <= set(in_kafka)
    assert (len(in_kafka) > len(set(in_kafka))) or moment == "before it is sent"
