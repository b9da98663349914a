"""What a local broker is made of, as far as it needs no Kafka: the lock, the probe, the ports, the reading of logs."""

import os
import socket
import struct
import threading
from pathlib import Path

import pytest

from callweave.broker import local
from callweave.broker.jars import BrokerUnavailable
from callweave.broker.lock import DirectoryLock
from callweave.broker.probe import CORRELATION_ID, ClusterAnswer, ask_cluster, decode_metadata

NO_PROCESS = 2**22 + 1  # above the largest pid that Linux gives


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def a_metadata_answer(*, correlation_id: int = CORRELATION_ID) -> bytes:
    broker = struct.pack(">i", 1) + text("127.0.0.1") + struct.pack(">i", 9092) + struct.pack(">h", -1)
    return struct.pack(">ii", correlation_id, 1) + broker + text("some-cluster") + struct.pack(">ii", 1, 0)


def test_the_probe_reads_the_cluster_and_its_brokers():
    assert decode_metadata(a_metadata_answer()) == ClusterAnswer("some-cluster", (("127.0.0.1", 9092),))


def test_the_probe_ignores_an_answer_to_another_question():
    assert decode_metadata(a_metadata_answer(correlation_id=99)) is None


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x04\x00\x00\x00\x07", b"\xff" * 64]
)
def test_an_open_port_that_does_not_speak_kafka_is_no_answer(said: bytes):
    with socket.create_server((local.HOST, 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        assert ask_cluster(local.HOST, server.getsockname()[1]) is None
        thread.join(10)


def test_a_directory_is_locked_once_and_free_after_release(tmp_path: Path):
    held = DirectoryLock.take(tmp_path)
    with pytest.raises(BrokerUnavailable, match=rf"in use by another broker, which process {os.getpid()} started"):
        DirectoryLock.take(tmp_path)
    held.release()
    DirectoryLock.take(tmp_path).release()


def test_a_lock_whose_owner_is_gone_is_waited_for_but_not_for_ever(tmp_path: Path):
    held = DirectoryLock.take(tmp_path)
    (tmp_path / "broker.lock").write_text(f"{NO_PROCESS}\n")
    with pytest.raises(BrokerUnavailable, match=str(NO_PROCESS)):
        DirectoryLock.take(tmp_path, orphan_seconds_max=0.2)
    threading.Timer(0.3, held.release).start()
    DirectoryLock.take(tmp_path, orphan_seconds_max=20).release()


def test_a_free_port_is_below_those_of_outgoing_connections_and_not_the_promised_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "PORTS", range(24_000, 24_002))
    monkeypatch.setattr(local, "_is_free", lambda _port: True)
    assert {local.free_port(but=24_000) for _ in range(20)} == {24_001}


def test_a_machine_without_a_free_port_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "_is_free", lambda _port: False)
    with pytest.raises(BrokerUnavailable, match="No free port"):
        local.free_port()


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            (
                "2026-01-01 ERROR KafkaRaftServer: Fatal\n"
                "org.apache.kafka.common.KafkaException: Socket server failed to bind\n"
                "\tat kafka.network.Acceptor.open(SocketServer.scala:1)\n"
                "Caused by: java.net.BindException: Address already in use\n"
                "\t... 2 more\n"
            ),
            "BindException: Address already in use",
        ),
        (
            'Exception in thread "main" java.lang.RuntimeException: Stored node id 7 differs\n\tat a.B.c(D:1)\n',
            "RuntimeException: Stored node id 7 differs",
        ),
        ("2026-01-01 WARN  A: odd\n2026-01-01 ERROR B: no space left\n", "B: no space left"),
        (
            "Error occurred during initialization of VM\nToo small maximum heap\n",
            "Error occurred during initialization of VM",
        ),
        ("something else\n", "something else"),
        ("\n", None),
    ],
)
def test_the_reason_in_a_log_is_the_innermost_cause_that_it_names(log: str, reason: str | None):
    assert local.reason_in_log(log) == reason


def test_a_broker_that_was_not_started_has_neither_address_nor_process(tmp_path: Path):
    broker = local.LocalBroker(tmp_path)
    broker.stop()
    assert not broker.is_alive()
    with pytest.raises(RuntimeError, match="no address"):
        _ = broker.bootstrap_servers
    with pytest.raises(RuntimeError, match="no process"):
        _ = broker.pid


def test_the_brokers_environment_holds_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALLWEAVE_API__SECRET_KEY", "hush")
    runtime = local.Runtime(local.Java(Path("java"), 21), (Path("a.jar"), Path("b.jar")), 384)
    environment = runtime.environment()
    assert environment["CLASSPATH"] == os.pathsep.join(("a.jar", "b.jar"))
    assert not [name for name in environment if name.startswith("CALLWEAVE_")]
