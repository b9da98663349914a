"""The contracts in a real schema registry: asked twice, registered once; and what would break readers, not at all."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from callweave.broker.jars import BrokerUnavailable
from callweave.contracts.registry import DIALECT, Registry, RegistryError, look, register, subjects
from tests.support.program import Program
from tests.support.registry_server import a_real_registry, distribution

SESSIONS = "sessions-value"


@pytest.fixture(scope="module")
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        archive = distribution()
    except BrokerUnavailable as exc:
        if "not the pinned file" in str(exc):
            raise
        pytest.skip(f"the registry, 109 MB of Maven Central, cannot be had ({exc})")
    with a_real_registry(archive, tmp_path_factory.mktemp("registry")) as url:
        yield url


def sessions_schema(prefix: str, **changes: object) -> dict[str, str]:
    """The schema of the sessions topic, some of its members changed (None: taken away)."""
    schema = json.loads(subjects(prefix)[f"{prefix}{SESSIONS}"]["schema"])
    assert schema["$schema"] == DIALECT
    members = {**schema["properties"], **changes}
    schema["properties"] = {name: member for name, member in members.items() if member is not None}
    return {"schemaType": "JSON", "schema": json.dumps(schema)}


@pytest.mark.timeout(600)
def test_the_command_registers_and_twice_equals_once(registry_url: str, tmp_path: Path) -> None:
    program = Program(tmp_path / "data", "127.0.0.1:1", "twice.", {"REGISTRY__URL": registry_url})
    before = program.run("contracts", "register", "--check").stdout
    once = program.run("contracts", "register").stdout
    twice = program.run("contracts", "register").stdout
    there = Registry(registry_url).ask("GET", "/subjects")

    assert before.count("not registered") == len(subjects("twice."))
    assert once == twice
    assert once.count("\t1\tok") == len(subjects("twice."))
    assert {subject for subject in there if subject.startswith("twice.")} == set(subjects("twice."))


@pytest.mark.timeout(600)
def test_a_member_more_may_come_and_what_breaks_readers_may_not(registry_url: str) -> None:
    registry = Registry(registry_url)
    list(register(registry, "breaks."))
    subject = f"breaks.{SESSIONS}"
    added = look(registry, subject, sessions_schema("breaks.", of_tomorrow={"type": "string"}))
    assert (added.version, added.problem) == (None, None)

    for change in ({"version": None}, {"version": {"type": "integer"}}):
        broken = sessions_schema("breaks.", **change)
        assert look(registry, subject, broken).problem is not None, change
        # The gate is the registry's own, too: whoever does not ask first is refused.
        with pytest.raises(RegistryError, match="409"):
            registry.ask("POST", f"/subjects/{subject}/versions", broken)


@pytest.mark.timeout(600)
def test_a_registry_that_holds_more_than_we_do_makes_the_command_end_with_one(
    registry_url: str, tmp_path: Path
) -> None:
    registry = Registry(registry_url)
    list(register(registry, "older."))
    registry.ask(
        "POST", f"/subjects/older.{SESSIONS}/versions", sessions_schema("older.", of_yesterday={"type": "string"})
    )
    program = Program(tmp_path / "data", "127.0.0.1:1", "older.", {"REGISTRY__URL": registry_url})

    assert f"older.{SESSIONS}\t1\tok" in program.run("contracts", "register", "--check").stdout
    registry.ask("DELETE", f"/subjects/older.{SESSIONS}/versions/1")
    broken = program.run("contracts", "register", expect=1).stdout
    assert f"older.{SESSIONS}\t\tit is incompatible" in broken
