"""The broker of one machine, for real: what it takes, what it keeps over a restart, and whom it does not outlive."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError, for_code

from callweave.broker import local
from callweave.broker.jars import BrokerUnavailable
from callweave.broker.local import HOST, MESSAGE_BYTES_MAX, LocalBroker
from callweave.broker.probe import ask_cluster
from tests.support.broker import kafka_version

pytestmark = pytest.mark.services

TOPIC = "letters"
# What is left of the topic's limit once Kafka's own record and batch headers are in.
VALUE = os.urandom(MESSAGE_BYTES_MAX - 1024)
SUPERVISOR = """
import sys, time
from pathlib import Path
from callweave.broker.local import LocalBroker
broker = LocalBroker(Path(sys.argv[1]), version=sys.argv[2]).start()
print(broker.pid, broker.bootstrap_servers, flush=True)
time.sleep(600)
"""


linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc and a parent-death signal")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    with LocalBroker(tmp_path_factory.mktemp("kafka"), version=kafka_version()) as broker:
        yield broker


async def create_topic(bootstrap_servers: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        configs = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
        answer = await admin.create_topics([NewTopic(name, 1, 1, topic_configs=configs)])
        assert [for_code(error[1]).errno for error in answer.topic_errors] == [0]
    finally:
        await admin.close()


async def produce(bootstrap_servers: str, value: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, enable_idempotence=True, max_request_size=MESSAGE_BYTES_MAX
    )
    async with producer:
        await producer.send_and_wait(TOPIC, value)


async def consume(bootstrap_servers: str) -> bytes:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    async with consumer:
        consumer.assign([TopicPartition(TOPIC, 0)])
        message = await consumer.getone()
        assert message.value is not None
        return message.value


async def consume_in_group(bootstrap_servers: str) -> bytes:
    async with AIOKafkaConsumer(
        TOPIC, bootstrap_servers=bootstrap_servers, group_id="readers", auto_offset_reset="earliest"
    ) as consumer:
        message = await consumer.getone()
        await consumer.commit()
        assert message.value is not None
        return message.value


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]


def wait_until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


async def test_the_largest_message_survives_a_restart_on_the_same_directory(tmp_path: Path):
    data_dir = tmp_path / "Daten, 数据 = x"  # what a path may hold, and a properties file may not
    with LocalBroker(data_dir, version=kafka_version()) as first:
        await create_topic(first.bootstrap_servers, TOPIC)
        await produce(first.bootstrap_servers, VALUE)
        assert await consume_in_group(first.bootstrap_servers) == VALUE
        cluster = ask_cluster(HOST, int(first.bootstrap_servers.rpartition(":")[2]))
    assert not first.is_alive()
    with LocalBroker(data_dir, version=kafka_version()) as second:
        again = ask_cluster(HOST, int(second.bootstrap_servers.rpartition(":")[2]))
        assert await consume(second.bootstrap_servers) == VALUE
    assert cluster is not None
    assert again is not None
    assert cluster.cluster_id == again.cluster_id


async def test_a_topic_that_nobody_created_does_not_come_into_being(broker: LocalBroker):
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, request_timeout_ms=2_000) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.send_and_wait("typo", b"")


def test_a_broker_comes_back_at_the_same_address_even_when_it_was_killed(tmp_path: Path):
    with LocalBroker(tmp_path, version=kafka_version()) as broker:
        address = broker.bootstrap_servers
        os.kill(broker.pid, signal.SIGKILL)
        wait_until(lambda: not broker.is_alive())
        broker.start()
        assert broker.bootstrap_servers == address
        broker.stop()
        assert not broker.is_alive()


def test_a_second_broker_on_the_same_directory_is_refused_and_the_first_goes_on(broker: LocalBroker):
    with pytest.raises(BrokerUnavailable, match=rf"in use by another broker, which process {os.getpid()} started"):
        LocalBroker(broker.data_dir, version=broker.version).start()
    assert broker.is_alive()
    assert ask_cluster(HOST, int(broker.bootstrap_servers.rpartition(":")[2])) is not None


@linux
def test_it_listens_on_this_machine_only(broker: LocalBroker):
    sockets = {entry.stat().st_ino for entry in Path(f"/proc/{broker.pid}/fd").iterdir() if entry.exists()}
    listening = [
        fields[1].partition(":")[0]
        for table in ("tcp", "tcp6")
        for fields in (line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:])
        if fields[3] == "0A" and int(fields[9]) in sockets
    ]
    assert listening
    assert {address[-8:] for address in listening} == {"0100007F"}


@linux
def test_a_broker_does_not_outlive_a_killed_supervisor_whose_successor_takes_the_directory(tmp_path: Path):
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path), kafka_version()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline().split()[0])
        assert is_running(pid)
        supervisor.kill()
    with LocalBroker(tmp_path, version=kafka_version()) as successor:
        assert not is_running(pid)
        assert successor.is_alive()


def test_a_port_that_is_taken_is_named(tmp_path: Path):
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BrokerUnavailable, match=rf"Port {port} .* is taken"):
            LocalBroker(tmp_path, version=kafka_version(), port=port).start()


def test_a_port_that_is_lost_between_choosing_and_binding_is_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with socket.create_server((HOST, 0)) as other:
        choices = [other.getsockname()[1], local.free_port()]
        real = local.free_port
        monkeypatch.setattr(local, "free_port", lambda but=None: choices.pop(0) if but is None else real(but=but))
        with LocalBroker(tmp_path, version=kafka_version()) as broker:
            assert broker.is_alive()
    assert choices == []


def test_a_broker_that_cannot_start_says_why_from_its_log(tmp_path: Path):
    broker = LocalBroker(tmp_path, version=kafka_version())
    broker.start().stop()
    meta = tmp_path / "topics" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(BrokerUnavailable, match=r"exit status 1: .*node id 7.*broker\.log"):
        broker.start()
    assert not broker.is_alive()
