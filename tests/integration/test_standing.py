"""Waiting until all is in the warehouse: what a worker that still restores will publish belongs to it."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from callweave.runtime import RoleEntry, Runtime
from callweave.settings import load_settings
from callweave.standing import wait_idle
from callweave.topics import apply_topics


@contextmanager
def a_worker_that_says(readiness: dict[str, object]) -> Iterator[str]:
    """An admin port; what it answers can be changed."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(readiness).encode()
            self.send_response(200 if readiness["ready"] else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_nothing_is_idle_while_the_worker_restores(
    tmp_path: Path, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLWEAVE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("CALLWEAVE_KAFKA__TOPIC_PREFIX", topic_prefix)
    settings = load_settings()
    await apply_topics(settings)
    readiness: dict[str, object] = {"ready": False, "reason": "restoring their sessions"}

    with a_worker_that_says(readiness) as url:
        Runtime(tmp_path).publish("worker", RoleEntry(os.getpid(), url))
        while_it_restores = await wait_idle(settings, 0.5)
        readiness |= {"ready": True, "reason": None}
        when_it_has = await wait_idle(settings, 60)

    assert while_it_restores is not None
    assert "the worker is not ready: restoring their sessions" in str(while_it_restores)
    assert when_it_has is None
