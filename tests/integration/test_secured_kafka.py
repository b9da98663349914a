"""TLS, SASL and permissions against the real broker: each role works with exactly what is listed for it."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError
from pydantic import SecretStr

from callweave.acls import PRINCIPAL_PREFIX, Acl, Client, Operation, acls_of, apply_acls
from callweave.kafka import client_options
from callweave.settings import ArchiverSettings, KafkaSettings, MisconfiguredError, Settings
from callweave.simulator.scenario import make_sessions
from callweave.topics import apply_topics
from tests.integration.test_reconcile import api_of
from tests.support.api import a_ledger_of
from tests.support.program import Program, eventually
from tests.support.pushes import a_record
from tests.support.recordings_host import a_wav, recordings_host
from tests.support.secured import LAME, MECHANISM, PASSWORD, SecuredKafka, secured_kafka

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PARTITIONS = 4


@pytest.fixture(scope="module")
def kafka_with_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.fixture(scope="module")
def shared_prefix(kafka_with_locks: SecuredKafka) -> str:
    """Topics and permissions for those who only try what they must not."""
    prefix = "refused."
    given(kafka_with_locks, prefix)
    return prefix


def settings_of(broker: SecuredKafka, prefix: str) -> Settings:
    kafka = KafkaSettings(bootstrap_servers=broker.plain, topic_prefix=prefix, partitions=PARTITIONS)
    return Settings(kafka=kafka, archiver=ArchiverSettings(store=SecretStr("archive")))


def push(url: str, session_id: str) -> dict[str, Any]:
    body = json.dumps({"SdkAppId": 1, "SessionId": session_id, "Direction": 0}).encode()
    with _direct.open(urllib.request.Request(f"{url}?action=cdr", data=body), timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def asked(url: str) -> dict[str, Any]:
    with _direct.open(url, timeout=90) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def readiness(program: Program, role: str) -> dict[str, Any]:
    entry = program.roles().get(role) or {}
    if not entry.get("admin_url"):
        return {}
    try:
        with _direct.open(f"{entry['admin_url']}/health/ready", timeout=10) as response:
            said: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as exc:
        said = json.load(exc)
    except OSError:
        return {}
    return said


def given(broker: SecuredKafka, prefix: str) -> None:
    """The topics, and what each role may do with them, as `topics apply` and `topics acls --apply` leave it."""
    settings = settings_of(broker, prefix)
    asyncio.run(apply_topics(settings))
    asyncio.run(apply_acls(settings, acls_of(settings), PRINCIPAL_PREFIX))


@pytest.mark.timeout(600)
def test_every_role_and_every_command_works_over_tls_and_scram_with_the_listed_permissions_alone(
    kafka_with_locks: SecuredKafka, tmp_path: Path, topic_prefix: str
) -> None:
    call = make_sessions(seed=1, count=1, now=int(time.time()) - 30 * 86_400, days=1)[0]
    app = str(call.sdk_app_id)
    with ExitStack() as held:
        host = held.enter_context(recordings_host())
        host.files["/r.wav"] = a_wav()
        administrator = kafka_with_locks.administrator(tmp_path, topic_prefix)
        endpoint = held.enter_context(api_of(administrator, a_ledger_of(tmp_path, [call])))
        more = {
            "ARCHIVER__STORE": str(tmp_path / "archive"),
            "ARCHIVER__ALLOWED_NETWORKS": "127.0.0.1/32",
            "ARCHIVER__DELAY_SECONDS": "0",
            "ARCHIVER__FREE_BYTES_MIN": "0",
            "API__SECRET_ID": "AKIDsimulated",
            "API__SECRET_KEY": "simulated-key",
            "API__SDK_APP_IDS": app,
            "API__ENDPOINT": endpoint,
            "PRIVACY__KEY": "planted-key-of-32-characters-and-more",
            "DASHBOARD__ENABLED": "true",
            "DASHBOARD__PORT": "0",
        }
        administrator.settings |= more
        shown = administrator.run("topics", "acls").stdout.splitlines()
        assert f"{len(shown)} permissions are given" in administrator.run("topics", "acls", "--apply").stderr
        programs = {client: kafka_with_locks.client(tmp_path, topic_prefix, client) for client in Client}
        operator = programs[Client.OPERATOR]
        operator.settings |= more
        operator.run("topics", "apply")
        operator.run("topics", "check")
        for client, program in programs.items():
            program.settings |= more
            if client is not Client.OPERATOR:
                held.enter_context(program.role(client))
        url = eventually(lambda: operator.roles().get("receiver", {}).get("push_url"))
        body = json.dumps(a_record(SdkAppId=call.sdk_app_id, SessionId="s", RecordURL=f"{host.url}/r.wav")).encode()
        with _direct.open(urllib.request.Request(f"{url}?action=record", data=body), timeout=60) as response:
            assert json.load(response)["ErrCode"] == 0
        with _direct.open(urllib.request.Request(url, data=b"no JSON"), timeout=60) as response:
            assert json.load(response)["ErrCode"] == 0
        for client in set(Client) - {Client.OPERATOR}:
            eventually(lambda client=client: readiness(operator, client).get("ready"))
        operator.run("status", "--wait-idle", "90")
        eventually(lambda: files(operator) == [{"status": "stored"}])
        # The page reads lag, and the pushes of a call.
        page = operator.roles()["dashboard"]["page_url"]
        assert asked(f"{page}api/standing")["facts"]["kafka_problem"] is None
        shown_call = asked(f"{page}api/call?sdk_app_id={app}&session_id=s&pushes=1")
        assert (shown_call["facts"]["kafka_problem"], len(shown_call["tables"]["pushes"]["rows"])) == (None, 1)

        doctor = operator.run("doctor", "--json", expect=None).stdout
        findings = {line["check"]: line["ok"] for line in json.loads(doctor)}
        assert (findings["broker"], findings["topics"]) == (True, True), findings
        operator.run("archive", "hold", app, "s", "--reason", "a case")
        operator.run("archive", "hold", app, "s", "--release")
        assert "UNDECODABLE" in operator.run("dead-letters", "list").stdout
        operator.run("dead-letters", "replay", "--reason", "UNDECODABLE", expect=1)
        for origin in ("sessions", "raw"):
            operator.run("rebuild", "--from", origin, "--dry-run")
        operator.run("export", "--date", "yesterday", "--out", str(tmp_path / "export"))
        operator.run("erase", "--session", f"{app}:s")
        assert [readiness(operator, client).get("degraded") for client in set(Client) - {Client.OPERATOR}] == [None] * 6


def files(program: Program) -> list[dict[str, Any]]:
    """Of the archive; none while the loader has not laid out their table."""
    done = program.run("sql", "select status from recording_files", "--json", expect=None)
    found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    return found


async def tried(settings: Settings, topic: str, operation: Operation) -> None:
    """Write a record to the topic, or read one from it, as the user of the settings."""
    if operation is Operation.WRITE:
        async with AIOKafkaProducer(**client_options(settings)) as producer:
            await producer.send_and_wait(topic, b"x", b"x", partition=0)
    else:
        async with AIOKafkaConsumer(**client_options(settings), auto_offset_reset="earliest") as consumer:
            consumer.assign([TopicPartition(topic, 0)])
            await consumer.getone()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("client", "name", "operation"),
    [
        (Client.RECEIVER, "cdr", Operation.READ),
        (Client.RECEIVER, "sessions", Operation.WRITE),
        (Client.WORKER, "cdr", Operation.WRITE),
        (Client.WORKER, "dead_letters", Operation.READ),
        (Client.LOADER, "sessions", Operation.WRITE),
        (Client.LOADER, "reconcile", Operation.WRITE),
        (Client.RECONCILE, "sessions", Operation.WRITE),
        (Client.RECONCILE, "cdr", Operation.READ),
        (Client.ARCHIVER, "sessions", Operation.WRITE),
        (Client.ARCHIVER, "cdr", Operation.WRITE),
        (Client.DASHBOARD, "sessions", Operation.WRITE),
        (Client.DASHBOARD, "cdr", Operation.WRITE),
        (Client.OPERATOR, "sessions", Operation.WRITE),
    ],
)
def test_a_role_is_refused_what_it_does_not_need(
    kafka_with_locks: SecuredKafka, shared_prefix: str, client: Client, name: str, operation: Operation
) -> None:
    kafka = KafkaSettings(
        bootstrap_servers=kafka_with_locks.secured,
        topic_prefix=shared_prefix,
        security_protocol="SASL_SSL",
        sasl_mechanism=MECHANISM,
        sasl_username=f"callweave-{client}",
        sasl_password=SecretStr(PASSWORD),
        ssl_cafile=kafka_with_locks.ca_file,
    )

    with pytest.raises(TopicAuthorizationFailedError):
        asyncio.run(asyncio.wait_for(tried(Settings(kafka=kafka), f"{shared_prefix}{name}", operation), 30))


def lame(broker: SecuredKafka, folder: Path, prefix: str, client: Client, lacks: Acl) -> Program:
    """The program as a user who has all permissions of a role but one."""
    settings = settings_of(broker, prefix)
    given = [acl for acl in acls_of(settings) if acl.client is client]
    assert lacks in given
    asyncio.run(apply_acls(settings, [acl for acl in given if acl != lacks], f"User:callweave-{LAME}"))
    program = broker.client(folder, prefix, f"{LAME}{client}")
    program.settings |= {
        "ARCHIVER__STORE": str(folder / "archive"),
        "API__SECRET_ID": "id",
        "API__SECRET_KEY": "key",
        "API__SDK_APP_IDS": "1400000001",
        "API__ENDPOINT": "127.0.0.1:1",
        "DASHBOARD__ENABLED": "true",
        "DASHBOARD__PORT": "0",
    }
    return program


def listed(broker: SecuredKafka, prefix: str, client: Client, name: str, operation: Operation) -> Acl:
    acls = acls_of(settings_of(broker, prefix))
    return next(acl for acl in acls if (acl.client, acl.name, acl.operation) == (client, f"{prefix}{name}", operation))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "lacking",
    [
        (Client.RECEIVER, "cdr", Operation.WRITE, "WRITE on the topic"),
        (Client.WORKER, "worker", Operation.READ, "READ on the group"),
        (Client.WORKER, "sessions", Operation.WRITE, "WRITE on the topic"),
        (Client.LOADER, "sessions", Operation.READ, "READ on the topic"),
        (Client.RECONCILE, "reconcile", Operation.READ, "READ on the topic"),
        (Client.ARCHIVER, "archiver", Operation.READ, "READ on the group"),
        (Client.DASHBOARD, "worker", Operation.DESCRIBE, "DESCRIBE on the group"),
    ],
    ids=lambda lacking: f"{lacking[0]}-{lacking[1]}",
)
def test_a_missing_permission_is_said_in_a_sentence_and_loses_nothing(
    kafka_with_locks: SecuredKafka,
    tmp_path: Path,
    topic_prefix: str,
    lacking: tuple[Client, str, Operation, str],
) -> None:
    client, name, operation, sentence = lacking
    asyncio.run(apply_topics(settings_of(kafka_with_locks, topic_prefix)))
    lacks = listed(kafka_with_locks, topic_prefix, client, name, operation)
    program = lame(kafka_with_locks, tmp_path, topic_prefix, client, lacks)

    def says() -> bool:
        said = readiness(program, client)
        return sentence in str(said.get("reason") or said.get("degraded"))

    with program.role(client):
        if client is Client.RECEIVER:
            url = eventually(lambda: program.roles().get("receiver", {}).get("push_url"))
            assert push(url, "s")["ErrCode"] == 0, "its spool has it"
        eventually(says, seconds=60)


def test_a_certificate_authority_that_is_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    kafka = KafkaSettings(bootstrap_servers="b:1", security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem")

    with pytest.raises(MisconfiguredError, match="certificates cannot be used"):
        client_options(Settings(kafka=kafka))
