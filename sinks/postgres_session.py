"""A connection to Postgres: where it goes, what its errors mean, and how its address is shown without the password."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sinks.sink import Fault, MisconfiguredError, SinkUnavailableError

# The address may say otherwise. Without them, a server that vanished without a word would hold the loader for hours.
_DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "callweave",
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_SESSION: Final = "SET search_path TO public; SET TimeZone TO 'UTC'"

_TRANSIENT_CLASSES: Final = frozenset(
    {
        "08",  # connection exceptions
        "28",  # the server does not let us in: a person is changing a password or a rule
        "3D",  # the database is not there, yet
        "40",  # serialization failure, deadlock
        "53",  # disk full, out of memory, too many connections
        "57",  # shutdown, starting up, cancelled by a timeout
        "58",  # the server's own input and output
    }
)
_TRANSIENT_STATES: Final = frozenset(
    {
        "25006",  # read-only: a standby, or a server that fails over
        "25P03",  # we were idle in a transaction for too long
        "55006",  # in use
        "55P03",  # a lock was not to be had in time
    }
)
_DATA_CLASSES: Final = frozenset(
    {
        "22",  # a value that its type cannot hold
        "23",  # a constraint
        "54",  # a limit: an index row too large
    }
)


def fault_of(exc: psycopg.Error) -> Fault:
    """What an error means to the loader, by SQLSTATE; where there is none, by the driver's class."""
    state = exc.sqlstate
    if state is None:
        # The driver's own: the connection broke, or could not be made.
        return Fault.TRANSIENT if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError) else Fault.BROKEN
    if state in _TRANSIENT_STATES or state[:2] in _TRANSIENT_CLASSES:
        return Fault.TRANSIENT
    return Fault.DATA if state[:2] in _DATA_CLASSES else Fault.BROKEN


class Address:
    """A `postgresql://` URL that keeps its password to itself."""

    def __init__(self, url: str) -> None:
        try:
            self._parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # The driver's message may quote the URL, password included.
            raise MisconfiguredError(
                "WAREHOUSE__URL is no PostgreSQL address: write postgresql://user:password@host:5432/database "
                "with special characters percent-encoded"
            ) from None

    def __str__(self) -> str:
        host, port = self._parts.get("host", "localhost"), self._parts.get("port", 5432)
        return f"postgresql://{host}:{port}/{self._parts.get('dbname', '')}"

    def __repr__(self) -> str:
        return f"Address({self})"

    def connect(self) -> psycopg.Connection:
        """A connection in UTC and the schema public, without an open transaction."""
        try:
            connection = psycopg.connect(make_conninfo(**{**_DEFAULTS, **self._parts}), autocommit=True)
            connection.execute(_SESSION)
        except psycopg.Error as exc:
            raise SinkUnavailableError(f"{self} cannot be reached: {self.plain(exc)}") from None
        return connection

    def plain(self, exc: Exception) -> str:
        """What an error says, on one line and without the password."""
        text = " ".join(str(exc).split())
        password = self._parts.get("password")
        return text.replace(str(password), "***") if password else text

    @contextmanager
    def in_our_words(self) -> Iterator[None]:
        """Turn transient driver errors into SinkUnavailableError."""
        try:
            yield
        except psycopg.Error as exc:
            if fault_of(exc) is Fault.TRANSIENT:
                raise SinkUnavailableError(f"{self}: {self.plain(exc)}") from exc
            raise
