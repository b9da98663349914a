"""A client of ClickHouse: where it connects to, what its errors mean, how its address is shown without a password."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, Error, OperationalError

from sinks.sink import Fault, MisconfiguredError, SinkUnavailableError

_SCHEME: Final = "clickhouse"
_FORM: Final = "write clickhouse://user:password@host:8123/database, with ?secure=true for TLS"
_FLAGS: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}
_PORT, _TLS_PORT = 8123, 8443

_TRANSIENT: Final = frozenset(
    {
        24,  # CANNOT_WRITE_TO_OSTREAM
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        81,  # UNKNOWN_DATABASE: not there, yet
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        173,  # CANNOT_ALLOCATE_MEMORY
        192,  # UNKNOWN_USER, and the next three: a person is changing a password or a rule
        193,  # WRONG_PASSWORD
        194,  # REQUIRED_PASSWORD
        195,  # IP_ADDRESS_NOT_ALLOWED
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        204,  # CANNOT_FSYNC
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED: it is shutting down
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY: its replica has lost Keeper
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS: merges are behind
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT: writing it again does no harm
        341,  # UNFINISHED
        394,  # QUERY_WAS_CANCELLED
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        499,  # S3_ERROR
        516,  # AUTHENTICATION_FAILED
        586,  # CANNOT_CREATE_FILE
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
    }
)
_DATA: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT
    }
)
ACCESS_DENIED: Final = 497
TOO_LATE: Final = frozenset({159, 160})


def fault_of(exc: ClickHouseError) -> Fault:
    """What an error means to the loader, by ClickHouse's code; where there is none, by the driver's class."""
    code = exc.code if isinstance(exc, Error) else None
    if code is None:
        # No answer, or one that is not ClickHouse's: a proxy's, whose server is away.
        return Fault.TRANSIENT if type(exc) in (OperationalError, DatabaseError) else Fault.BROKEN
    if code in _TRANSIENT:
        return Fault.TRANSIENT
    return Fault.DATA if code in _DATA else Fault.BROKEN


class Address:
    """A `clickhouse://` URL that keeps its password to itself."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            secure = _FLAGS[options.pop("secure", "false").lower()]
            verify = _FLAGS[options.pop("verify", "true").lower()]
            ca_cert = options.pop("ca_cert", None)
            database = unquote(parts.path.removeprefix("/"))
            port = parts.port or (_TLS_PORT if secure else _PORT)
            is_whole = parts.scheme == _SCHEME and parts.hostname and database and "/" not in database and not options
        except (ValueError, KeyError):
            is_whole = False
        if not is_whole:
            # Not what was wrong: that may quote the password.
            raise MisconfiguredError(
                f"WAREHOUSE__URL is no ClickHouse address: {_FORM} (and verify, ca_cert); special characters "
                "percent-encoded"
            ) from None
        self._host, self._port, self.database = parts.hostname or "", port, database
        self._password = unquote(parts.password or "")
        self._options: dict[str, Any] = {
            "host": self._host,
            "port": port,
            "username": unquote(parts.username or "default"),
            "password": self._password,
            "database": database,
            "secure": secure,
            "verify": verify,
            "ca_cert": ca_cert,
        }

    def __str__(self) -> str:
        return f"clickhouse://{self._host}:{self._port}/{self.database}"

    def __repr__(self) -> str:
        return f"Address({self})"

    def connect(self, *, answer_seconds: float) -> Client:
        """A client that several threads may use, and that waits so long for an answer."""
        with self.in_our_words():
            return clickhouse_connect.get_client(
                **self._options,
                client_name="callweave",
                connect_timeout=10,
                send_receive_timeout=max(1, round(answer_seconds)),
                # Whether to try again is the loader's decision.
                query_retries=0,
                # A session takes one query at a time.
                autogenerate_session_id=False,
                tz_mode="aware",
                show_clickhouse_errors="scrub",
            )

    def plain(self, exc: Exception) -> str:
        """What an error says, on one line and without the password."""
        text = " ".join(str(exc).split())
        return text.replace(self._password, "***") if self._password else text

    @contextmanager
    def in_our_words(self) -> Iterator[None]:
        """Turn transient driver errors into SinkUnavailableError."""
        try:
            yield
        except ClickHouseError as exc:
            if fault_of(exc) is not Fault.TRANSIENT:
                raise
            if getattr(exc, "code", None) is None:
                raise SinkUnavailableError(f"{self} cannot be reached: {self.plain(exc)}") from None
            raise SinkUnavailableError(f"{self}: {self.plain(exc)}") from exc
