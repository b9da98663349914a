"""The cache of Kafka's jars, with a Maven Central that lives in this file."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from callweave.broker import jars
from callweave.broker.jars import BrokerUnavailable, DownloadFailed, Jar, fetch_jars, parse_list, pinned_jars


def content(name: str) -> bytes:
    return f"the bytes of {name}".encode() * 100


def a_jar(artifact: str, *, group: str = "org.example", classifier: str | None = None) -> Jar:
    return Jar(group, artifact, "1.0", classifier, hashlib.sha256(content(artifact)).hexdigest())


class Central:
    """A Maven Central that writes down who asked for what, and stumbles as often as it is told."""

    def __init__(self, *stumbles: DownloadFailed) -> None:
        self.journal: list[str] = []
        self.stumbles = list(stumbles)
        self.instead: list[bytes] = []

    def __call__(self, jar: Jar) -> Iterator[bytes]:
        self.journal.append(jar.artifact)
        yield b"" if self.instead else content(jar.artifact)[:10]
        if self.stumbles:
            raise self.stumbles.pop(0)
        yield self.instead.pop(0) if self.instead else content(jar.artifact)[10:]


@pytest.fixture(autouse=True)
def two_jars(monkeypatch: pytest.MonkeyPatch) -> list[Jar]:
    chosen = [a_jar("broker"), a_jar("client")]
    monkeypatch.setattr(jars, "pinned_jars", lambda _version: chosen)
    monkeypatch.setattr(jars, "RETRY_PAUSE_SECONDS", 0)
    return chosen


def test_an_empty_cache_is_filled_and_the_next_start_fetches_nothing(tmp_path: Path):
    central = Central()
    paths = fetch_jars("4", cache=tmp_path, download=central)
    assert [path.read_bytes() for path in paths] == [content("broker"), content("client")]
    assert fetch_jars("4", cache=tmp_path, download=central) == paths
    assert sorted(central.journal) == ["broker", "client"]


def test_a_corrupt_jar_in_the_cache_is_fetched_again_and_only_that_one(tmp_path: Path):
    paths = fetch_jars("4", cache=tmp_path, download=Central())
    paths[1].write_bytes(b"half a cli")
    central = Central()
    fetch_jars("4", cache=tmp_path, download=central)
    assert paths[1].read_bytes() == content("client")
    assert central.journal == ["client"]


def test_a_download_that_breaks_off_is_tried_again(tmp_path: Path):
    central = Central(DownloadFailed("connection reset", is_final=False))
    paths = fetch_jars("4", cache=tmp_path, download=central)
    assert all(path.read_bytes() for path in paths)
    assert len(central.journal) == 3


def test_a_page_of_a_proxy_instead_of_a_jar_never_reaches_the_cache(tmp_path: Path, two_jars: list[Jar]):
    del two_jars[1]
    central = Central()
    central.instead = [b"<html>please log in</html>"] * jars.ATTEMPTS_MAX
    with pytest.raises(BrokerUnavailable, match=r"SHA-256 differs.*CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS"):
        fetch_jars("4", cache=tmp_path, download=central)
    assert len(central.journal) == jars.ATTEMPTS_MAX
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_not_asked_for_twice(tmp_path: Path, two_jars: list[Jar]):
    del two_jars[1]
    central = Central(DownloadFailed("404 Not Found", is_final=True))
    with pytest.raises(BrokerUnavailable, match=r"broker 1\.0: 404 Not Found; check the network"):
        fetch_jars("4", cache=tmp_path, download=central)
    assert central.journal == ["broker"]


def test_progress_counts_only_what_has_to_be_fetched_and_in_the_calling_thread(tmp_path: Path):
    fetch_jars("4", cache=tmp_path, download=Central())[0].unlink()
    seen: list[tuple[int, int, threading.Thread]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total, threading.current_thread()))

    fetch_jars("4", cache=tmp_path, download=Central(), progress=progress)
    fetch_jars("4", cache=tmp_path, download=Central(), progress=progress)
    assert seen == [(0, 1, threading.current_thread()), (1, 1, threading.current_thread())]


def test_two_processes_that_fetch_at_once_leave_whole_jars_and_nothing_else(tmp_path: Path):
    meet = threading.Barrier(4, timeout=20)  # both jars of both, in the middle of their downloads

    def slow_central(jar: Jar) -> Iterator[bytes]:
        yield content(jar.artifact)[:10]
        meet.wait()
        yield content(jar.artifact)[10:]

    other = threading.Thread(target=fetch_jars, args=("4",), kwargs={"cache": tmp_path, "download": slow_central})
    other.start()
    paths = fetch_jars("4", cache=tmp_path, download=slow_central)
    other.join(20)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert [path.read_bytes() for path in paths] == [content("broker"), content("client")]


def test_halves_that_a_killed_process_left_are_swept_after_a_day_and_not_before(tmp_path: Path):
    old, young = tmp_path / "a.jar.1.part", tmp_path / "b.jar.2.part"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    fetch_jars("4", cache=tmp_path, download=Central())
    assert not old.exists()
    assert young.exists()


def test_a_cache_that_cannot_be_written_says_which_and_what_to_do(tmp_path: Path):
    (tmp_path / "cache").write_text("a file, where a directory should be")
    with pytest.raises(BrokerUnavailable, match=r"cache.*CALLWEAVE_CACHE_DIR"):
        fetch_jars("4", cache=tmp_path / "cache", download=Central())


def test_the_cache_is_where_the_environment_says_else_where_the_system_keeps_caches():
    assert jars.cache_dir({"CALLWEAVE_CACHE_DIR": "/somewhere"}) == Path("/somewhere/jars")
    assert jars.cache_dir({"CALLWEAVE_CACHE_DIR": ""}) == jars.cache_dir({})
    assert jars.cache_dir({}).parts[-2:] == ("callweave", "jars")


def test_the_machines_own_authorities_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bundle, folder = tmp_path / "ca.pem", tmp_path / "certs"
    bundle.touch()
    folder.mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    assert jars.trust_options({}) == {}
    (folder / "0a1b2c3d.0").touch()
    assert jars.trust_options({}) == {"verify": str(folder)}
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert jars.trust_options({}) == {"verify": str(bundle)}


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_what_requests_was_told_to_trust_goes_before(variable: str):
    assert jars.trust_options({variable: "/other.pem"}) == {}


def test_a_list_has_comments_and_perhaps_classifiers():
    text = "# a comment\n\norg.example:broker:1.0 aa\norg.example:native:1.0:linux-x86_64 bb\n"
    plain, classified = parse_list(text)
    assert plain == Jar("org.example", "broker", "1.0", None, "aa")
    assert plain.file_name == "org.example.broker-1.0.jar"
    assert classified == Jar("org.example", "native", "1.0", "linux-x86_64", "bb")
    assert classified.file_name == "org.example.native-1.0-linux-x86_64.jar"


@pytest.mark.parametrize("version", jars.pinned_versions())
def test_every_list_is_complete_and_its_files_have_names_of_their_own(version: str):
    pinned = pinned_jars(version)
    assert ("org.apache.kafka", "kafka_2.13", version) in {(jar.group, jar.artifact, jar.version) for jar in pinned}
    assert len({jar.file_name for jar in pinned}) == len(pinned)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in pinned)


def test_a_version_that_nobody_pinned_names_those_that_are():
    with pytest.raises(BrokerUnavailable, match=r"Kafka 0\.7 is not one of .*3\.9\.1, 4\.1\.1"):
        pinned_jars("0.7")
