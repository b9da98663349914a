"""TLS, SASL and permissions against the real broker: each role works with exactly what is listed for it."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callweave.acls import Acl, Client, Operation, acls_of, apply_acls
from callweave.kafka import client_options
from callweave.settings import KafkaSettings, MisconfiguredError, Settings
from tests.support.program import Program, eventually
from tests.support.secured import LAME, SecuredKafka, secured_kafka

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PARTITIONS = 4


@pytest.fixture(scope="module")
def kafka_with_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


def settings_of(broker: SecuredKafka, prefix: str) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=broker.plain, topic_prefix=prefix, partitions=PARTITIONS))


def push(url: str, session_id: str) -> dict[str, Any]:
    body = json.dumps({"SdkAppId": 1, "SessionId": session_id, "Direction": 0}).encode()
    with _direct.open(urllib.request.Request(f"{url}?action=cdr", data=body), timeout=30) as response:
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


@pytest.mark.timeout(300)
def test_every_role_works_over_tls_and_scram_with_the_listed_permissions_alone(
    kafka_with_locks: SecuredKafka, tmp_path: Path, topic_prefix: str
) -> None:
    administrator = kafka_with_locks.administrator(tmp_path, topic_prefix)
    shown = administrator.run("topics", "acls").stdout.splitlines()
    assert f"{len(shown)} permissions are given" in administrator.run("topics", "acls", "--apply").stderr
    operator = kafka_with_locks.client(tmp_path, topic_prefix, Client.OPERATOR)
    operator.run("topics", "apply")
    operator.run("topics", "check")

    receiver, worker, loader, page = (
        kafka_with_locks.client(tmp_path, topic_prefix, role)
        for role in (Client.RECEIVER, Client.WORKER, Client.LOADER, Client.DASHBOARD)
    )
    page.settings["DASHBOARD__PORT"] = "0"
    with receiver.role("receiver"), worker.role("worker"), loader.role("loader"), page.role("dashboard"):
        url = eventually(lambda: receiver.roles().get("receiver", {}).get("push_url"))
        assert push(url, "s")["ErrCode"] == 0
        operator.run("status", "--wait-idle", "90")
        assert operator.sql("select session_id from sessions") == [{"session_id": "s"}]
        # The page reads lag, and the pushes of a call.
        page_url = eventually(lambda: page.roles().get("dashboard", {}).get("page_url"))
        assert asked(f"{page_url}api/standing")["facts"]["kafka_problem"] is None
        call = asked(f"{page_url}api/call?sdk_app_id=1&session_id=s&pushes=1")
        assert (call["facts"]["kafka_problem"], len(call["tables"]["pushes"]["rows"])) == (None, 1)
        eventually(lambda: readiness(page, "dashboard").get("ready"))
        findings = {
            line["check"]: line["ok"] for line in json.loads(operator.run("doctor", "--json", expect=None).stdout)
        }
        assert all(findings[check] for check in findings if check in {"broker", "topics"}), findings
        eventually(lambda: readiness(worker, "worker").get("ready"))
        # Still so after the worker has watched its own group, and the receiver opened its producer for letters.
        body = b"no JSON"
        with _direct.open(urllib.request.Request(url, data=body), timeout=30) as response:
            assert json.load(response)["ErrCode"] == 0
        operator.run("status", "--wait-idle", "90")
        assert operator.sql("select reason from dead_letters") == [{"reason": "UNDECODABLE"}]
        assert "ready" in readiness(receiver, "receiver")
        assert readiness(receiver, "receiver")["degraded"] is None, "nothing went to the spool instead"


def lame(broker: SecuredKafka, folder: Path, prefix: str, client: Client, lacks: Acl) -> Program:
    """The program as a user who has all permissions of a role but one."""
    settings = settings_of(broker, prefix)
    given = [acl for acl in acls_of(settings) if acl.client is client]
    assert lacks in given
    asyncio.run(apply_acls(settings, [acl for acl in given if acl != lacks], f"User:callweave-{LAME}"))
    return broker.client(folder, prefix, f"{LAME}{client}")


def listed(broker: SecuredKafka, prefix: str, client: Client, name: str, operation: Operation) -> Acl:
    acls = acls_of(settings_of(broker, prefix))
    return next(acl for acl in acls if (acl.client, acl.name, acl.operation) == (client, f"{prefix}{name}", operation))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "lacking",
    [
        (Client.RECEIVER, "cdr", Operation.WRITE, "WRITE on the topic"),
        (Client.WORKER, "worker", Operation.READ, "READ on the group"),
        (Client.WORKER, "sessions", Operation.WRITE, "WRITE on the topic"),
        (Client.LOADER, "sessions", Operation.READ, "READ on the topic"),
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
    kafka_with_locks.administrator(tmp_path, topic_prefix).run("topics", "apply")
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
