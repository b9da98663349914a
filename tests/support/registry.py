"""A schema registry as far as callweave asks one: Confluent's REST in a thread, its answers in Confluent's words.

It is a fake, for what a real one does not do on demand (refuse credentials, say why it refuses); a real one answers in
tests/integration/test_schema_registry.py. What is compatible, it decides by FORWARD for open schemas as Confluent
documents it: a member that readers know may not go, nor change its type.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class FakeRegistry:
    url: str = ""
    subjects: dict[str, list[str]] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    journal: list[tuple[str, str]] = field(default_factory=list)
    authorization: list[str | None] = field(default_factory=list)
    status: int | None = None
    """What it answers to everything, if it is sick."""

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.journal.append((method, path))
        if self.status is not None:
            return self.status, {"error_code": self.status * 100, "message": "sick"}
        parts = [unquote(part) for part in path.strip("/").split("/")]
        match method, *parts:
            case "PUT", "config", subject:
                self.levels[subject] = body["compatibility"]
                return 200, body
            case "POST", "subjects", subject, "versions":
                problems = self._problems(subject, body["schema"])
                if problems:
                    return 409, {"error_code": 409, "message": "Schema being registered is incompatible"}
                versions = self.subjects.setdefault(subject, [])
                if body["schema"] not in versions:
                    versions.append(body["schema"])
                return 200, {"id": 1 + versions.index(body["schema"])}
            case "POST", "subjects", subject:
                versions = self.subjects.get(subject, [])
                if body["schema"] in versions:
                    return 200, {"subject": subject, "version": 1 + versions.index(body["schema"]), **body}
                return 404, {"error_code": 40403 if versions else 40401, "message": "not found"}
            case "POST", "compatibility", "subjects", subject, "versions", "latest":
                if subject not in self.subjects:
                    return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
                problems = self._problems(subject, body["schema"])
                return 200, {"is_compatible": not problems, "messages": problems}
        return 405, {"error_code": 405, "message": f"{method} {path}"}

    def _problems(self, subject: str, schema: str) -> list[str]:
        versions = self.subjects.get(subject, [])
        if not versions:
            return []
        there, offered = json.loads(versions[-1]), json.loads(schema)
        if self.levels.get(subject, "BACKWARD") == "BACKWARD":
            added = set(offered["properties"]) - set(there["properties"])
            return [f"PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL {name}" for name in sorted(added)]
        gone = set(there["properties"]) - set(offered["properties"])
        return [f"PROPERTY_REMOVED {name}" for name in sorted(gone)]


@contextmanager
def a_registry() -> Iterator[FakeRegistry]:
    registry = FakeRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            registry.authorization.append(self.headers.get("Authorization"))
            status, said = registry.answer(self.command, urlsplit(self.path).path, body)
            raw = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_PUT = do_GET = do_POST  # noqa: N815 - the names are http.server's

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
