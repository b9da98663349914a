"""What an operator is shown and what is kept for study: masked, bounded, and never in the way of a push."""

import json
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict
from prometheus_client import CollectorRegistry

from ingest.habits import Habits, ObservedPush
from ingest.masking import Masks
from ingest.normalize import ReceivedPush, normalize
from ingest.record import PushRecorder, RecordError
from ingest.watch import PushWatch
from tests.support.door import NOW
from tests.support.pushes import a_cdr, body_of

HEADERS = {
    "Content-Type": "application/json;charset=utf8",
    "X-TCCC-PUSH-UUID": "u",
    "Authorization": "Basic c2VjcmV0OnNlY3JldA==",
    "X-Odd": "\udcff",
    "X-Original-URL": "/tccc/push?token=hidden-token&action=cdr",
}
QUERY = "token=hidden-token&action=cdr&version=1"


def a_watch(**more: Any) -> PushWatch:
    return PushWatch(Habits(CollectorRegistry()), Masks(b"k"), **more)


def saw(watch: PushWatch, raw: bytes | None = None, *, status: int = 200) -> None:
    raw = body_of(a_cdr()) if raw is None else raw
    received = ReceivedPush.of(raw, headers=HEADERS, action="cdr", received_at=NOW)
    observed = ObservedPush(QUERY, "cdr", CIMultiDict(HEADERS), raw, normalize(received).event, status == 200)
    watch.saw(observed, received_at=NOW, status=status)


def test_what_is_shown_of_a_push_has_no_secret_and_nobodys_number() -> None:
    watch = a_watch()
    saw(watch)
    shown = watch.since(0)

    (push,) = shown["pushes"]
    assert (push["status"], push["kind"], push["headers"]["Authorization"]) == (200, "cdr", "Basic (removed)")
    assert json.loads(push["body"])["SessionId"] == a_cdr()["SessionId"]
    text = json.dumps(shown)
    for private in ("hidden-token", "c2VjcmV0", a_cdr()["Caller"], a_cdr()["Callee"]):
        assert private not in text
    assert "basic_preemptive" in push["habits"]
    assert shown["habits"]["basic_preemptive"] == 1


def test_only_what_is_newer_is_shown_and_the_newest_are_kept() -> None:
    watch = a_watch()
    for _ in range(100):
        saw(watch)

    assert [push["number"] for push in watch.since(97)["pushes"]] == [98, 99, 100]
    assert len(watch.since(0)["pushes"]) == 32


@pytest.mark.parametrize(
    ("authorization", "scheme"), [(None, "none"), ("Basic x", "basic"), ("Bearer x", "bearer"), ("Magic x", "other")]
)
def test_of_a_refused_request_only_the_kind_of_its_credentials_is_kept(authorization: str | None, scheme: str) -> None:
    watch = a_watch()
    watch.saw_refusal(status=401, authorization=authorization, push_uuid="u", has_expired=False)

    (refusal,) = watch.since(0)["refusals"]
    assert (refusal["scheme"], refusal["has_push_uuid"], refusal["status"]) == (scheme, True, 401)


def test_a_body_that_cannot_be_opened_is_shown_without_it() -> None:
    watch = a_watch()
    saw(watch, b"\x1f\x8bnot gzip")

    assert watch.since(0)["pushes"][0]["body"] is None


def lines_of(directory: Path) -> list[dict[str, Any]]:
    files = sorted(directory.glob("pushes-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def test_pushes_are_kept_for_study_masked_one_a_line(tmp_path: Path) -> None:
    recorder = PushRecorder(tmp_path, registry=CollectorRegistry())
    watch = a_watch(recorder=recorder)
    for status in (200, 503):
        saw(watch, status=status)
    recorder.close()

    kept = lines_of(tmp_path)
    assert [entry["status"] for entry in kept] == [200, 503]
    assert kept[0]["body"] == kept[1]["body"]
    assert a_cdr()["Caller"] not in json.dumps(kept)
    assert all(file.stat().st_mode & 0o077 == 0 for file in tmp_path.glob("pushes-*"))


def test_a_directory_of_records_never_holds_more_than_its_bound(tmp_path: Path) -> None:
    for _ in range(2):  # a second run finds what the first one left
        recorder = PushRecorder(tmp_path, registry=CollectorRegistry(), bytes_max=20_000)
        for number in range(300):
            recorder.record({"number": number, "body": "x" * 200})
        recorder.close()
        held = sum(file.stat().st_size for file in tmp_path.iterdir())
        assert 10_000 < held <= 20_000

    assert lines_of(tmp_path)[-1]["number"] == 299


def test_a_directory_that_goes_away_is_counted_and_holds_nobody_up(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    directory = tmp_path / "records"
    recorder = PushRecorder(directory, registry=registry)
    directory.rmdir()
    recorder.record({"number": 1})
    recorder.close()

    assert registry.get_sample_value("callweave_push_records_left_out_total") == 1


def test_a_directory_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(RecordError, match="cannot be kept in"):
        PushRecorder(tmp_path / "file" / "records", registry=CollectorRegistry())
