"""The ClickHouse of the test session: the real engine (the wheel chdb-core) in a process, behind ClickHouse's HTTP.

The wheel holds no server, so `serve` is one, as far as clickhouse-connect needs it: a query or an INSERT a request, its
settings and database from the address, the engine's own error code in a header. A database of its own for each test:
an empty one, or one with callweave's tables, which takes a second to make and is used again if nobody changed them.
"""

import base64
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

START_SECONDS = 60
USER, PASSWORD = "loader", "hush-hush"
# Consumed by the transport of a real server; the engine does not know them.
_TRANSPORT = {
    "client_protocol_version",
    "compress",
    "database",
    "http_headers_progress_interval_ms",
    "query",
    "query_id",
    "send_progress_in_http_headers",
    "session_id",
    "wait_end_of_query",
}
_NOTES = ("callweave_meta", "callweave_migrations")
"""Tables that tell of the layout."""
_QUERY_BYTES = 262_144
"""ClickHouse's own limit."""


@dataclass
class ClickHouseServer:
    """A server process that can be stopped and started again on the same port and files."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    spare: dict[str, str] = field(default_factory=dict)
    """Databases with callweave's empty tables that no test uses now, and what each looked like when it was new."""

    def url(self, database: str) -> str:
        return f"clickhouse://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        # In the session's own folder, because the engine writes beside its data and nowhere else.
        command = [sys.executable, __file__, str(self.folder / "data"), str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
            except OSError:
                assert self.process.poll() is None, f"ClickHouse ended: {(self.folder / 'log').read_text()[-2000:]}"
                assert time.monotonic() < deadline, "ClickHouse does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_SECONDS)
            self.process = None

    def execute(self, sql: str, database: str = "default", **settings: str) -> str:
        """Run one statement by hand."""
        address = f"http://127.0.0.1:{self.port}/?{urllib.parse.urlencode({'database': database, **settings})}"
        request = urllib.request.Request(
            address, sql.encode(), {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as exc:
            raise AssertionError(exc.read().decode()) from None


@contextmanager
def session_clickhouse() -> Iterator[ClickHouseServer]:
    """Yield a server, removed with its data afterwards. That none can be had is a failure."""
    with tempfile.TemporaryDirectory(prefix="callweave-ch-", ignore_cleanup_errors=True) as folder:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        server = ClickHouseServer(Path(folder), port)
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGKILL)


@contextmanager
def fresh_database(server: ClickHouseServer) -> Iterator[str]:
    """Yield the URL of a new, empty database, which is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.execute(f"CREATE DATABASE {name}")
    try:
        yield server.url(name)
    finally:
        server.execute(f"DROP DATABASE {name}")


@contextmanager
def laid_out_database(server: ClickHouseServer) -> Iterator[str]:
    """Yield the URL of a database with callweave's empty tables, as a loader of deadline 3600 leaves it."""
    name, looks = server.spare.popitem() if server.spare else _lay_out(server)
    yield server.url(name)
    if _looks(server, name) == looks:
        _empty(server, name)
        server.spare[name] = looks
    else:
        server.execute(f"DROP DATABASE {name}")


def _lay_out(server: ClickHouseServer) -> tuple[str, str]:
    from sinks.clickhouse import ClickHouseSink

    name = f"test_{uuid.uuid4().hex[:12]}"
    server.execute(f"CREATE DATABASE {name}")
    with closing(ClickHouseSink(server.url(name), recording_deadline_seconds=3600)) as sink:
        sink.open()
    return name, _looks(server, name)


def _looks(server: ClickHouseServer, name: str) -> str:
    """Tables, views, and what callweave noted of them; not what the tables hold."""
    made = "SELECT count(), sum(cityHash64(name, create_table_query)) FROM system.tables WHERE database = '{}'"
    standing = server.execute("SHOW TABLES", name, default_format="TSV").split()
    asked = (made.format(name), *(f"SELECT * FROM {table} ORDER BY ALL" for table in _NOTES if table in standing))
    return "\n".join(server.execute(sql, name, default_format="TSV") for sql in asked)


def _empty(server: ClickHouseServer, name: str) -> None:
    tables = server.execute("SHOW TABLES WHERE engine LIKE '%MergeTree'", name, default_format="TSV").split()
    for table in set(tables).difference(_NOTES):
        server.execute(f"TRUNCATE TABLE {table}", name)


def database_of(url: str) -> str:
    """The database that an address names."""
    return urllib.parse.urlsplit(url).path.removeprefix("/")


def serve(data: str, port: int) -> None:
    """Answer ClickHouse's HTTP from an engine in this process."""
    import chdb

    # Held for as long as the process lives: the engine ends with its last connection.
    engine = chdb.connect(data)
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    _Handler.connect = lambda _: chdb.connect(data)
    server.serve_forever()
    engine.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else each answer waits 40 ms for an acknowledgement of its headers.
    disable_nagle_algorithm = True
    connect: Callable[[Any], Any]

    def do_POST(self) -> None:
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parameters = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, keep_blank_values=True))
        try:
            self._authenticate()
            payload = _run(self.connect(), parameters, body)
        except RuntimeError as exc:
            found = "Code:" + str(exc).partition("Code:")[2]
            code = found.removeprefix("Code:").strip().partition(".")[0]
            self._send(500, found.encode(), {"X-ClickHouse-Exception-Code": code})
        else:
            self._send(200, payload, {"X-ClickHouse-Format": "Native", "X-ClickHouse-Timezone": "UTC"})

    do_GET = do_POST  # noqa: N815 - the name is http.server's

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _authenticate(self) -> None:
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        by_headers = (self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key"))
        if self.headers.get("Authorization") != basic and by_headers != (USER, PASSWORD):
            raise RuntimeError("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")

    def _send(self, status: int, payload: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def _run(connection: Any, parameters: dict[str, str], body: bytes) -> bytes:
    settings = {name: value for name, value in parameters.items() if name not in _TRANSPORT}
    try:
        if database := parameters.get("database"):
            connection.query(f"USE `{database}`", "TabSeparated")
        if body.upper().startswith(b"INSERT"):
            # What is inserted is no part of the query to a server; to this engine it is.
            connection.query(f"SET max_query_size = {4 * len(body) + _QUERY_BYTES}", "TabSeparated")
        # After the others: nothing can be set any more behind it.
        for name in sorted(settings, key=lambda name: name == "readonly"):
            connection.query(f"SET {name} = {_literal(settings[name])}", "TabSeparated")
        if (query := parameters.get("query")) is not None and query.upper().startswith("INSERT"):
            return _insert(connection, query, body)
        sql = "\n".join(part for part in (query, body.decode()) if part)
        # The embedded engine takes several statements at once, a server does not: its own parser says so.
        connection.query(f"SELECT formatQuery({_literal(sql)}) FORMAT Null", "TabSeparated")
        return bytes(connection.query(sql, "TabSeparated").bytes() or b"")
    finally:
        connection.close()


def _insert(connection: Any, query: str, body: bytes) -> bytes:
    head, _, form = query.rpartition(" FORMAT ")
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        connection.query(f"{head} FROM INFILE {_literal(file.name)} FORMAT {form}", "TabSeparated")
    return b""


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    os.environ.setdefault("TZ", "UTC")
    serve(sys.argv[1], int(sys.argv[2]))
