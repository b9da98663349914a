"""The exported contracts: those of the code, true of what is published, never broken under one schema_version."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from jsonschema import Draft202012Validator

from callweave.contracts.compatibility import breaking_changes
from callweave.contracts.export import contract_files, export_contracts
from callweave.contracts.json_schemas import json_schemas
from callweave.settings import KafkaSettings, Settings
from callweave.topics import apply_topics
from schemas import jsontext
from schemas.columns import TABLES, ColumnType
from schemas.models import Privacy
from schemas.session import document_digest
from schemas.topics import SESSIONS
from tests.support.golden import SCENARIOS, deliveries, run

ROOT = Path(__file__).parents[2]
RELEASED = Path(__file__).parent / "released"


def place_of(name: str) -> Path:
    return ROOT / "docs" / (name if name in ("data-dictionary.md", "metrics.md", "kpis.md") else f"contracts/{name}")


@pytest.mark.parametrize(("name", "text"), list(contract_files()), ids=lambda value: value if len(value) < 50 else "")
def test_the_contracts_in_docs_are_those_of_the_code(name, text):
    assert place_of(name).read_text() == text, "run `make contracts`, and look at the diff"


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*.json")), ids=lambda path: path.stem)
def test_a_released_contract_is_only_added_to(path):
    schema = json_schemas().get(path.stem)

    assert schema is not None, f"{path.stem} is gone: a released schema_version is published for ever"
    assert breaking_changes(json.loads(path.read_text()), schema) == [], "a breaking change needs a new schema_version"


def test_every_contract_has_a_released_form_to_be_compared_with():
    assert {path.stem for path in RELEASED.glob("*.json")} == set(json_schemas())


def published() -> list[tuple[bytes, bytes]]:
    """Every record of the sessions topic that the golden scenarios lead to."""
    return [record for scenario in SCENARIOS for record in run(deliveries(scenario)).sessions_topic]


def letters() -> list[bytes]:
    return [letter.encoded() for scenario in SCENARIOS for letter in run(deliveries(scenario)).letters]


def test_every_golden_session_and_letter_is_valid_under_its_schema():
    of_sessions = Draft202012Validator(json_schemas()["session.v1"])
    of_letters = Draft202012Validator(json_schemas()["dead_letter.v1"])

    problems = [error.message for _, value in published() for error in of_sessions.iter_errors(json.loads(value))]
    problems += [error.message for value in letters() for error in of_letters.iter_errors(json.loads(value))]

    assert published()
    assert letters()
    assert problems == []


def member(path: str, schema: dict[str, Any]) -> dict[str, Any]:
    for name in path.split("."):
        schema = schema["properties"][name]
    return schema


def test_a_schema_is_no_breaking_change_of_itself():
    for schema in json_schemas().values():
        assert breaking_changes(schema, schema) == []


def test_an_added_member_breaks_nothing():
    older = json_schemas()["session.v1"]
    newer = json.loads(json.dumps(older))
    member("session", newer)["properties"]["mood"] = {"type": "string"}

    assert breaking_changes(older, newer) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s["properties"].pop("talk_seconds"), "session.talk_seconds is gone"),
        (lambda s: s["properties"].update(has_cdr={"type": "string"}), "session.has_cdr. may be string now"),
        (lambda s: s["required"].remove("version"), "session.version may be missing now"),
        (lambda s: s["properties"]["schema_version"].update(const=2), "session.schema_version. may be 2 now"),
        (lambda s: s["properties"]["leg_count"].update(type=["integer", "null"]), "session.leg_count. may be null now"),
    ],
)
def test_what_readers_would_stumble_over_is_named(change, sentence):
    older = json_schemas()["session.v1"]
    newer = json.loads(json.dumps(older))
    change(member("session", newer))

    found = breaking_changes(older, newer)

    assert any(problem.startswith(sentence) for problem in found), found


def test_a_member_of_a_childs_that_changes_is_found_too():
    older = json_schemas()["session.v1"]
    newer = json.loads(json.dumps(older))
    newer["$defs"]["Recording"]["properties"].pop("url")

    assert breaking_changes(older, newer) == ["session.recordings.[].url is gone"]


def test_every_column_of_text_that_can_tell_of_a_person_says_so():
    told = {column.name for table in TABLES for column in table.columns if column.privacy is not Privacy.NONE}
    open_text = {column.name for table in TABLES for column in table.columns if column.type is ColumnType.JSON}

    assert open_text <= told
    assert {"caller", "callee", "customer_number", "endpoint_user", "agent_mail", "agent_name", "url", "raw"} <= told


def test_every_column_has_a_meaning():
    assert [column.name for table in TABLES for column in table.columns if not column.description] == []


def test_the_receivers_document_names_every_answer_and_every_way_to_authenticate():
    document = json.loads(dict(contract_files())["openapi.json"])
    push = document["paths"]["/tccc/push"]["post"]

    assert set(push["responses"]) == {"200", "400", "401", "404", "405", "408", "413", "429", "500", "503"}
    assert push["security"] == [{"basic": []}, {"bearer": []}, {"url_token": []}]


def test_export_writes_every_contract(tmp_path):
    written = export_contracts(tmp_path / "new" / "folder")

    assert sorted(path.name for path in written) == sorted(name for name, _ in contract_files())


def test_the_reader_in_the_docs_keeps_the_newest_document_of_every_session(kafka, topic_prefix):
    page = (ROOT / "docs/consuming-sessions.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(code) == 1
    records = published()
    newest: dict[bytes, tuple[int, str]] = {}
    for key, value in records:
        session = jsontext.decode(value)["session"]
        newest[key] = max(newest.get(key, (0, "")), (int(session["version"]), document_digest(session)))
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2))

    asyncio.run(_publish(settings, [*reversed(records), *records[:3], (b"1:retired", None)]))
    done = subprocess.run(
        [sys.executable, "-c", code[0], kafka, SESSIONS.name(topic_prefix)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    namespace: dict[str, Any] = {"__name__": "reader"}
    exec(compile(code[0], "consuming-sessions.md", "exec"), namespace)  # noqa: S102  (our own page)
    found: dict[bytes, Any] = {}
    asyncio.run(namespace["main"](kafka, SESSIONS.name(topic_prefix), found))

    assert done.stdout.startswith(f"{len(newest)} sessions, ")
    assert {key: rank for key, (rank, _) in found.items()} == newest


async def _publish(settings: Settings, records: list[tuple[bytes, bytes | None]]) -> None:
    await apply_topics(settings)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers)
    async with producer:
        for key, value in records:
            await producer.send_and_wait(SESSIONS.name(settings.kafka.topic_prefix), value, key)
