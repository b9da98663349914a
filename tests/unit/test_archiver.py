"""The archiver over fakes: what documents change, when files are tried, given up, deleted; dying costs repeats."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ingest.archiver.archiver import Archiver, ArchiverOptions
from ingest.archiver.audio import Audio
from ingest.archiver.download import DownloadError, Fetched, Remedy
from ingest.archiver.fresh import Answer
from ingest.archiver.metrics import ArchiverMetrics
from ingest.archiver.shelf import Shelf
from ingest.archiver.store import Archive, StoreError
from ingest.kafka_publisher import KafkaLogOptions
from ingest.reconcile.publishing import PatientPublisher
from schemas.archive import LegalHold, RecordingFile
from schemas.topics import ARCHIVE_TOPICS
from tests.support.enriching import PREFIX, records_in
from tests.support.reconciling import KafkaThatIsAList
from tests.support.recordings_host import a_wav
from tests.support.sessions import APP, a_recording, a_session, a_voicemail, session_record

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MADE = NOW - timedelta(hours=1)
URL = "https://r.example/one.wav?token=1"


class FeedThatIsAList:
    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.committed = 0

    async def poll(self) -> list[bytes]:
        values, self.values = self.values, []
        return values

    async def commit(self) -> None:
        self.committed += 1


@dataclass
class Addresses:
    """A host: an address gives bytes or an error. And the API: a file's fresh addresses."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    errors: dict[str, DownloadError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fresh: Answer = field(default_factory=lambda: Answer((), is_known=False))

    async def fetch(self, address: str, part: Path) -> Fetched:
        self.asked.append(address)
        if address in self.errors:
            raise self.errors[address]
        body = self.bodies[address]
        keep(part, body)
        return Fetched(part, hashlib.sha256(body).hexdigest(), len(body), Audio("audio/wav", 1.0, ".wav"))

    async def of(self, _: RecordingFile) -> Answer:
        return self.fresh


def keep(part: Path, body: bytes) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(body)


class World:
    """An archiver, and everything around it; `restart` makes a new one of what Kafka knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka = KafkaThatIsAList()
        self.hosts = Addresses({URL: a_wav()})
        self.now = NOW
        self.keep: timedelta | None = None
        self.restart()

    def restart(self) -> None:
        shelf = Shelf()
        for topic in ARCHIVE_TOPICS:
            shelf.take(records_in(self.kafka, topic.suffix))
        self.feed = FeedThatIsAList()
        self.archive = Archive(str(self.folder / "archive"))
        options = ArchiverOptions(
            topic_prefix=PREFIX, partial_dir=self.folder / "partial", delay=timedelta(), free_bytes_min=0,
            retry_seconds_first=60, keep=self.keep,
        )  # fmt: skip
        self.archiver = Archiver(
            options, feed=self.feed, fetcher=self.hosts, fresh=self.hosts, archive=self.archive,
            publisher=PatientPublisher(
                KafkaLogOptions(connection={}, topic_prefix=PREFIX), lambda: self.kafka, topics=ARCHIVE_TOPICS
            ),
            shelf=shelf, metrics=ArchiverMetrics(CollectorRegistry()), now=lambda: self.now,
        )  # fmt: skip

    async def see(self, **changes: Any) -> None:
        self.feed.values.append(session_record(a_session("s", **changes))[1])
        await self.archiver.run_once()

    def files(self) -> dict[str, RecordingFile]:
        """What a warehouse would hold."""
        rows: dict[str, RecordingFile] = {}
        for record in records_in(self.kafka, "recording_files"):
            if record.recording_id not in rows or record.asked_at >= rows[record.recording_id].asked_at:
                rows[record.recording_id] = record
        return rows

    def kept(self) -> list[str]:
        root = self.folder / "archive"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def came(recording_id: str = "r", **changes: Any) -> Any:
    return a_recording(recording_id, **{"received_at": NOW, "url": URL, "generated_at": MADE, **changes})


async def test_a_notice_becomes_a_file_under_its_content_and_a_row_that_says_where(world: World) -> None:
    mail = a_voicemail("v", received_at=NOW, url=URL)
    await world.see(recordings=[came(), a_recording("named-only")], voicemails=[mail])

    digest = hashlib.sha256(a_wav()).hexdigest()
    path = f"sha256/{digest[:2]}/{digest}.wav"
    assert world.kept() == [path]
    files = world.files()
    assert sorted(files) == ["r", "v"]
    stored = files["r"]
    assert (stored.status, stored.path, stored.size_bytes, stored.fetched_from) == ("stored", path, len(a_wav()), "url")
    assert stored.sha256 == digest
    assert stored.addresses == {}
    assert world.feed.committed
    assert not list((world.folder / "partial").iterdir())


async def test_the_same_document_again_and_a_restart_fetch_nothing_again(world: World) -> None:
    await world.see(recordings=[came()])
    await world.see(recordings=[came()])
    world.restart()
    await world.see(recordings=[came()])

    assert world.hosts.asked == [URL]


async def test_a_file_whose_row_gets_another_id_is_not_fetched_again(world: World) -> None:
    await world.see(recordings=[came("1700000110~ann", is_expected=False)])
    await world.see(recordings=[came("rec-of-the-cdr", pushed_recording_id="1700000110")])

    assert world.hosts.asked == [URL]
    assert {name: one.status for name, one in world.files().items()} == {
        "1700000110~ann": "replaced",
        "rec-of-the-cdr": "stored",
    }


async def test_a_failure_is_tried_again_later_and_given_up_after_days(world: World) -> None:
    world.hosts.errors[URL] = DownloadError("HTTP 503", Remedy.AGAIN)
    await world.see(recordings=[came()])
    waiting = world.files()["r"]
    assert (waiting.status, waiting.problem, waiting.attempts_count) == ("waiting", "HTTP 503", 1)
    assert waiting.next_attempt_at is not None
    assert timedelta(seconds=40) < waiting.next_attempt_at - NOW < timedelta(seconds=80)

    await world.archiver.run_once()
    assert world.hosts.asked == [URL]
    world.restart()
    world.now += timedelta(minutes=2)
    await world.archiver.run_once()
    assert world.files()["r"].attempts_count == 2
    world.now += timedelta(days=15)
    await world.archiver.run_once()
    lost = world.files()["r"]
    assert (lost.status, lost.next_attempt_at, lost.addresses) == ("lost", None, {})
    world.now += timedelta(days=15)
    await world.archiver.run_once()
    assert len(world.hosts.asked) == 3


async def test_an_address_that_has_expired_is_asked_for_anew(world: World) -> None:
    world.hosts.errors[URL] = DownloadError("HTTP 403", Remedy.ANOTHER_ADDRESS)
    world.hosts.bodies["https://api.example/fresh"] = a_wav(seed=3)
    world.hosts.fresh = Answer(("https://api.example/fresh",), is_known=True)
    await world.see(recordings=[came(), came("api-only", url=None, source="api")])

    files = world.files()
    assert [files[name].fetched_from for name in ("r", "api-only")] == ["api", "api"]
    assert all("fresh" not in str(record.value) for record in world.kafka.journal)  # it lives for a day, and is a key


async def test_what_the_api_does_not_have_is_absent_after_days_and_not_before(world: World) -> None:
    world.hosts.fresh = Answer((), is_known=True)
    await world.see(recordings=[came("gone", url=None, source="api")])
    assert world.files()["gone"].status == "waiting"
    world.now += timedelta(days=15)
    await world.archiver.run_once()

    assert world.files()["gone"].status == "absent"


async def test_a_refused_address_is_refused_once_and_for_all(world: World) -> None:
    world.hosts.errors[URL] = DownloadError("the address is private, link-local or reserved", Remedy.NOTHING)
    await world.see(recordings=[came()])
    world.now += timedelta(days=1)
    await world.see(recordings=[came()])

    assert world.files()["r"].status == "refused"
    assert world.hosts.asked == [URL]


async def test_a_lost_file_is_tried_again_when_a_push_brings_another_address(world: World) -> None:
    world.hosts.errors[URL] = DownloadError("HTTP 404", Remedy.ANOTHER_ADDRESS)
    await world.see(recordings=[came()])
    world.now += timedelta(days=15)
    await world.archiver.run_once()
    assert world.files()["r"].status == "lost"
    world.hosts.bodies["https://r.example/two.wav"] = a_wav(seed=2)
    await world.see(recordings=[came(url="https://r.example/two.wav")])

    assert world.files()["r"].status == "stored"


async def test_a_store_that_refuses_costs_a_retry_and_no_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> str:
        raise StoreError("the archive does not take files: No space left on device")

    monkeypatch.setattr(world.archive, "put", full)
    await world.see(recordings=[came()])
    assert world.files()["r"].status == "waiting"
    assert "No space left" in str(world.archiver.degraded_because())
    monkeypatch.undo()
    world.now += timedelta(minutes=2)
    await world.archiver.run_once()

    assert world.files()["r"].status == "stored"
    assert world.archiver.degraded_because() is None


async def test_dying_between_file_and_record_costs_a_repeat(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    published = world.archiver._publish

    async def die(records: Any) -> None:
        told = list(records)
        if any(one.status == "stored" for one in told):
            raise KeyboardInterrupt
        await published(told)

    monkeypatch.setattr(world.archiver, "_publish", die)
    with pytest.raises(KeyboardInterrupt):
        await world.see(recordings=[came()])
    world.restart()
    await world.archiver.run_once()

    assert len(world.kept()) == 1
    assert world.files()["r"].status == "stored"


async def test_old_files_are_deleted_unless_held_or_shared_with_a_young_one(world: World) -> None:
    world.keep = timedelta(days=30)
    other = "https://r.example/other.wav"
    world.hosts.bodies[other] = a_wav(seed=5)
    world.restart()
    await world.see(recordings=[came(), came("two", url=other)])
    hold = LegalHold(sdk_app_id=APP, session_id="s", asked_at=NOW, is_held=True, reason="a case")
    world.archiver._shelf.take([hold])
    world.now += timedelta(days=31)
    await world.archiver.tidy()
    assert len(world.kept()) == 2

    world.archiver._shelf.take([hold.model_copy(update={"is_held": False, "asked_at": world.now})])
    world.feed.values.append(session_record(a_session("young", recordings=[came("three")]))[1])
    await world.archiver.run_once()
    await world.archiver.tidy()

    assert {name: one.status for name, one in world.files().items()} == {
        "r": "deleted", "two": "deleted", "three": "stored",
    }  # fmt: skip
    assert world.kept() == [world.files()["three"].path]


async def test_an_erased_session_loses_its_files_and_gets_none_again(world: World) -> None:
    await world.see(recordings=[came()])
    await world.see(recordings=[], erasure="removed")

    assert world.files()["r"].status == "erased"
    assert world.kept() == []
    await world.see(recordings=[came()], erasure="removed")
    assert world.kept() == []
