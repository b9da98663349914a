"""HTTPS by the receiver itself, over real TLS: renewals, broken pairs, and people who speak plain HTTP to it."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry

from ingest.receiver import ListenError, Receiver, ReceiverOptions
from ingest.tls import CertificateError, Certificates, expiry_warning, load_pair
from tests.support.certificates import write_pair
from tests.support.door import a_door
from tests.support.push_log import MemoryPushLog
from tests.support.pushes import a_cdr, body_of


@dataclass
class House:
    receiver: Receiver
    certificates: Certificates
    directory: Path
    registry: CollectorRegistry

    @property
    def port(self) -> int:
        return int(self.receiver.url.split(":")[2].partition("/")[0])

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"callweave_{name}", labels) or 0.0

    async def push(self) -> tuple[int, str]:
        """Push, trusting only what lies in the directory now; the status, and whose certificate was shown."""
        trust = ssl.create_default_context(cafile=str(self.directory / "cert.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=trust)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        body = body_of(a_cdr())
        head = "POST /tccc/push?action=cdr HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.read()
        writer.close()
        assert json.loads(answer.rpartition(b"\r\n\r\n")[2]) == {"ErrCode": 0, "ErrMsg": ""}
        name = x509.load_der_x509_certificate(shown).subject.rfc4514_string()
        return int(answer.split()[1]), name.removeprefix("CN=")


@asynccontextmanager
async def a_house(directory: Path, *, host: str = "127.0.0.1") -> AsyncIterator[House]:
    registry = CollectorRegistry()
    files = write_pair(directory, name="first")
    certificates = Certificates(files, clock=lambda: datetime.now(UTC), registry=registry)
    door = a_door(MemoryPushLog(), registry, options=ReceiverOptions(host=host, port=0))
    receiver = Receiver(door, tls=certificates)
    await receiver.start()
    yield House(receiver, certificates, directory, registry)
    await receiver.stop(5)


async def exchange(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


async def test_pushes_come_in_by_https_and_the_address_says_so(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        assert house.receiver.url.startswith("https://127.0.0.1:")
        assert await house.push() == (200, "first")
        expiry = house.count("tls_certificate_expiry_timestamp_seconds")
        assert timedelta(days=89) < datetime.fromtimestamp(expiry, UTC) - datetime.now(UTC) < timedelta(days=91)


async def test_a_renewed_certificate_is_shown_to_the_next_connection(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.push()
        write_pair(tmp_path, name="renewed", days=5)

        assert await asyncio.to_thread(house.certificates.reload_if_changed)
        assert await house.push() == (200, "renewed")
        assert house.count("tls_reloads_total", outcome="used") == 1
        assert "expires in 4 days" in str(house.receiver.degraded())
        assert house.receiver.unready() is None


async def test_the_watch_notices_a_renewal_by_itself(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        watch = asyncio.create_task(house.certificates.watch(0.01))
        write_pair(tmp_path, name="renewed")
        async with asyncio.timeout(60):
            while house.count("tls_reloads_total", outcome="used") < 1:  # noqa: ASYNC110  (a counter has no event)
                await asyncio.sleep(0.01)
        watch.cancel()
        assert await house.push() == (200, "renewed")


@pytest.mark.parametrize("broken", ["another key", "rubbish", "gone"])
async def test_a_broken_renewal_changes_nothing_but_is_an_alarm_until_it_is_mended(
    tmp_path: Path, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_house(tmp_path) as house:
        first = (tmp_path / "cert.pem").read_bytes()
        match broken:
            case "another key":
                write_pair(tmp_path, name="other")
                other_key = (tmp_path / "key.pem").read_bytes()
                (tmp_path / "cert.pem").write_bytes(first)
                (tmp_path / "key.pem").write_bytes(other_key)
            case "rubbish":
                (tmp_path / "key.pem").write_bytes(b"rubbish")
            case _:
                (tmp_path / "key.pem").unlink()

        assert not house.certificates.reload_if_changed()
        assert not house.certificates.reload_if_changed()
        assert await house.push() == (200, "first")
        assert "cannot be used" in str(house.receiver.degraded())
        assert house.count("tls_reloads_total", outcome="broken") == 1
        assert capsys.readouterr().out.count("tls_certificate_not_reloaded") == 1

        write_pair(tmp_path, name="mended")
        assert house.certificates.reload_if_changed()
        assert await house.push() == (200, "mended")
        assert house.receiver.degraded() is None


@pytest.mark.parametrize(
    "sent", [b"POST /tccc/push HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", b"rubbish\r\n"]
)
async def test_plain_http_on_the_tls_port_is_answered_in_json(tmp_path: Path, sent: bytes) -> None:
    async with a_house(tmp_path) as house:
        answer = await exchange(house.port, sent)

        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert b"application/json" in head
        assert json.loads(body) == {"ErrCode": 400, "ErrMsg": "this port speaks HTTPS: push to https://"}
        assert house.count("pushes_rejected_total", reason="plain_http") == 1


async def test_malformed_http_inside_tls_is_answered_in_json(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port, ssl=trust)
        writer.write(b"rubbish\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert json.loads(answer.rpartition(b"\r\n\r\n")[2]) == {"ErrCode": 400, "ErrMsg": "malformed HTTP"}


async def test_the_floor_is_tls_1_2(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", house.port, ssl=old)
        assert await house.push() == (200, "first")


async def test_silent_and_broken_connections_harm_nobody_and_a_stop_ends_them(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        silent = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(20)]
        half_hello = await asyncio.open_connection("127.0.0.1", house.port)
        half_hello[1].write(b"\x16\x03\x01")
        gone = socket.create_connection(("127.0.0.1", house.port))
        gone.close()

        assert await house.push() == (200, "first")
    for reader, writer in silent:
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()
    half_hello[1].close()


async def test_a_port_in_use_is_said_plainly_with_tls_too(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        door = a_door(MemoryPushLog(), CollectorRegistry(), options=ReceiverOptions(port=house.port))
        with pytest.raises(ListenError, match="cannot listen on"):
            await Receiver(door, tls=house.certificates).start()


def test_a_pair_that_cannot_serve_is_refused_at_once(tmp_path: Path) -> None:
    files = write_pair(tmp_path)
    other = write_pair(tmp_path / "other")
    other.key_file.replace(files.key_file)

    with pytest.raises(CertificateError, match="no certificate with its key"):
        load_pair(files)
    files.key_file.unlink()
    with pytest.raises(CertificateError, match="cannot be read"):
        load_pair(files)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    files = write_pair(tmp_path)
    key = serialization.load_pem_private_key(files.key_file.read_bytes(), None)
    encrypted = serialization.BestAvailableEncryption(b"x")
    pkcs8 = serialization.PrivateFormat.PKCS8
    files.key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, encrypted))

    with pytest.raises(CertificateError, match="encrypted"):
        load_pair(files)


def test_an_expiry_is_told_in_time() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)

    assert expiry_warning(now + timedelta(days=30), now) is None
    assert "expires in 13 days" in str(expiry_warning(now + timedelta(days=13, hours=1), now))
    assert "expired" in str(expiry_warning(now, now))
