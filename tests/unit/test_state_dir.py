"""State that cannot be trusted is set aside and kept; a held directory and a full disk end with a sentence."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rocksdict
from faust.stores import rocksdb
from faust.types import TP
from structlog.testing import capture_logs

from streams.engine.faults import StoreFault, fault_of
from streams.engine.state_dir import LogIdentity, StateDirectory, StateHeldError
from streams.engine.store import RocksPartition, StateStore, parse_seen, seen_entry

LOG = LogIdentity("cluster-1", "tccc.sessions", "topic-1", 4)
SESSIONS = TP("tccc.sessions", 0)


def a_store(folder: Path) -> StateStore:
    """A store that opens real RocksDB directories; only Faust's app is missing."""
    store = object.__new__(StateStore)
    store.options = {}
    store.rocksdb_options = rocksdb.RocksDBOptions(block_cache_size=1024, use_rocksdict=True)
    store.read_only = False
    store.partition_path = lambda partition: folder / f"sessions-{partition}.db"  # type: ignore[method-assign]
    return store


def filled(folder: Path, sessions: int = 500) -> Path:
    """A partition with its sessions in a file."""
    db = a_store(folder)._open_for_partition(0)
    partition = RocksPartition(db, b"__faust\0offset__")
    partition.write({b"1:%d" % number: os.urandom(64) for number in range(sessions)}, SESSIONS, 7)
    db.flush()
    db.close()
    return folder / "sessions-0.db"


def cut_a_file(store: Path) -> None:
    os.truncate(next(store.glob("*.sst")), 100)


def write_garbage_into_current(store: Path) -> None:
    (store / "CURRENT").write_bytes(b"garbage")


def lose_a_file(store: Path) -> None:
    next(store.glob("*.sst")).unlink()


def cut_the_manifest(store: Path) -> None:
    os.truncate(next(store.glob("MANIFEST-*")), 10)


@pytest.mark.parametrize("damage", [cut_a_file, write_garbage_into_current, lose_a_file, cut_the_manifest])
def test_a_damaged_store_is_set_aside_and_begun_anew(tmp_path: Path, damage: Any) -> None:
    store = filled(tmp_path)
    damage(store)

    with capture_logs() as logs:
        db = a_store(tmp_path)._open_for_partition(0)

    assert list(db.keys()) == []
    (kept,) = tmp_path.glob("sessions-0.db.set-aside-*")
    assert any(kept.iterdir())
    (line,) = [line for line in logs if line["event"] == "state_set_aside"]
    assert line["action"] == "rebuilding from tccc.sessions"


def test_a_sound_store_is_opened_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path)

    db = a_store(tmp_path)._open_for_partition(0)

    assert len(list(filter(lambda key: key.startswith(b"1:"), db.keys()))) == 500
    assert db.get(b"__faust\0offset__") == b"7"
    assert not list(tmp_path.glob("*set-aside*"))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (LogIdentity("cluster-2", "tccc.sessions", "topic-1", 4), "cluster_id 'cluster-1' instead of 'cluster-2'"),
        (LogIdentity("cluster-1", "tccc.sessions", "topic-2", 4), "topic_id 'topic-1' instead of 'topic-2'"),
        (LogIdentity("cluster-1", "x.sessions", "topic-1", 4), "topic 'tccc.sessions' instead of 'x.sessions'"),
        (LogIdentity("cluster-1", "tccc.sessions", "topic-1", 8), "partitions 4 instead of 8"),
    ],
)
def test_state_of_another_log_is_set_aside(tmp_path: Path, other: LogIdentity, said: str) -> None:
    StateDirectory(tmp_path).claim(tmp_path, LOG)
    filled(tmp_path)

    with capture_logs() as logs:
        StateDirectory(tmp_path).claim(tmp_path, other)

    assert [said in line["because"] for line in logs] == [True]
    assert not (tmp_path / "sessions-0.db").exists()
    assert len(list(tmp_path.glob("sessions-0.db.set-aside-*"))) == 1


def test_state_of_the_same_log_stays(tmp_path: Path) -> None:
    StateDirectory(tmp_path).claim(tmp_path, LOG)
    filled(tmp_path)

    StateDirectory(tmp_path).claim(tmp_path, LOG)

    assert (tmp_path / "sessions-0.db").exists()


@pytest.mark.parametrize("marker", [None, "not json", "[]", '{"layout_version": 0}'])
def test_state_of_an_older_layout_is_set_aside(tmp_path: Path, marker: str | None) -> None:
    filled(tmp_path)
    if marker is not None:
        (tmp_path / "belongs-to.json").write_text(marker)

    StateDirectory(tmp_path).claim(tmp_path, LOG)

    assert not (tmp_path / "sessions-0.db").exists()
    assert len(list(tmp_path.glob("sessions-0.db.set-aside-*"))) == 1


HOLDING = """
import pathlib, sys, time
from streams.engine.state_dir import StateDirectory
held = StateDirectory(pathlib.Path(sys.argv[1]))
held.hold()
print("held", flush=True)
time.sleep(60)
"""


def test_a_directory_that_another_live_worker_holds_is_refused_in_a_sentence(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        waits: list[float] = []
        with pytest.raises(StateHeldError, match=rf"pid {holder.pid}.*CALLWEAVE_WORKER__STATE_DIR"):
            StateDirectory(tmp_path).hold(seconds_max=1.0, sleep=waits.append)
        assert sum(waits) >= 1.0, "a predecessor that is stopping is waited for"
    finally:
        holder.kill()
        holder.wait()
    StateDirectory(tmp_path).hold(seconds_max=0)  # a dead worker holds nothing


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("IO error: No space left on device: While appending to file: /x/000008.log", StoreFault.FULL),
        ("Corruption: block checksum mismatch: stored = 1, computed = 2", StoreFault.CORRUPT),
        ("IO error: While lock file: /x/LOCK: Resource temporarily unavailable", StoreFault.HELD),
        ("IO error: lock hold by current process, acquire time 1", StoreFault.HELD),
        ("Invalid argument: something", StoreFault.OTHER),
    ],
)
def test_the_text_of_rocksdb_is_read_as_it_is_written(text: str, fault: StoreFault) -> None:
    assert fault_of(Exception(text)) is fault


FAILING = """
import sys, types
from faust.types import TP
from streams.engine.store import RocksPartition
def fail(*_): raise Exception(sys.argv[2])
db = types.SimpleNamespace(write=fail, get=fail, path=lambda: sys.argv[1])
RocksPartition(db, b"o").write({b"1:a": b"x"}, TP("t", 0), 1)
print("went on")
"""


@pytest.mark.parametrize(
    ("problem", "status", "said"),
    [
        ("IO error: No space left on device", 70, "make room, then start the worker again"),
        ("Corruption: block checksum mismatch", 75, "sets it aside and builds it again"),
    ],
)
def test_a_store_that_fails_at_work_ends_the_process_at_once(
    tmp_path: Path, problem: str, status: int, said: str
) -> None:
    store = tmp_path / "sessions-0.db"
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(store), problem], capture_output=True, text=True, check=False
    )

    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert "went on" not in done.stdout


def test_a_store_that_was_found_corrupt_at_work_is_set_aside_at_the_next_start(tmp_path: Path) -> None:
    store = filled(tmp_path)
    subprocess.run(
        [sys.executable, "-c", FAILING, str(store), "Corruption: block checksum mismatch"],
        capture_output=True,
        check=False,
    )

    assert list(a_store(tmp_path)._open_for_partition(0).keys()) == []
    assert len(list(tmp_path.glob("sessions-0.db.set-aside-*"))) == 1
    assert not list(tmp_path.glob("*.corrupt"))


def test_a_block_that_rotted_is_told_from_a_session_that_is_not_there(tmp_path: Path) -> None:
    store = filled(tmp_path)
    file = next(store.glob("*.sst"))
    with file.open("r+b") as data:
        data.write(b"\xff" * (file.stat().st_size // 2))
    db = a_store(tmp_path)._open_for_partition(0)

    with pytest.raises(Exception, match="Corruption"):
        [db.get(b"1:%d" % number) for number in range(500)]


def test_a_disk_that_is_full_is_said_by_rocksdb_in_the_words_that_are_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a disk that is small enough; the injected fault above stands for it")
    try:
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        db = rocksdict.Rdict(str(disk / "db"), options=options)
        with pytest.raises(Exception, match="No space") as told:
            [db.put(b"%d" % number, os.urandom(16 * 1024)) for number in range(1000)]
        assert fault_of(told.value) is StoreFault.FULL
        del db
    finally:
        subprocess.run(["/bin/umount", "-l", str(disk)], check=True)


def test_the_index_is_ordered_by_the_last_receipt_and_bounded() -> None:
    entries = {seen_entry(moment, b"1:%d" % moment): b"" for moment in (5, 300, 70_000)}
    db = SimpleNamespace(keys=lambda from_key: iter(sorted(k for k in entries if k >= from_key)))
    partition = RocksPartition(db, b"o")

    assert [parse_seen(entry) for entry in partition.seen_before(70_000, 10)] == [(5, b"1:5"), (300, b"1:300")]
    assert len(partition.seen_before(70_001, 2)) == 2
