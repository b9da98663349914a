"""Contracts in a schema registry: each topic's schema under its subject, additions taken, breaking changes refused."""

import json
from collections.abc import Iterator

import pytest

from callweave.contracts.asyncapi import payload_schemas
from callweave.contracts.json_schemas import json_schemas
from callweave.contracts.registry import DIALECT, Registry, RegistryError, check, register, subjects
from callweave.doctor import _registry
from callweave.settings import Settings
from tests.support.program import Program
from tests.support.registry import a_registry

PREFIX = "tccc."
SESSIONS = "tccc.sessions-value"


@pytest.fixture
def fake():
    with a_registry() as registry:
        yield registry


def without_a_member(subject: str, *, of: str = "properties") -> str:
    schema = json.loads(subjects(PREFIX)[subject]["schema"])
    schema[of].pop(min(schema[of]))
    return json.dumps(schema)


def with_a_member(subject: str) -> str:
    schema = json.loads(subjects(PREFIX)[subject]["schema"])
    schema["properties"]["of_yesterday"] = {"type": "string"}
    return json.dumps(schema)


def test_every_topic_has_its_subject_and_the_schema_that_is_exported():
    due = subjects(PREFIX)

    assert set(due) == {f"{PREFIX}{suffix}-value" for suffix in payload_schemas()}
    assert json.loads(due[SESSIONS]["schema"]) == {**json_schemas()["session.v1"], "$schema": DIALECT}
    assert {schema["schemaType"] for schema in due.values()} == {"JSON"}


def test_what_is_registered_means_the_same_in_the_dialect_that_registries_judge():
    """Both read these alike; beside `$ref` draft-07 reads nothing, so nothing that judges may stand there."""
    alike = {
        *("$ref", "$defs", "anyOf", "const", "enum", "format", "items", "maxLength", "maximum", "minLength", "minimum"),
        *("additionalProperties", "default", "description", "pattern", "properties", "required", "title", "type"),
    }

    def nodes(node: object) -> Iterator[dict[str, object]]:
        match node:
            case dict():
                yield node
                for name, value in node.items():
                    is_by_name = name in ("properties", "$defs")
                    yield from (
                        (found for child in value.values() for found in nodes(child)) if is_by_name else nodes(value)
                    )
            case list():
                for child in node:
                    yield from nodes(child)

    for schema in json_schemas().values():
        inner = {name: value for name, value in schema.items() if name != "$schema"}
        for node in nodes(inner):
            assert set(node) <= alike
            assert "$ref" not in node or set(node) <= {"$ref", "default", "description"}


def test_registering_twice_equals_once_and_a_check_changes_nothing(fake):
    registry = Registry(fake.url)
    before = check(registry, PREFIX)
    assert fake.subjects == {}
    first, second = list(register(registry, PREFIX)), list(register(registry, PREFIX))

    assert {one.version for one in before} == {None}
    assert [(one.version, one.problem) for one in first] == [(1, None)] * len(first)
    assert second == first == check(registry, PREFIX)
    assert set(fake.levels.values()) == {"FORWARD"}


def test_a_member_more_is_a_new_version_and_a_member_less_is_refused(fake):
    registry = Registry(fake.url)
    list(register(registry, PREFIX))
    fake.subjects[SESSIONS] = [without_a_member(SESSIONS)]
    added = next(one for one in register(registry, PREFIX) if one.subject == SESSIONS)
    fake.subjects[SESSIONS] = [with_a_member(SESSIONS)]
    removed = next(one for one in register(registry, PREFIX) if one.subject == SESSIONS)

    assert (added.version, added.problem) == (2, None)
    assert (removed.version, removed.problem) == (None, "PROPERTY_REMOVED of_yesterday")
    assert fake.subjects[SESSIONS] == [with_a_member(SESSIONS)]


def test_credentials_are_sent_and_what_refuses_them_is_said_without_them(fake):
    settings = Settings.model_validate(
        {"registry": {"url": fake.url, "username": "me", "password": "hush"}, "data_dir": "x"}
    )
    fake.status = 401
    found = _registry(settings)

    assert set(fake.authorization) == {"Basic bWU6aHVzaA=="}
    assert [finding.is_ok for finding in found] == [False]
    assert "REGISTRY__USERNAME" in found[0].finding
    assert "hush" not in found[0].finding


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://x", "nonsense"])
def test_what_is_no_registry_is_one_sentence(url):
    with pytest.raises(RegistryError, match=r"schema registry"):
        check(Registry(url), PREFIX)


def test_doctor_says_what_stands_there_and_what_would_break(fake):
    def said() -> list[tuple[bool, str]]:
        settings = Settings.model_validate({"registry": {"url": fake.url}})
        return [(finding.is_ok, finding.finding) for finding in _registry(settings)]

    nothing = said()
    list(register(Registry(fake.url), PREFIX))
    whole = said()
    fake.subjects[SESSIONS] = [with_a_member(SESSIONS)]
    broken = said()

    assert _registry(Settings()) == []
    assert [ok for ok, _ in nothing] == [True]
    assert "callweave contracts register" in nothing[0][1]
    assert whole[0][1].startswith(f"{len(payload_schemas())} subjects")
    assert broken[0][0] is False
    assert "PROPERTY_REMOVED of_yesterday" in broken[0][1]


def test_the_command_registers_checks_and_ends_with_one_where_readers_would_break(fake, tmp_path):
    program = Program(tmp_path / "data", "127.0.0.1:1", PREFIX, {})
    nowhere = program.run("contracts", "register", expect=2)
    done = program.run("contracts", "register", "--registry", fake.url)
    fake.subjects[SESSIONS] = [with_a_member(SESSIONS)]
    broken = program.run("contracts", "register", "--registry", fake.url, "--check", expect=1)

    assert "CALLWEAVE_REGISTRY__URL" in nowhere.stderr
    assert f"{SESSIONS}\t1\tok" in done.stdout
    assert "PROPERTY_REMOVED of_yesterday" in broken.stdout
