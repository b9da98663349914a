"""What each driver error means to the loader: one table a driver."""

import duckdb
import psycopg
import pytest
from clickhouse_connect.driver import exceptions as ch_errors
from psycopg import errors

from sinks import clickhouse_session, postgres_session
from sinks import duckdb as duckdb_sink
from sinks.backoff import delays
from sinks.refused import refused
from sinks.sink import Fault, MisconfiguredError


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ("08006", Fault.TRANSIENT),  # connection_failure
        ("25006", Fault.TRANSIENT),  # read_only_sql_transaction: a fail-over
        ("25P03", Fault.TRANSIENT),  # idle_in_transaction_session_timeout
        ("28P01", Fault.TRANSIENT),  # invalid_password
        ("3D000", Fault.TRANSIENT),  # invalid_catalog_name
        ("40001", Fault.TRANSIENT),  # serialization_failure
        ("40P01", Fault.TRANSIENT),  # deadlock_detected
        ("53100", Fault.TRANSIENT),  # disk_full
        ("53300", Fault.TRANSIENT),  # too_many_connections
        ("55P03", Fault.TRANSIENT),  # lock_not_available
        ("57014", Fault.TRANSIENT),  # query_canceled
        ("57P01", Fault.TRANSIENT),  # admin_shutdown
        ("57P03", Fault.TRANSIENT),  # cannot_connect_now
        ("58030", Fault.TRANSIENT),  # io_error
        ("22021", Fault.DATA),  # character_not_in_repertoire
        ("22003", Fault.DATA),  # numeric_value_out_of_range
        ("22P05", Fault.DATA),  # untranslatable_character
        ("23505", Fault.DATA),  # unique_violation
        ("54000", Fault.DATA),  # program_limit_exceeded
        ("42P01", Fault.BROKEN),  # undefined_table
        ("42501", Fault.BROKEN),  # insufficient_privilege
        ("25P02", Fault.BROKEN),  # in_failed_sql_transaction
        ("XX000", Fault.BROKEN),  # internal_error
    ],
)
def test_postgres_errors_are_told_apart_by_sqlstate(state: str, fault: Fault) -> None:
    assert postgres_session.fault_of(errors.lookup(state)("anything")) is fault


def test_errors_of_psycopg_itself_are_told_apart_by_class() -> None:
    found = [
        postgres_session.fault_of(kind("the connection is lost"))
        for kind in (psycopg.OperationalError, psycopg.InterfaceError, psycopg.ProgrammingError)
    ]

    assert found == [Fault.TRANSIENT, Fault.TRANSIENT, Fault.BROKEN]


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (duckdb.IOException, Fault.TRANSIENT),
        (duckdb.OutOfMemoryException, Fault.TRANSIENT),
        (duckdb.TransactionException, Fault.TRANSIENT),
        (duckdb.InterruptException, Fault.TRANSIENT),
        (duckdb.FatalException, Fault.TRANSIENT),
        (duckdb.ConnectionException, Fault.TRANSIENT),
        (duckdb.ConversionException, Fault.DATA),
        (duckdb.ConstraintException, Fault.DATA),
        (duckdb.OutOfRangeException, Fault.DATA),
        (duckdb.CatalogException, Fault.BROKEN),
        (duckdb.BinderException, Fault.BROKEN),
        (duckdb.ParserException, Fault.BROKEN),
    ],
)
def test_duckdb_errors_are_told_apart_by_class(kind: type[duckdb.Error], fault: Fault) -> None:
    assert duckdb_sink.fault_of(kind("anything")) is fault


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (81, Fault.TRANSIENT),  # UNKNOWN_DATABASE
        (159, Fault.TRANSIENT),  # TIMEOUT_EXCEEDED
        (202, Fault.TRANSIENT),  # TOO_MANY_SIMULTANEOUS_QUERIES
        (209, Fault.TRANSIENT),  # SOCKET_TIMEOUT
        (241, Fault.TRANSIENT),  # MEMORY_LIMIT_EXCEEDED
        (242, Fault.TRANSIENT),  # TABLE_IS_READ_ONLY
        (243, Fault.TRANSIENT),  # NOT_ENOUGH_SPACE
        (252, Fault.TRANSIENT),  # TOO_MANY_PARTS
        (319, Fault.TRANSIENT),  # UNKNOWN_STATUS_OF_INSERT
        (516, Fault.TRANSIENT),  # AUTHENTICATION_FAILED
        (999, Fault.TRANSIENT),  # KEEPER_EXCEPTION
        (53, Fault.DATA),  # TYPE_MISMATCH
        (117, Fault.DATA),  # INCORRECT_DATA
        (349, Fault.DATA),  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        (469, Fault.DATA),  # VIOLATED_CONSTRAINT
        (16, Fault.BROKEN),  # NO_SUCH_COLUMN_IN_TABLE
        (60, Fault.BROKEN),  # UNKNOWN_TABLE
        (62, Fault.BROKEN),  # SYNTAX_ERROR
        (164, Fault.BROKEN),  # READONLY
        (497, Fault.BROKEN),  # ACCESS_DENIED
    ],
)
def test_clickhouse_errors_are_told_apart_by_code(code: int, fault: Fault) -> None:
    assert clickhouse_session.fault_of(ch_errors.DatabaseError("anything", code=code)) is fault


def test_clickhouse_errors_without_a_code_are_told_apart_by_class() -> None:
    found = [
        clickhouse_session.fault_of(kind("no answer"))
        for kind in (ch_errors.OperationalError, ch_errors.DatabaseError, ch_errors.ProgrammingError)
    ]

    # Nobody answers; a proxy answers; we call the driver wrongly.
    assert found == [Fault.TRANSIENT, Fault.TRANSIENT, Fault.BROKEN]


def test_the_password_is_in_no_text_of_clickhouse() -> None:
    address = clickhouse_session.Address("clickhouse://u:pass%20word@h/d?secure=true")

    assert (str(address), repr(address)) == ("clickhouse://h:8443/d", "Address(clickhouse://h:8443/d)")
    assert address.plain(ch_errors.DatabaseError("not\n  pass word")) == "not ***"


def test_the_password_is_in_no_text() -> None:
    address = postgres_session.Address("postgresql://u:pass%20word@h:5433/d")
    error = psycopg.OperationalError("FATAL: not\n  pass word")

    assert str(address) == "postgresql://h:5433/d"
    assert repr(address) == "Address(postgresql://h:5433/d)"
    assert address.plain(error) == "FATAL: not ***"


def test_an_address_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(MisconfiguredError) as caught:
        postgres_session.Address("postgresql://u:hush@h/d?nonsense=1")

    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_halving_finds_every_refused_item_and_no_other() -> None:
    bad = {0, 7, 8, 99}
    attempts: list[tuple[int, int]] = []

    def attempt(start: int, stop: int) -> str | None:
        attempts.append((start, stop))
        found = bad & set(range(start, stop))
        return f"bad: {min(found)}" if found else None

    assert refused(100, attempt) == {position: f"bad: {position}" for position in bad}
    assert len(attempts) < 60
    assert refused(0, attempt) == {}


def test_waits_grow_to_their_limit_and_are_never_in_step() -> None:
    waits = delays(0.5, 30)
    drawn = [next(waits) for _ in range(12)]

    assert 0.25 <= drawn[0] <= 0.5
    assert all(15 <= wait <= 30 for wait in drawn[7:])
    assert len(set(drawn)) == len(drawn)
