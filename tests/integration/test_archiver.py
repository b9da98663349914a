"""Recordings into the archive, as the whole program: killed on the way, with a host that misbehaves; and S3."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from ingest.archiver.store import Archive
from tests.support.program import Program, eventually
from tests.support.push_to import push
from tests.support.pushes import a_cdr, a_record
from tests.support.recordings_host import Host, a_wav, recordings_host

COUNT = 40
MOUNT, UMOUNT = shutil.which("mount") or "mount", shutil.which("umount") or "umount"


@pytest.fixture
def host() -> Iterator[Host]:
    with recordings_host() as serving:
        yield serving


def archiver_pid(program: Program, not_this: int = 0) -> int:
    """Its process, once it is another one than that; else 0."""
    pid = int(program.roles().get("archiver", {}).get("pid", 0))
    return 0 if pid == not_this else pid


def files(program: Program, where: str = "true") -> list[dict[str, Any]]:
    done = program.run("sql", f"select * from recording_files where {where}", "--json", expect=None)
    found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    return found


@pytest.mark.timeout(600)
def test_every_recording_is_in_the_archive_although_the_archiver_was_killed_and_the_host_lied(
    tmp_path: Path, kafka: str, topic_prefix: str, host: Host
) -> None:
    settings = {
        "ARCHIVER__STORE": str(tmp_path / "archive"),
        "ARCHIVER__ALLOWED_NETWORKS": "127.0.0.1/32",
        "ARCHIVER__DELAY_SECONDS": "0",
        "ARCHIVER__RETRY_SECONDS_FIRST": "0.3",
        "ARCHIVER__RETRY_SECONDS_MAX": "1",
        "ARCHIVER__PER_HOST_MAX": "3",
        "ARCHIVER__FREE_BYTES_MIN": "0",
    }
    program = Program(tmp_path / "data", kafka, topic_prefix, settings)
    troubles = ["cut", "status 503", "page", "wrong checksum", "status 403", "slow"]
    for number in range(COUNT):
        host.files[f"/{number}.wav"] = a_wav(0.5, seed=number // 2)  # each content twice
        host.trouble[f"/{number}.wav"] = [troubles[number % len(troubles)], "slow"]
    with program.up() as url:
        for number in range(COUNT):
            session = f"session-{number}"
            address = f"{host.url}/{number}.wav?token=planted-token"
            told = a_record(SessionId=session, RecordId=f"r-{number}", RecordURL=address)
            assert push(f"{url}?action=record", json.dumps(told).encode())[1]["ErrCode"] == 0
            if number % 13 == 7:
                dead = eventually(lambda: archiver_pid(program))
                os.kill(dead, signal.SIGKILL)
                eventually(lambda dead=dead: archiver_pid(program, dead))
        eventually(lambda: len(files(program, "status = 'stored'")) == COUNT)
        assert "differ" in program.run("archive", "verify", "--contents").stderr
        program.run("archive", "hold", str(a_cdr()["SdkAppId"]), "session-3", "--reason", "a case")
        held = {"session_id": "session-3", "is_held": True}
        eventually(lambda: program.sql("select session_id, is_held from legal_holds") == [held])
        victim = next((tmp_path / "archive").rglob("*.wav"))
        victim.write_bytes(victim.read_bytes()[:-2] + b"xx")
        assert "has another content" in program.run("archive", "verify", "--contents", expect=1).stdout
        victim.unlink()
        assert "is not there" in program.run("archive", "verify", expect=1).stdout
    assert host.at_once_max <= 3
    kept = [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
    assert len(kept) == COUNT // 2 - 1
    assert not [path for path in kept if path.name.endswith(".part")]


@contextmanager
def a_small_disk(folder: Path) -> Iterator[Path]:
    """A real one, of 1 MiB."""
    folder.mkdir()
    mounted = subprocess.run([MOUNT, "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("to mount a small disk takes rights that this user does not have")
    try:
        yield folder
    finally:
        subprocess.run([UMOUNT, "--lazy", folder], check=True)


@pytest.mark.timeout(600)
def test_a_full_disk_loses_no_recording_and_room_is_used_once_it_is_there(
    tmp_path: Path, kafka: str, topic_prefix: str, host: Host
) -> None:
    count = 8
    for number in range(count):
        host.files[f"/{number}.wav"] = a_wav(12.0, seed=number)  # 190 kB
    with a_small_disk(tmp_path / "disk") as disk:
        (disk / "ballast").write_bytes(bytes(500 * 1024))
        settings = {
            "ARCHIVER__STORE": str(disk / "archive"),
            "ARCHIVER__PARTIAL_DIR": str(disk / "partial"),
            "ARCHIVER__ALLOWED_NETWORKS": "127.0.0.1/32",
            "ARCHIVER__DELAY_SECONDS": "0",
            "ARCHIVER__RETRY_SECONDS_FIRST": "0.3",
            "ARCHIVER__RETRY_SECONDS_MAX": "1",
            "ARCHIVER__FREE_BYTES_MIN": "0",
        }
        program = Program(tmp_path / "data", kafka, topic_prefix, settings)
        with program.up() as url:
            for number in range(count):
                told = a_record(SessionId=f"s{number}", RecordId=f"r{number}", RecordURL=f"{host.url}/{number}.wav")
                assert push(f"{url}?action=record", json.dumps(told).encode())[1]["ErrCode"] == 0
            eventually(lambda: sum(host.requests.values()) > count, seconds=120)
            os.kill(archiver_pid(program), signal.SIGKILL)
            assert len(files(program, "status = 'stored'")) < count, "the disk is full"
            assert not files(program, "status = 'lost'")
            subprocess.run([MOUNT, "-o", "remount,size=8m", disk], check=True)
            eventually(lambda: len(files(program, "status = 'stored'")) == count, seconds=120)
            assert "differ" in program.run("archive", "verify", "--contents").stderr


def test_files_are_kept_in_an_s3_compatible_store(tmp_path: Path) -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    name, port = server.get_host_and_port()
    try:
        urlopen(Request(f"http://{name}:{port}/calls", method="PUT")).close()
        place = f"s3://key:hush-hush@calls/audio?endpoint_override={name}%3A{port}&scheme=http&region=us-east-1"
        archive = Archive(place)
        archive.probe()
        source = tmp_path / "a.wav"
        source.write_bytes(a_wav())
        path = archive.put(source, "ab" * 32, ".wav")

        assert archive.put(source, "ab" * 32, ".wav") == path
        assert archive.size_of(path) == len(a_wav())
        assert archive.digest_of(path) is not None
        archive.delete(path)
        assert archive.size_of(path) is None
    finally:
        server.stop()
