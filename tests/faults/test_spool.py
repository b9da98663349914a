"""The spool in trouble: Kafka away, slow, refusing; a disk that is full, gone, damaged; a second receiver."""

import asyncio
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.push_log import LogEntry, LogUnavailable
from ingest.spool_file import FILE_NAME, SpoolTakenError, look_into
from schemas.dead_letter import Reason
from tests.support.spool import RECEIVED_AT, FickleLog, a_spool, an_entry, eventually, session_of

NAMES = [f"s{number:03}" for number in range(300)]


# Kafka away, slow, and back.


async def test_with_kafka_well_nothing_is_spooled(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "spool") as house:
        await house.append("a", "b")

        assert house.kafka.sessions == ["a", "b"]
        assert house.value("spooled_total") == 0
        assert (house.log.unready(), house.log.degraded()) == (None, None)


async def test_while_kafka_is_known_to_be_away_it_is_not_waited_for(tmp_path: Path) -> None:
    kafka = FickleLog(away="nobody there")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("a", "b")

        assert kafka.asked == 0
        assert house.log.unready() is None
        assert (house.log.degraded() or "").startswith("nobody there: pushes go to the spool; 2 pushes")
        assert (house.value("spool_entries"), house.value("spool_is_in_use")) == (2, 1)
        kafka.away = None
        await eventually(lambda: kafka.sessions == ["a", "b"])


async def test_a_kafka_that_does_not_answer_is_waited_for_once_and_then_not_asked_by_the_door(tmp_path: Path) -> None:
    kafka = FickleLog(hangs=True)
    async with a_spool(tmp_path / "spool", kafka, close_seconds_max=0.1) as house:
        await house.append("first")
        asked = kafka.asked
        await house.append("second", "third")

        # The drainer may be asking, with the first; nobody else is.
        assert kafka.asked <= asked + 1
        assert "did not acknowledge within 0.2 s" in (house.log.degraded() or "")
    assert look_into(tmp_path / "spool").entries == 3


async def test_pushes_that_came_together_go_to_the_spool_without_those_that_kafka_acknowledged(tmp_path: Path) -> None:
    kafka = FickleLog(refuses={"b"})
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("a", "b", "c")
        assert house.value("spooled_total") == 1
        assert kafka.sessions == ["a", "c"]
        kafka.refuses = set()
        await eventually(lambda: kafka.sessions == ["a", "c", "b"])


async def test_of_pushes_that_came_together_only_those_that_kafka_is_silent_about_wait_in_the_spool(
    tmp_path: Path,
) -> None:
    class SilentAboutOne(FickleLog):
        async def append_each(self, entries: Any, stored: Any) -> None:
            """Acknowledge all but the last, and say nothing more."""
            self.stored += entries[:-1]
            for place in range(len(entries) - 1):
                stored(place)
            await asyncio.Event().wait()

    kafka = SilentAboutOne()
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("a", "b", "c")
        assert house.value("spooled_total") == 1
        await eventually(lambda: kafka.sessions == ["a", "b", "c"])


async def test_once_the_drainer_got_something_through_pushes_go_to_kafka_again(tmp_path: Path) -> None:
    kafka = FickleLog(fails="broken pipe")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("a")
        kafka.fails = None
        await eventually(lambda: house.log.degraded() is None)
        await house.append("b")

        assert (kafka.sessions, house.value("spooled_total")) == (["a", "b"], 1)


async def test_what_was_spooled_reaches_kafka_in_order_of_arrival_in_batches_and_as_it_was(tmp_path: Path) -> None:
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        entries = [an_entry(name, at=RECEIVED_AT + timedelta(milliseconds=7)) for name in NAMES]
        entries.append(an_entry("with a letter", EndedTimestamp=-1))
        entries.append(entries[-1]._replace(event=None))
        for entry in entries:
            await house.log.append(entry)
        kafka.away = None
        await eventually(lambda: len(kafka.stored) == len(entries))

    assert kafka.stored == entries
    assert len(kafka.batches) < 10
    assert house.value("spool_drained_total") == len(entries)


async def test_many_pushes_share_one_commit(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "spool", FickleLog(away="down"), close_seconds_max=0.1) as house:
        await house.append(*NAMES)

        assert house.value("spool_commit_entries_sum") == len(NAMES)
        assert house.value("spool_commit_entries_count") < len(NAMES) / 4


async def test_an_answer_waits_for_the_commit_and_the_commit_for_the_disk(tmp_path: Path) -> None:
    """Nobody is told before: held back by a lock on the file, which stands for a slow disk."""
    async with a_spool(tmp_path / "spool", FickleLog(away="down"), close_seconds_max=0.1) as house:
        await house.append("a")
        with locked(house.directory / FILE_NAME):
            asking = asyncio.create_task(house.log.append(an_entry("b")))
            done, _ = await asyncio.wait([asking], timeout=0.2)
            assert not done
            assert look_into(house.directory).entries == 1
        await asking
        assert look_into(house.directory).entries == 2
        database = house.log._thread._file._database
        assert database is not None
        assert [database.execute(f"pragma {name}").fetchone()[0] for name in ("journal_mode", "synchronous")] == [
            "wal",
            2,  # FULL: every commit is fsynced
        ]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    yield
    other.execute("rollback")
    other.close()


async def test_what_kafka_refuses_holds_up_nobody_and_goes_when_the_topics_are_right(tmp_path: Path) -> None:
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        for name in ("a", "odd", "b"):
            await house.append(name)
        kafka.refuses.add("odd")
        kafka.away = None
        await eventually(lambda: kafka.sessions == ["a", "b"])
        await eventually(lambda: house.value("spool_refused_entries") == 1)
        assert "refuses 1 of them" in (house.log.degraded() or "")
        await house.append("c")
        assert kafka.sessions == ["a", "b", "c"]
        kafka.refuses.clear()
        await eventually(lambda: kafka.sessions == ["a", "b", "c", "odd"])
        await eventually(lambda: house.log.degraded() is None)


async def test_a_stop_drains_where_kafka_takes_it(tmp_path: Path) -> None:
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append(*NAMES)
        kafka.away = None

    assert sorted(kafka.sessions) == NAMES
    assert look_into(tmp_path / "spool").entries == 0


async def test_a_stop_while_kafka_is_away_keeps_everything_for_the_next_start(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "spool", FickleLog(away="down")) as house:
        await house.append(*NAMES)
    kafka = FickleLog()
    async with a_spool(tmp_path / "spool", kafka):
        await eventually(lambda: len(kafka.stored) == len(NAMES))

    assert sorted(kafka.sessions) == NAMES
    assert {entry.event.received_at for entry in kafka.stored if entry.event} == {RECEIVED_AT}


async def test_an_old_entry_raises_the_age_alarm_until_it_is_gone(tmp_path: Path) -> None:
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka, age_alarm_seconds=60) as house:
        await house.append("young", at=datetime.now(UTC))
        assert house.value("spool_is_old") == 0
        kafka.away = None
        await eventually(lambda: bool(kafka.stored))
        kafka.away = "down"
        await house.append("old", at=datetime.now(UTC) - timedelta(seconds=90))
        await eventually(lambda: house.value("spool_is_old") == 1)
        assert 90 <= house.value("spool_oldest_age_seconds") < 120
        kafka.away = None
        await eventually(lambda: house.value("spool_is_old") == 0)


# A disk that is full, gone or damaged.


async def test_a_full_spool_refuses_is_not_ready_and_takes_pushes_again_when_there_is_room(tmp_path: Path) -> None:
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka, bytes_max=100_000) as house:
        outcomes = await asyncio.gather(
            *(house.log.append(an_entry(name)) for name in NAMES[:100]), return_exceptions=True
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, LogUnavailable)]
        assert 0 < len(refused) < 100
        assert "down; the spool is full: " in str(refused[0])
        assert look_into(house.directory).entries == 100 - len(refused)
        assert house.value("spool_bytes") <= 100_000
        assert "down; the spool is full" in (house.log.unready() or "")

        kafka.away = None
        await eventually(lambda: house.log.unready() is None)
        kafka.away = "down"
        await eventually(lambda: house.value("spool_entries") == 0)
        await house.append("again")
    assert len(set(kafka.sessions)) == 100 - len(refused)


async def test_a_spool_that_cannot_take_it_asks_kafka_once_more(tmp_path: Path) -> None:
    kafka = FickleLog(fails="for now")
    async with a_spool(tmp_path / "spool", kafka, bytes_max=2**20) as house:
        house.log._thread.bytes_max = 0
        with pytest.raises(LogUnavailable, match="for now; the spool is full"):
            await house.append("lost for now")
        kafka.fails = None
        await house.append("a")

    assert kafka.sessions == ["a"]


async def test_no_space_left_is_refused_and_the_spool_recovers_by_itself(tmp_path: Path) -> None:
    """SQLite's own bound on pages gives its own error for a full disk, at the very places where a disk does."""
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("before")
        database = house.log._thread._file._database
        assert database is not None
        database.execute("vacuum")  # no free page is left in the file either
        pages = database.execute("pragma page_count").fetchone()[0]
        database.execute(f"pragma max_page_count = {pages + 1}")
        entries = [an_entry(name, UserRemark="x" * 20_000) for name in NAMES]
        outcomes = await asyncio.gather(*(house.log.append(entry) for entry in entries), return_exceptions=True)
        accepted = [name for name, outcome in zip(NAMES, outcomes, strict=True) if outcome is None]
        assert "database or disk is full" in str(outcomes[-1])
        assert "disk is full" in (house.log.unready() or "")
        database.execute("pragma max_page_count = 1000000")
        # Somebody made room; nothing else is needed.
        await eventually(lambda: house.log.unready() is None)
        await house.append("after")
        kafka.away = None
        await eventually(lambda: kafka.sessions[-1:] == ["after"])
    assert kafka.sessions == ["before", *accepted, "after"]


async def test_a_directory_that_is_taken_away_is_made_again_and_nothing_is_promised_to_the_old_file(
    tmp_path: Path,
) -> None:
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("a")
        house.directory.rename(tmp_path / "elsewhere")
        await house.append("b")
        assert look_into(house.directory).entries == 1


async def test_a_disk_that_cannot_be_written_is_said_and_kafka_alone_is_used_until_it_is_well(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where a directory should be")
    kafka = FickleLog()
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("a")
        assert kafka.sessions == ["a"]
        assert house.log.unready() is None
        await eventually(lambda: "cannot be used" in (house.log.degraded() or ""))
        assert house.value("spool_is_unavailable") == 1

        kafka.away = "down"
        with pytest.raises(LogUnavailable, match=r"down; the spool in .* cannot be used"):
            await house.append("b")
        assert "cannot be used" in (house.log.unready() or "")

        (tmp_path / "spool").unlink()
        await eventually(lambda: house.log.unready() is None)
        await house.append("c")
        kafka.away = None
        await eventually(lambda: kafka.sessions == ["a", "c"])


@pytest.mark.parametrize("damage", ["rubbish", "half", "zeros", "foreign", "page"])
async def test_a_damaged_file_is_set_aside_and_kept_and_the_receiver_starts(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_spool(tmp_path / "spool", FickleLog(away="down")) as house:
        await house.append(*NAMES)
    damage_file(tmp_path / "spool" / FILE_NAME, damage)
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("after")
        await eventually(lambda: house.value("spool_files_set_aside") == 1)
        assert "damaged spool files were set aside" in (house.log.degraded() or "")
        kafka.away = None
        await eventually(lambda: "after" in kafka.sessions)

    assert len(list((tmp_path / "spool").glob(f"{FILE_NAME}.set-aside-*"))) >= 1
    assert "spool_file_set_aside" in capsys.readouterr().out
    if damage == "page":  # what can be read of it is saved
        assert len(kafka.stored) > 100


def damage_file(path: Path, damage: str) -> None:
    whole = path.read_bytes()
    match damage:
        case "rubbish":
            path.write_bytes(b"no database at all " * 1000)
        case "half":
            path.write_bytes(whole[: len(whole) // 2 + 100])
        case "zeros":
            path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
        case "page":
            path.write_bytes(whole[:-40_960] + b"\xff" * 40_960)
        case "foreign":
            path.unlink()
            with sqlite3.connect(path) as database:
                database.execute("create table entries (id, something_else)")


async def test_a_file_that_breaks_while_in_use_is_set_aside_and_the_push_that_noticed_is_stored(tmp_path: Path) -> None:
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append(*NAMES)
        path = house.directory / FILE_NAME
        database = house.log._thread._file._database
        assert database is not None
        database.execute("pragma wal_checkpoint(truncate)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        database.execute("pragma cache_size = 0")
        for name in ("x", "y", "z"):
            await house.append(name)
        await eventually(lambda: house.value("spool_files_set_aside") == 1)
        kafka.away = None
        await eventually(lambda: {"x", "y", "z"} <= set(kafka.sessions))


async def test_an_entry_that_the_disk_changed_becomes_a_letter_with_what_is_left_of_it(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "spool", FickleLog(away="down")) as house:
        for name in ("a", "b", "c"):
            await house.append(name)
    with sqlite3.connect(tmp_path / "spool" / FILE_NAME) as database:
        database.execute("update entries set event = zeroblob(10) where id = 2")
    kafka = FickleLog()
    async with a_spool(tmp_path / "spool", kafka):
        await eventually(lambda: len(kafka.stored) == 3)

    (letter,) = kafka.stored[1].letters
    assert [session_of(entry) for entry in kafka.stored] == ["a", "", "c"]
    assert (letter.reason, letter.raw) == (Reason.UNDECODABLE, an_entry("b").raw)


async def test_a_disk_too_full_to_delete_stops_no_draining_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append(*NAMES)
        remove = house.log._thread.remove

        async def full(_gone: Any) -> None:
            raise LogUnavailable("database or disk is full")

        monkeypatch.setattr(house.log._thread, "remove", full)
        kafka.away = None
        await eventually(lambda: len(kafka.stored) == len(NAMES))
        await house.append("meanwhile")
        assert look_into(house.directory).entries == len(NAMES)
        monkeypatch.setattr(house.log._thread, "remove", remove)
        await eventually(lambda: house.value("spool_entries") == 0)

    assert sorted(kafka.sessions) == ["meanwhile", *NAMES]


# Owners and readers.


async def test_a_second_receiver_is_refused_in_one_sentence(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "spool"):
        with pytest.raises(SpoolTakenError, match=r"another receiver spools into .*: stop it, or give each receiver"):
            async with a_spool(tmp_path / "spool"):
                pass


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "spool", FickleLog(away="down")) as house:
        await house.append("a")

        assert stat.S_IMODE(house.directory.stat().st_mode) == 0o700
        files = list(house.directory.iterdir())
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert len(files) == 4  # the file, its log, their shared memory, the lock


async def test_a_drained_spool_holds_nothing_of_what_was_in_it(tmp_path: Path) -> None:
    kafka = FickleLog(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("a", "b", UserRemark="a secret remark")
        kafka.away = None
        await eventually(lambda: house.log.degraded() is None)
        await eventually(lambda: not any(b"a secret remark" in p.read_bytes() for p in house.directory.iterdir()))


async def test_the_spool_can_be_looked_into_while_it_is_used_and_afterwards(tmp_path: Path) -> None:
    assert look_into(tmp_path / "spool").entries == 0
    async with a_spool(tmp_path / "spool", FickleLog(away="down")) as house:
        await house.append("a", "b")
        during = look_into(tmp_path / "spool")
    after = look_into(tmp_path / "spool")

    assert (during.entries, during.last_id - during.first_id) == (2, 1)
    assert after == during
    assert after.oldest_received_ms == RECEIVED_AT.timestamp() * 1000


async def test_what_was_read_from_a_file_that_is_gone_deletes_nothing_in_its_successor(tmp_path: Path) -> None:
    class Treacherous(FickleLog):
        async def append_all(self, entries: Any) -> None:
            """Take the entries, and the file with them; its successor gives their ids to others."""
            await super().append_all(entries)
            if "trap" in self.sessions:
                self.sessions_then = list(self.sessions)
                self.away = "down again"
                (house.directory / FILE_NAME).unlink()
                await house.append("successor")

    kafka = Treacherous(away="down")
    async with a_spool(tmp_path / "spool", kafka) as house:
        await house.append("trap")
        kafka.away = None
        await eventually(lambda: "trap" in kafka.sessions)
        await eventually(lambda: house.value("spool_drained_total") == 1)
        assert look_into(house.directory).entries == 1


async def test_a_push_that_nobody_waits_for_any_more_harms_nobody(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "spool", FickleLog(away="down")) as house:
        given_up = [asyncio.create_task(house.log.append(an_entry(name))) for name in NAMES[:20]]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await house.append("a")
        assert look_into(house.directory).entries >= 1


async def test_before_its_start_and_after_its_close_it_says_so(tmp_path: Path) -> None:
    async with a_spool(tmp_path / "spool", FickleLog(away="down")) as house:
        pass
    with pytest.raises(LogUnavailable, match="the spool is closed"):
        await house.log.append(LogEntry(None, b"", an_entry("x", EndedTimestamp=-1).letters))
